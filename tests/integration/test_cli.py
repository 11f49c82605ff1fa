"""The commands a person types, as processes of their own against a running engine: output, JSON, exit codes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import zxingcpp
from google.protobuf import json_format
from PIL import Image

from crossdock_sf.simulator import PUSH_TOKEN
from crossdock_sf.simulator_push import Postman
from engine.core.policy.track_records import DeadLetter
from tests.integration import kit
from tests.integration.terminal import crossdock, interrupted
from tests.integration.world import World

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]


@contextmanager
def days_later(world: World) -> Iterator[None]:
    """The carriers live some days ahead, so that what was booked has arrived."""
    simulators = [server.simulator for server in world.simulators.values()]
    clocks = [simulator.clock for simulator in simulators]
    later = datetime.now(UTC) + timedelta(days=6)
    for simulator in simulators:
        simulator.clock = lambda: later
    try:
        yield
    finally:
        for simulator, clock in zip(simulators, clocks, strict=True):
            simulator.clock = clock


def written(folder: Path, reference: str, **changes: Any) -> str:
    """An order as a JSON file in the contract's field names."""
    path = folder / f"{reference}.json"
    path.write_text(json_format.MessageToJson(kit.order(reference, **changes), preserving_proto_field_name=True))
    return str(path)


async def test_an_order_is_created_shown_listed_and_cancelled(world: World, tmp_path: Path) -> None:
    """The life of an order at a terminal, found by reference and by id."""
    created = await crossdock(world, "order", "create", written(tmp_path, "CLI-1", routing=kit.only("sf")), "--json")
    order_id = created.json()["order_id"]

    shown = await crossdock(world, "order", "get", "CLI-1")
    listed = await crossdock(world, "order", "list", "--state", "booked", "--json")
    cancelled = await crossdock(world, "order", "cancel", "CLI-1", "--json")
    gone = await crossdock(world, "order", "get", order_id)

    assert (created.code, created.json()["state"]) == (0, "STATE_BOOKED")
    assert (shown.code, created.json()["booking"]["waybill_number"] in shown.out) == (0, True)
    assert order_id in [order["order_id"] for order in listed.json()]
    assert (cancelled.code, cancelled.json()["state"]) == (0, "STATE_CANCELLED")
    assert "(void)" in gone.out


async def test_a_quote_explains_every_candidate(world: World, tmp_path: Path) -> None:
    """The excluded ones with their reason, nothing booked."""
    before = world.carrier_calls("sf")
    quoted = await crossdock(world, "order", "quote", written(tmp_path, "CLI-2", routing=kit.only("zto")))

    assert quoted.code == 0
    assert "not among routing.allowed_carriers" in quoted.out
    assert world.carrier_calls("sf") == before


async def test_a_label_is_written_and_can_be_scanned(world: World, tmp_path: Path) -> None:
    """By reference; the barcode of the picture is the waybill."""
    booked = await kit.booked(world.caller(), "CLI-3")
    path = tmp_path / "label.png"

    ran = await crossdock(world, "label", "CLI-3", "--format", "png", "--out", str(path))

    assert (ran.code, "1 labels" in ran.out or "1 label" in ran.out) == (0, True)
    texts = {code.text for code in zxingcpp.read_barcodes(Image.open(path))}
    assert booked.booking.waybill_number in texts


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("order", "get", "NOBODY"), 1, "there is no order NOBODY"),
        (("order", "list", "--state", "LOST"), 2, "use one of ACCEPTED, BOOKING"),
        (("order", "list", "--limit", "0"), 2, "--limit"),
        (("order", "get", ""), 2, "give an order's id or reference"),
        (("order", "cancel", "NOBODY"), 1, "there is no order NOBODY"),
        (("label", "NOBODY"), 1, "there is no order NOBODY"),
        (("label", "A", "B", "--format", "png"), 2, "use --format pdf or zpl"),
        (("label", "A", "B", "--piece", "1"), 2, "leave --piece out"),
        (("label", "A", "--piece", "-1"), 2, "--piece"),
        (("track",), 2, "give a waybill NUMBER, or --order"),
        (("track", "--order", "A", "--carrier", "sf"), 2, "leave --carrier and --phone-tail out"),
        (("track", "SF1", "--phone-tail", "12"), 2, "--phone-tail: is not four digits"),
        (("track", "X!Y#Q"), 1, "name the carrier with --carrier"),
        (("track", "X!Y#Q", "--carrier", "nobody"), 1, "key.waybill_number: is no waybill number"),
        (("track", "XYQ", "--carrier", "nobody"), 1, "no account of carrier nobody; known: sf, zto"),
        (("watch", "--status", "LOST"), 2, "use one of PRE_TRANSIT, PICKED_UP"),
        (("watch", "--changes-only", "--alerts-only"), 2, "give one of them"),
        (("watch", "--cursor", "soon"), 1, "the cursor was not given by this engine"),
    ],
)
async def test_what_cannot_be_done_says_why_and_what_to_do(
    world: World, arguments: tuple[str, ...], code: int, says: str
) -> None:
    """One line on standard error, a code a script can use, no traceback."""
    ran = await crossdock(world, *arguments)

    assert (ran.code, ran.out) == (code, "")
    assert says in ran.err


async def test_a_wrong_order_names_every_field(world: World, tmp_path: Path) -> None:
    """One line a violation, each with its remedy."""
    wrong = written(tmp_path, "CLI-4", recipient=kit.party(phone="123", city="杭州市"))

    ran = await crossdock(world, "order", "create", wrong)

    assert ran.code == 1
    assert "order.recipient.contact.phone" in ran.err
    assert "杭州市 belongs to 浙江省" in ran.err


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "holds no JSON object"),
        (b"[]", "holds no JSON object"),
        (b"\xff\x00\xdb", "is no text in UTF-8"),
        (b'{"referenc": "X"}', 'no field named "referenc"'),
    ],
)
async def test_a_file_that_is_no_order_says_what_an_order_is(tmp_path: Path, content: bytes, says: str) -> None:
    """Nothing is sent; the file is named with where the fields stand."""
    path = tmp_path / "order.json"
    path.write_bytes(content)

    ran = await crossdock(None, "order", "create", str(path))

    assert ran.code == 2
    for part in ("order.json", says, "proto/crossdock/v1/core.proto"):
        assert part in ran.err


async def test_a_reference_may_look_like_an_id(world: World) -> None:
    """Merchants number orders with UUIDs too: what is no id of ours is looked for as a reference."""
    reference = "3f1c2a52-3f0e-4a55-9d0c-0c6f1f6a8f11"
    booked = await kit.booked(world.caller(), reference)

    ran = await crossdock(world, "order", "get", reference, "--json")

    assert ran.json()["order_id"] == booked.order_id


async def test_labels_of_several_orders_leave_out_what_has_none(world: World, tmp_path: Path) -> None:
    """The file holds the others, each one left out is named, and the exit code says that something is missing."""
    await kit.booked(world.caller(), "CLI-5")
    path = tmp_path / "labels.pdf"

    ran = await crossdock(world, "label", "CLI-5", "NOBODY", "--out", str(path), "--json")

    assert (ran.code, ran.json()["labels"], ran.json()["skipped"]) == (1, 1, ["NOBODY"])
    assert path.read_bytes().startswith(b"%PDF")
    assert os.listdir(tmp_path) == ["labels.pdf"]


async def test_a_label_that_cannot_be_had_leaves_the_old_file(world: World, tmp_path: Path) -> None:
    """An earlier label is not lost to a cancelled order, nor to a wrong folder."""
    booked = await kit.booked(world.caller(), "CLI-6")
    await crossdock(world, "order", "cancel", booked.order_id)
    path = tmp_path / "label.pdf"
    path.write_bytes(b"earlier")

    cancelled = await crossdock(world, "label", "CLI-6", "CLI-6", "--out", str(path))
    nowhere = await crossdock(world, "label", "CLI-6", "CLI-6", "--out", str(tmp_path / "none" / "label.pdf"))

    assert (cancelled.code, path.read_bytes()) == (1, b"earlier")
    assert (nowhere.code, "name a file in a folder that can be written" in nowhere.err) == (2, True)


async def test_an_address_that_is_none_is_wrong_usage(tmp_path: Path) -> None:
    """Named as the option it came from: nothing was sent, so it is no unreachable engine."""
    ran = await crossdock(None, "order", "get", "X", "--server", "nohost")

    assert ran.code == 2
    assert "--server" in ran.err


async def test_no_engine_is_told_with_the_address(tmp_path: Path) -> None:
    """Exit code 3, and how to start one."""
    ran = await crossdock(None, "order", "get", "X", "--server", "127.0.0.1:9")

    assert ran.code == 3
    assert "127.0.0.1:9" in ran.err
    assert "crossdock serve" in ran.err


async def test_a_call_without_a_key_is_told_how_to_give_one(world: World) -> None:
    """In the words of a terminal, not of the wire."""
    ran = await crossdock(world, "order", "get", "X", api_key="")

    assert (ran.code, "set CROSSDOCK_API_KEY" in ran.err, "Bearer" in ran.err) == (1, True, False)


async def test_a_watch_of_orders_says_where_to_go_on(world: World) -> None:
    """As that of parcels does."""
    await kit.booked(world.caller(), "CLI-WATCHED")

    ran = await interrupted(world, "order", "watch", "--cursor", "0")

    assert ran.code == 0
    assert "go on with --cursor " in ran.err


async def test_plugins_are_shown_as_json() -> None:
    """Both built-in carriers are loaded through the same door as any other."""
    ran = await crossdock(None, "plugins", "--json")

    assert ran.code == 0
    assert {p["name"]: p["loaded"] for p in ran.json()} == {"sf": True, "zto": True}


async def test_config_check_reports_all_problems_at_once(tmp_path: Path) -> None:
    """Accounts, addresses and rules, each with its key; exit code 2."""
    path = tmp_path / "crossdock.toml"
    path.write_text(
        '[[tenant]]\nname = "t"\n[tenant.shipper]\nname = "仓"\nphone = "1"\nprovince = "浙江省"\ncity = "杭州市"\n'
        'district = "余杭区"\nstreet = "样例大道1号"\n[[account]]\nid = "a"\ncarrier = "nobody"\n'
        '[[rule]]\nname = "r"\nwhen = "order.nothing"\nprefer = ["sf"]\n',
        "utf-8",
    )

    ran = await crossdock(None, "config", "check", "--config", str(path))

    assert ran.code == 2
    for part in ("account a: carrier: 'nobody' is not loaded", "tenant t: shipper.contact.phone", "rule r"):
        assert part in ran.err


async def test_config_check_looks_into_the_files_that_serve_needs(tmp_path: Path) -> None:
    """Certificate, key and master key: the check and the start say the same, also as JSON."""
    path = tmp_path / "crossdock.toml"
    path.write_text(
        f'[server]\ntls_certificate_file = "{tmp_path}/none.pem"\ntls_key_file = "{path}"\n'
        f'[store]\npath = "{tmp_path}/store.db"\nmaster_key_file = "{tmp_path}/none.key"\n',
        "utf-8",
    )

    checked = await crossdock(None, "config", "check", "--config", str(path), "--json")
    served = await crossdock(None, "serve", "--config", str(path))

    assert (checked.code, served.code, checked.err) == (2, 2, served.err)
    assert checked.json()["sound"] is False
    for key in ("server.tls_certificate_file", "store.master_key_file"):
        assert any(problem.startswith(key) for problem in checked.json()["problems"])


async def test_a_key_from_a_pipe_is_hashed() -> None:
    """Without its line feed and without a prompt; nothing at all is refused."""
    hashed = await crossdock(None, "config", "hash-key", piped=b"abc\n")
    nothing = await crossdock(None, "config", "hash-key", piped=b"")

    assert hashed.out.split() == ["api_key_sha256:", hashlib.sha256(b"abc").hexdigest()]
    assert (hashed.err, nothing.code) == ("", 2)


async def test_a_parcel_is_shown_by_order_and_by_number(world: World) -> None:
    """Status, freshness and the carrier's words; the number's carrier is recognised."""
    booked = await kit.booked(world.caller(), "CLI-7", routing=kit.only("sf"))
    number = booked.booking.waybill_number

    with days_later(world):
        asked = await crossdock(world, "track", "--order", "CLI-7", "--max-age", "0", "--json")
    shown = await crossdock(world, "track", number)

    assert (asked.code, asked.json()["status"], asked.err) == (0, "TRACK_STATUS_DELIVERED", "")
    assert (asked.json()["waybill_number"], asked.json()["order_id"]) == (number, booked.order_id)
    assert shown.code == 0
    for part in (f"sf {number} DELIVERED", "ago by", "next question at", "--carrier chooses another", "深圳市"):
        assert part in shown.out


async def test_a_number_of_nobody_in_particular_is_not_asked_about(world: World) -> None:
    """Digits that any carrier may use are no reason to follow a stranger's parcel: a person chooses."""
    before = world.carrier_calls("sf")

    shown = await crossdock(world, "track", "123456789012")
    listed = await crossdock(world, "track", "123456789012", "--json")

    assert (shown.code, listed.code, world.carrier_calls("sf")) == (1, 1, before)
    assert "choose with --carrier" in shown.err
    assert [guess["carrier"] for guess in listed.json()["guesses"]] == ["sf"]


async def test_a_watch_of_parcels_ends_with_the_cursor_to_go_on_from(world: World) -> None:
    """Ctrl-C is the ordinary end; the filters keep what was asked for."""
    await kit.booked(world.caller(), "CLI-8", routing=kit.only("sf"))
    with days_later(world):
        await crossdock(world, "track", "--order", "CLI-8", "--max-age", "0")

    whole = await interrupted(world, "watch", "--cursor", "0", "--json")
    delivered = await interrupted(world, "watch", "--cursor", "0", "--status", "delivered", "--changes-only")

    seen = [json.loads(line) for line in whole.out.splitlines()]
    assert (whole.code, delivered.code) == (0, 0)
    assert whole.err == f"go on with --cursor {seen[-1]['cursor']}\n"
    assert {" DELIVERED* " in line for line in delivered.out.splitlines()} == {True}


async def test_pushes_set_aside_are_listed_and_tried_again(world: World) -> None:
    """What can be applied now is gone; what cannot stays, is said, and makes the exit code 1."""
    await kit.booked(world.caller(), "CLI-9", routing=kit.only("sf"))
    postman = Postman(world.simulators["sf"].simulator.ledger, seed=0, as_xml=False)
    now, url = datetime.now(UTC), f"{world.url}/push/sf-main/{PUSH_TOKEN}"
    postman.collect(url, now, 1.0)  # he knows only what falls due after his first round
    push = postman.collect(url, now + timedelta(days=6), 1.0)[0]
    for letter_id, account in (("01-sound", "sf-main"), ("02-gone", "gone")):
        await world.engine.parts.store.put_dead_letter(
            DeadLetter(letter_id, account, now, "KeyError", 1, dict(push.headers), push.body, PUSH_TOKEN, "")
        )

    listed = await crossdock(None, "pushes", "list", "--ingress", world.url, "--json")
    replayed = await crossdock(None, "pushes", "replay", "--all", "--ingress", world.url, "--json")
    again = await crossdock(None, "pushes", "replay", "01-sound", "02-gone", "--ingress", world.url)
    left = await crossdock(None, "pushes", "list", "--ingress", world.url)

    assert [(each["letter_id"], each["bytes"]) for each in listed.json()] == [
        ("01-sound", len(push.body)),
        ("02-gone", len(push.body)),
    ]
    problems = [each["problem"] for each in replayed.json()]
    assert (replayed.code, problems) == (1, ["", "account gone is not configured any more"])
    assert (again.code, "01-sound there is no such letter" in again.out) == (1, True)
    assert ("02-gone" in left.out, "01-sound" in left.out) == (True, False)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("list", "--ingress", "http://127.0.0.1:9"), 3, "start one with `crossdock serve`"),
        (("list", "--ingress", "nowhere"), 2, "--ingress: nowhere is no address"),
        (("replay",), 2, "give LETTER_IDs"),
    ],
)
async def test_pushes_that_cannot_be_asked_for_say_why(arguments: tuple[str, ...], code: int, says: str) -> None:
    """An address that is none, nobody there, nothing chosen: one line and a code."""
    ran = await crossdock(None, "pushes", *arguments)

    assert (ran.code, ran.out) == (code, "")
    assert says in ran.err
