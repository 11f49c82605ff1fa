"""Parcels that stand still, at a terminal: on the track, in a watch, and rules checked before they cost anything."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from crossdock.v1.track_service_pb2 import StallAlert, TrackNews, WatchTracksResponse
from engine.cli.track_wording import alert_text
from engine.cli.watch import facts, table_of
from engine.cli.wording import local
from tests.integration import kit
from tests.integration.terminal import crossdock, interrupted
from tests.integration.world import World, running_world

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]
RULE = {
    "name": "nobody came",
    "since": "booked",
    "after_h": 0.00005,
    "statuses": ["NOTHING_KNOWN"],
    "reason": "call the depot",
}


@pytest.fixture(scope="module")
async def world(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Who is booked stands still a fifth of a second later."""
    async with running_world(tmp_path_factory.mktemp("terminal"), settings={"stall_rule": [RULE]}) as world:
        world.hold_back(86_400.0)
        yield world


def news(*, over: bool) -> WatchTracksResponse:
    """News of an alert, raised or resolved."""
    alert = StallAlert(rule="nobody came", reason="call the depot")
    alert.raised_time.FromDatetime(datetime(2026, 11, 21, 8, tzinfo=UTC))
    if over:
        alert.resolved_time.FromDatetime(datetime(2026, 11, 22, 8, tzinfo=UTC))
    return WatchTracksResponse(cursor="7", news=TrackNews(carrier="sf", waybill_number="SF1", alert=alert))


async def test_a_watch_prints_alerts_and_a_track_shows_them(world: World) -> None:
    """One line says parcel, rule and reason; the track names what is open, also as JSON."""
    booked = await kit.booked(world.caller(), "CLI-S1", routing=kit.only("sf"))
    number = booked.booking.waybill_number

    lines = await interrupted(world, "watch", "--cursor", "0", "--alerts-only")
    as_json = await interrupted(world, "watch", "--cursor", "0", "--alerts-only", "--json")
    shown = await crossdock(world, "track", "--order", "CLI-S1")
    shown_json = await crossdock(world, "track", "--order", "CLI-S1", "--json")

    assert f"sf {number}  NOTHING KNOWN  STANDS STILL: nobody came  call the depot" in lines.out
    assert json.loads(as_json.out.splitlines()[0])["news"]["alert"]["rule"] == "nobody came"
    assert "stands still: call the depot (rule nobody came, raised 20" in shown.out
    assert [alert["rule"] for alert in shown_json.json()["alerts"]] == ["nobody came"]


async def test_rules_are_checked_with_the_rest_of_the_configuration(tmp_path: Path) -> None:
    """A condition that does not compile stops the start; the check says the same as the start."""
    path = tmp_path / "crossdock.toml"
    path.write_text(
        f'[store]\npath = "{tmp_path}/store.db"\n'
        '[[stall_rule]]\nname = "slow"\nsince = "booked"\nafter_h = 24\nwhen = "hours > 5"\n'
    )

    checked = await crossdock(None, "config", "check", "--config", str(path))
    served = await crossdock(None, "serve", "--config", str(path))

    assert (checked.code, served.code) == (2, 2)
    assert "stall_rule slow: when: " in checked.err
    assert "a stall rule knows carrier, status, milestone" in checked.err
    assert served.err == checked.err


def test_an_alert_that_is_over_reads_so() -> None:
    """With both times."""
    raised, over = news(over=False).news.alert, news(over=True).news.alert

    assert alert_text(raised, UTC) == "call the depot (rule nobody came, raised 2026-11-21 08:00:00)"
    assert alert_text(over, UTC) == (
        "call the depot (rule nobody came, raised 2026-11-21 08:00:00, over since 2026-11-22 08:00:00)"
    )


@pytest.mark.parametrize(("over", "words"), [(False, "STANDS STILL: nobody came"), (True, "NO MORE: nobody came")])
def test_a_watch_tells_a_beginning_from_an_end(over: bool, words: str) -> None:
    """At the time at which it became so; on a terminal what is open stands out."""
    message = news(over=over)
    console = Console(width=160, force_terminal=True, color_system="standard", record=True)
    console.print(table_of([message], 160))
    alert = message.news.alert

    assert facts(message) == (
        local(alert.resolved_time if over else alert.raised_time),
        "sf SF1",
        "NOTHING KNOWN",
        words,
        "",
        "call the depot",
    )
    assert ("\x1b[31m" in console.export_text(styles=True)) is not over
