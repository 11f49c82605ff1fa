"""The commands a person types, as processes of their own against a running engine: output, JSON, exit codes."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zxingcpp
from google.protobuf import json_format
from PIL import Image

from tests.integration import kit
from tests.integration.world import API_KEYS, World

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]


class Ran(msgspec.Struct):
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Its JSON output."""
        return json.loads(self.out)


async def crossdock(world: World | None, *arguments: str, folder: Path | None = None) -> Ran:
    """Run `crossdock` with these arguments; a command that calls the engine gets its address."""
    command = [sys.executable, "-m", "engine", *arguments]
    if world is not None:
        command += ["--server", world.server]
    environment = {**os.environ, "CROSSDOCK_API_KEY": API_KEYS["amber"], "COLUMNS": "200"}
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        cwd=folder,
    )
    out, err = await process.communicate()
    assert "Traceback" not in err.decode(), err.decode()
    return Ran(process.returncode or 0, out.decode(), err.decode())


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
    cancelled = await crossdock(world, "order", "cancel", order_id, "--json")

    assert (created.code, created.json()["state"]) == (0, "STATE_BOOKED")
    assert (shown.code, created.json()["booking"]["waybill_number"] in shown.out) == (0, True)
    assert order_id in [order["order_id"] for order in listed.json()]
    assert (cancelled.code, cancelled.json()["state"]) == (0, "STATE_CANCELLED")


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
        (("label", "NOBODY"), 1, "there is no order NOBODY"),
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


async def test_no_engine_is_told_with_the_address(tmp_path: Path) -> None:
    """Exit code 3, and how to start one."""
    ran = await crossdock(None, "order", "get", "X", "--server", "127.0.0.1:9")

    assert ran.code == 3
    assert "127.0.0.1:9" in ran.err
    assert "crossdock serve" in ran.err


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
