"""An engine without a single order finds out which of its accounts work, and tells."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from crossdock_zto.simulator import ZtoSimulator
from engine.core.policy.proving import first_delay_s
from tests.acceptance.harness import World, world

pytestmark = [pytest.mark.anyio, pytest.mark.acceptance, pytest.mark.timeout(120)]

PROVED = "crossdock_account_proved_timestamp_seconds"
CALLS = "crossdock_account_proving_calls_total"


def first_asked(carrier: str) -> str:
    """The id of an account that is asked at once, so that nobody waits for the minutes of the spread."""
    return next(name for n in count() if first_delay_s(name := f"{carrier}-{n}") == 0)


async def test_accounts_show_before_the_first_order_whether_they_work(tmp_path: Path) -> None:
    """Both carriers' simulators know the account; the one with a changed secret is not proved and says why."""
    sf, zto, wrong = (first_asked(name) for name in ("sf", "zto", "zto-wrong"))
    account = ZtoSimulator.account("")
    broken = {**account.settings, "app_secret": "changed-since", "account_password": "x"}
    settings: Mapping[str, Mapping[str, Any]] = {
        "account": {"sf": {"id": sf}, "zto": {"id": zto}, "zto-wrong": {"id": wrong, "settings": broken}},
        "outbound": {"prove_accounts": True},
    }
    async with world(tmp_path, carriers=("sf", "zto", "zto-wrong"), settings=settings) as w:
        calls = await _asked(w, 3)
        proofs = await _samples(w, PROVED)
        sent = {name: (await simulator.stats())["calls"] for name, simulator in w.sandbox.simulators.items()}

    assert calls == {(sf, "PROVED"): 1.0, (zto, "PROVED"): 1.0, (wrong, "FAILED"): 1.0}
    assert {account_id: time > 0 for (account_id, _), time in proofs.items()} == {sf: True, zto: True, wrong: False}
    assert set(sent["sf"]) == set(sent["zto"]) == {"quote"}
    assert not any(simulator.entries() for simulator in w.sandbox.simulators.values())
    assert '"why":"AUTH S211"' in (tmp_path / "engine.log").read_text("utf-8")


async def _asked(w: World, wanted: int) -> dict[tuple[str, str], float]:
    """The proving calls, once so many have ended, at most 30 s from now."""
    async with asyncio.timeout(30.0):
        while sum((calls := await _samples(w, CALLS)).values()) < wanted:
            await asyncio.sleep(0.1)
    return calls


async def _samples(w: World, name: str) -> dict[tuple[str, str], float]:
    """Account and outcome -> value."""
    async with httpx.AsyncClient(trust_env=False) as http:
        text = (await http.get(f"{w.sandbox.http}/metrics")).text
    return {
        (sample.labels["account"], sample.labels.get("outcome", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }
