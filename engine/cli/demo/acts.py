"""The demo's acts, in order. Each says what it does, does it through the product's own doors, and checks it."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections import Counter
from contextlib import nullcontext
from importlib import resources
from pathlib import Path

from crossdock import Client
from crossdock.v1 import core_pb2, order_service_pb2
from crossdock_sdk.simulator import Faults
from engine.cli.common import output, print_json
from engine.cli.demo import checks
from engine.cli.demo.parcels import FOLLOWED, follow_parcels
from engine.cli.demo.returns import send_back
from engine.cli.demo.story import Story, demo_order
from engine.cli.sandbox import Sandbox, running_sandbox
from engine.cli.signals import stoppable

CARRIER_LATENCY_S = 0.06
ORDERS = "orders.csv"
LOST_ANSWERS = 3
OUTAGE_S = 3.0
IN_FLIGHT_AT_KILL = 24
INSIST_S = 40.0
LABELS_READ = 40
SPEED = 15_000.0  # a parcel's days take seconds
# Shorter than in production, so that the story fits into a minute.
SETTINGS = {"outbound": {"breaker_open_s": 0.4}, "booking": {"unavailable_retry_s": 0.3, "retry_base_s": 0.3}}
BOOKED = core_pb2.Order.STATE_BOOKED


async def play(folder: Path, *, keep: bool, as_json: bool) -> bool:
    """Run all acts in `folder`; True when every claim was checked."""
    story = Story(silent=as_json)
    story.say("Starting the engine on SQLite, and 顺丰 and 中通 as simulated carriers, each its own process.")
    async with running_sandbox(folder / "sandbox", settings=SETTINGS, speed=SPEED) as sandbox:
        await _failing_carrier(story, sandbox, folder)
        await _lost_answers(story, sandbox)
        await _same_file_again(story, sandbox, folder)
        await _killed_engine(story, sandbox)
        await follow_parcels(story, sandbox)
        await send_back(story, sandbox, folder)
        # Whoever reads the end may press Ctrl-C at once: from its first line on that ends a demo that stays up.
        async with stoppable() if keep else nullcontext():
            if as_json:
                print_json(_summary(story, sandbox, folder))
            else:
                _say_goodbye(story, sandbox, folder, keep=keep)
            if keep:
                await asyncio.Event().wait()
    return story.sound


async def _failing_carrier(story: Story, sandbox: Sandbox, folder: Path) -> None:
    orders = folder / ORDERS
    orders.write_bytes(resources.files("engine.cli.demo").joinpath(ORDERS).read_bytes())
    sf = sandbox.simulators["sf"]
    await sf.set_faults(Faults(latency_s=CARRIER_LATENCY_S))
    lines = orders.read_text("utf-8-sig").count("\n") - 1
    story.say(f"Shipping {ORDERS}: {lines} lines of a merchant's export, through `crossdock ship`.")
    shipping = asyncio.create_task(_ship(folder, sandbox.server))
    await _until_booked(sandbox, "sf", lines // 2, shipping)
    await sf.set_faults(Faults(down=True))
    story.say("Half way 顺丰 goes down: its port is closed, calls under way are cut.")
    await asyncio.sleep(OUTAGE_S)
    meanwhile = Counter(carrier for carrier, _ in (await _facts(sandbox)).values())
    story.say(f"{OUTAGE_S:g} s later: 顺丰 had booked {meanwhile['sf']}, 中通 took over and booked {meanwhile['zto']}.")
    story.say("Open: what only 顺丰 may carry, and what it was cut in: no other carrier gets those without proof.")
    await sf.set_faults(Faults())
    story.say("顺丰 is back; open orders are looked up or booked without anybody asking.")
    await shipping
    _tell_results(story, folder)
    problems = [] if meanwhile["sf"] and meanwhile["zto"] else ["one carrier booked nothing"]
    story.check("the backup carrier took over while the first was down", problems)


def _tell_results(story: Story, folder: Path) -> None:
    rows = checks.read_results(folder / "results.csv")
    carriers = Counter(row["carrier"] for row in checks.booked_rows(rows).values())
    refused = [row for row in rows if not row["state"]]
    story.say(f"Booked: 顺丰 {carriers['sf']}, 中通 {carriers['zto']}. Refused: {len(refused)} lines, such as")
    for row in refused[:4]:
        story.say(f"  line {row['line']}, {row['column'] or 'the row'}: {row['error'][:70]} -> {row['remedy'][:70]}")
    unexplained = [
        f"line {row['line']} is {row['state'] or 'refused without a remedy'}"
        for row in rows
        if row["state"] != "BOOKED" and (row["state"] or not row["remedy"])
    ]
    story.check("every line is booked, or refused with its error and a remedy", unexplained)


async def _same_file_again(story: Story, sandbox: Sandbox, folder: Path) -> None:
    before = checks.booked_rows(checks.read_results(folder / "results.csv"))
    await _ship(folder, sandbox.server)
    after = checks.booked_rows(checks.read_results(folder / "results.csv"))
    changed = [
        f"order {order_id} changed its waybill"
        for order_id, row in before.items()
        if after[order_id]["waybill_number"] != row["waybill_number"]
    ]
    story.check("the same file shipped again: same orders, same waybills", changed)
    facts = await _facts(sandbox)
    claim = f"{len(facts)} waybills stand in the carriers' own ledgers, one per order"
    story.check(claim, checks.against_ledgers(facts, sandbox.simulators))
    numbers = [waybill for _, waybill in facts.values()]
    read, wrong = checks.barcodes(folder / "labels.pdf", numbers, most=LABELS_READ)
    story.check(f"labels.pdf holds their labels; the barcodes of {read} pages were read back", wrong)


async def _lost_answers(story: Story, sandbox: Sandbox) -> None:
    sf = sandbox.simulators["sf"]
    await sf.set_faults(Faults(accept_then_cut_share=1.0, operations=("book",)))
    story.say(f"顺丰 now books and cuts the line before answering, for {LOST_ANSWERS} orders.")
    async with Client(sandbox.server) as client:
        answers = await asyncio.gather(
            *[client.create_order(demo_order(f"DEMO-LOST-{i}", only="sf"), timeout_s=20) for i in range(LOST_ANSWERS)]
        )
    await sf.set_faults(Faults())
    orders = [answer.order for answer in answers]
    problems = [f"order {o.reference} is {core_pb2.Order.State.Name(o.state)}" for o in orders if o.state != BOOKED]
    problems += [f"order {o.reference} was not looked up" for o in orders if not o.attempts[0].lookup_count]
    problems += checks.against_ledgers(await _facts(sandbox), sandbox.simulators)
    story.check("the engine asked 顺丰 by its own reference, found each booking, and booked nothing twice", problems)


async def _killed_engine(story: Story, sandbox: Sandbox) -> None:
    for simulator in sandbox.simulators.values():
        await simulator.set_faults(Faults(latency_s=0.3))
    story.say(f"The engine is killed (SIGKILL) with {IN_FLIGHT_AT_KILL} bookings under way, and started again.")
    async with Client(sandbox.server) as client:
        calls = [
            asyncio.create_task(client.create_order(demo_order(f"DEMO-KILL-{i}", only="sf"), timeout_s=20))
            for i in range(IN_FLIGHT_AT_KILL)
        ]
        await asyncio.sleep(0.45)
        sandbox.kill_engine()
        await asyncio.gather(*calls, return_exceptions=True)
    await sandbox.start_engine()
    for simulator in sandbox.simulators.values():
        await simulator.set_faults(Faults())
    async with Client(sandbox.server) as client:
        answers = await asyncio.gather(*[_insist(client, f"DEMO-KILL-{i}") for i in range(IN_FLIGHT_AT_KILL)])
    problems = [
        f"order {a.order.reference} is {core_pb2.Order.State.Name(a.order.state)}"
        for a in answers
        if a.order.state != BOOKED
    ]
    problems += checks.against_ledgers(await _facts(sandbox), sandbox.simulators)
    replayed = sum(a.replayed for a in answers)
    claim = f"all {len(answers)} are booked exactly once; {replayed} of them were durable before the kill"
    story.check(claim, problems)


async def _insist(client: Client, reference: str) -> order_service_pb2.CreateOrderResponse:
    """Send the same order until it is booked: an outcome in doubt is answered before it is resolved.

    Only 顺丰 may take these: it can be asked what it booked. At 中通, which still gets a part of what 顺丰 lost when it
    was down, a doubt that the kill leaves waits minutes for a push or a person.
    """
    ends = asyncio.get_running_loop().time() + INSIST_S
    while True:
        answer = await client.create_order(demo_order(reference, only="sf"), timeout_s=25)
        if answer.order.state == BOOKED or asyncio.get_running_loop().time() > ends:
            return answer
        await asyncio.sleep(0.2)


async def _ship(folder: Path, server: str) -> None:
    """`crossdock ship`, as a user would; some lines are meant to be refused (exit code 1)."""
    command = ["-m", "engine", "ship", str(folder / ORDERS), "--server", server, "--out", str(folder), "--json"]
    with (folder / "ship.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=log, stderr=log)
        if await process.wait() not in (0, 1):
            raise RuntimeError(f"crossdock ship failed; see {folder / 'ship.log'}")


async def _until_booked(sandbox: Sandbox, code: str, count: int, shipping: asyncio.Task[None]) -> None:
    # The ledger is another process's file: there is nothing to be woken by.
    while not shipping.done() and len(sandbox.simulators[code].live_waybills()) < count:  # noqa: ASYNC110
        await asyncio.sleep(0.02)


async def _facts(sandbox: Sandbox) -> dict[str, tuple[str, str]]:
    """order id -> (carrier, waybill number) of every booked order, as the engine says."""
    async with Client(sandbox.server) as client:
        return {
            order.order_id: (order.booking.carrier, order.booking.waybill_number)
            async for order in client.list_orders(states=[BOOKED])
        }


def _summary(story: Story, sandbox: Sandbox, folder: Path) -> dict[str, object]:
    return {
        "sound": story.sound,
        "claims": story.claims,
        "labels": str(folder / "labels.pdf"),
        "results": str(folder / "results.csv"),
        "server": sandbox.server,
        "metrics": f"{sandbox.http}/metrics",
    }


def _say_goodbye(story: Story, sandbox: Sandbox, folder: Path, *, keep: bool) -> None:
    if story.sound:
        story.say("[green]Everything above was checked.[/green]")
    else:
        story.say("[red]Something above is not true.[/red]")
    output.print(f"\n  labels   {folder / 'labels.pdf'}\n  results  {folder / 'results.csv'}", soft_wrap=True)
    if not keep:
        output.print("\n  With --keep it stays up afterwards, and prints what to try next.")
        return
    crossdock = shlex.quote(str(Path(sys.executable).with_name("crossdock")))  # not on the PATH of a second shell
    lines = (
        f"export CROSSDOCK_SERVER={sandbox.server}",
        f"{crossdock} track --order {FOLLOWED['zto']}",
        f"{crossdock} label {FOLLOWED['sf']} --format png",
        f"grpcurl -plaintext {sandbox.server} list crossdock.v1.OrderService",
        f"curl {sandbox.http}/metrics",
    )
    output.print("\n  Try next, in a second shell:")
    for line in lines:
        output.print(f"    {line}", soft_wrap=True, markup=False)
    output.print("\n  The engine and the simulated carriers stay up until Ctrl-C.")
