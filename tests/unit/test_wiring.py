"""From settings to what the rooms take: accounts, tenants, keys; everything wrong is named."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from crossdock_sdk.manifest import Setting
from engine import log
from engine.config import (
    AccountSettings,
    ConfigError,
    OutboundSettings,
    PartySettings,
    Settings,
    TariffStep,
    TenantSettings,
)
from engine.core.policy.records import AttemptState
from engine.core.policy.routing import Tariff
from engine.core.registry import Plugin, Registry
from engine.metrics import Metrics
from engine.outbound import Outbound
from engine.store.memory import MemoryStore
from engine.wiring import (
    ProvingReport,
    account_facts,
    accounts_of,
    proving_of,
    read_master_key,
    shares_of,
    split_listen,
    tallies_of,
    tenants_of,
)
from tests.fakes.carrier import FakeCarrier, Network, answer, manifest
from tests.fakes.clock import START, FakeClock
from tests.fakes.rows import attempt

SETTINGS = (
    Setting("check_word", "the check word", secret=True),
    Setting("mode", "how", required=False, choices=("a", "b"), default="a"),
)
REGISTRY = Registry(
    {"alpha": FakeCarrier(manifest("alpha", setting=SETTINGS))}, (Plugin("broken", "m", "1", "ImportError: no x"),)
)
SOUND = AccountSettings(id="alpha-1", carrier="alpha", settings={"check_word": "s3cret"})


def problems(account: AccountSettings) -> list[str]:
    """What is wrong with an account."""
    with pytest.raises(ConfigError) as refusal:
        accounts_of(Settings(account=(account,)), REGISTRY)
    return refusal.value.problems


def test_a_sound_account_gets_its_settings_and_secrets_apart() -> None:
    """Defaults come from the manifest, the URL too unless it is configured."""
    other = replace(SOUND, id="alpha-2", base_url="https://sandbox.invalid", settings={"check_word": "y", "mode": "b"})

    accounts = accounts_of(Settings(account=(SOUND, other)), REGISTRY)

    first, second = accounts["alpha-1"], accounts["alpha-2"]
    assert (first.base_url, first.setting("mode")) == ("https://alpha.invalid", "a")
    assert first.secret("check_word") == "s3cret"
    assert (second.base_url, second.setting("mode")) == ("https://sandbox.invalid", "b")
    assert "s3cret" not in repr(first) + repr(first.secrets) + repr(first.settings)


@pytest.mark.parametrize(
    ("account", "what"),
    [
        (replace(SOUND, carrier="nobody"), "carrier: 'nobody' is not loaded; loaded: alpha; install its plug-in"),
        (replace(SOUND, carrier="broken"), "carrier: 'broken' is not loaded (ImportError: no x); install its plug-in"),
        (replace(SOUND, settings={}), "settings.check_word_file: is missing (the check word)"),
        (
            replace(SOUND, settings={"check_word": "s3cret", "x": "s3cret"}),
            "settings.x: alpha has no such setting; known: check_word, mode",
        ),
        (replace(SOUND, settings={"check_word": "s3cret", "mode": "c"}), "settings.mode: use one of a, b"),
    ],
)
def test_an_account_that_its_carrier_cannot_use_is_named(account: AccountSettings, what: str) -> None:
    """With key and remedy, never with a value."""
    (problem,) = problems(account)

    assert problem.startswith(f"account alpha-1: {what}")
    assert "s3cret" not in problem


def test_an_account_that_is_switched_off_gets_no_new_bookings() -> None:
    """It is out of routing, caps and shares; what it has booked before can still be asked about."""
    off = replace(SOUND, id="alpha-0", enabled=False, daily_cap=5, share_percent=50)
    settings = Settings(account=(off, SOUND))

    assert list(accounts_of(settings, REGISTRY)) == ["alpha-1", "alpha-0"]
    assert [facts.account_id for facts in account_facts(settings, REGISTRY)] == ["alpha-1"]
    assert tallies_of(settings).caps == {}
    assert not shares_of(settings)


def test_routing_learns_priority_and_tariff() -> None:
    """Of accounts whose carriers are here."""
    step = TariffStep(
        provinces=("*",), first_weight_g=1000, first_price_fen=1200, step_weight_g=500, step_price_fen=300
    )
    gone = replace(SOUND, id="gone-1", carrier="gone")

    (facts,) = account_facts(Settings(account=(replace(SOUND, priority=7, tariff=(step,)), gone)), REGISTRY)

    assert (facts.account_id, facts.carrier, facts.priority) == ("alpha-1", "alpha", 7)
    assert facts.tariff == (Tariff(("*",), 1000, 1200, 500, 300),)


def proved(metrics: Metrics) -> dict[str, float]:
    """Account -> when it last proved itself, as a scrape shows it."""
    found = text_string_to_metric_families(metrics.expose().decode())
    family = next(f for f in found if f.name == "crossdock_account_proved_timestamp_seconds")
    return {sample.labels["account"]: sample.value for sample in family.samples}


async def proving_calls(settings: Settings, registry: Registry, metrics: Metrics) -> list[tuple[str, str]]:
    """What goes out to carriers in the first ten minutes without an order."""
    clock = FakeClock()
    network, store = Network(clock), MemoryStore()
    network.always("alpha", "quote", answer(price=1200))
    async with Outbound(accounts_of(settings, registry), registry.carriers, lambda: network, clock) as outbound:
        job = proving_of(settings, registry, store=store, outbound=outbound, metrics=metrics, clock=clock)
        running = asyncio.create_task(job.run(lambda error: None))
        for _ in range(10):
            await clock.settle(60.0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return network.sent


@pytest.mark.anyio
async def test_enabled_accounts_prove_themselves() -> None:
    """Each has its sample from the start; one that is switched off has none, so that no alert reports it."""
    metrics = Metrics()
    settings = Settings(account=(SOUND, replace(SOUND, id="alpha-off", enabled=False)))

    sent = await proving_calls(settings, REGISTRY, metrics)

    assert sent == [("alpha", "quote")]
    assert proved(metrics).keys() == {"alpha-1"}
    assert proved(metrics)["alpha-1"] > START.timestamp()


@pytest.mark.anyio
async def test_accounts_are_asked_nothing_when_that_is_switched_off() -> None:
    """The age of their proof shows all the same, and bookings prove them."""
    metrics = Metrics()
    settings = Settings(account=(SOUND,), outbound=OutboundSettings(prove_accounts=False))

    sent = await proving_calls(settings, REGISTRY, metrics)
    before = proved(metrics)
    metrics.attempt_ended(attempt(1, "alpha", AttemptState.REJECTED, end_time=START))
    refused = proved(metrics)
    metrics.attempt_ended(attempt(1, "alpha", AttemptState.CONFIRMED, end_time=START))

    assert sent == []
    assert before == refused == {"alpha-1": 0.0}
    assert proved(metrics) == {"alpha-1": START.timestamp()}


def test_a_failed_proof_is_logged_with_its_cause(capture_log: io.BytesIO) -> None:
    """Account and class, nothing else; a proof is no news. Both are counted."""
    metrics = Metrics()
    report = ProvingReport(metrics)

    report.account_asked("sf", "sf-1", "")
    report.account_asked("sf", "sf-1", "AUTH A1006")

    labels = {"carrier": "sf", "account": "sf-1"}
    counted = [
        metrics.registry.get_sample_value("crossdock_account_proving_calls_total", {**labels, "outcome": outcome})
        for outcome in ("PROVED", "FAILED")
    ]
    (line,) = [json.loads(line) for line in capture_log.getvalue().splitlines()]
    del line["timestamp"]
    assert counted == [1.0, 1.0]
    assert line == {
        "event": "account not proved", "level": "warning", "account": "sf-1", "carrier": "sf", "why": "AUTH A1006",
    }  # fmt: skip


@pytest.fixture
def capture_log() -> Iterator[io.BytesIO]:
    """What is logged."""
    stream = io.BytesIO()
    log.configure("info", stream)
    yield stream
    structlog.reset_defaults()


def test_a_tenants_warehouse_is_normalised() -> None:
    """As a shipper in a request would be."""
    warehouse = PartySettings(
        name="仓库", phone="+86 139-8765-4321", province="广东", city="深圳", district="福田", street="一路1号"
    )

    tenants = tenants_of(Settings(tenant=(TenantSettings(name="acme", shipper=warehouse),)))

    party = tenants.warehouses["acme"]
    assert (party.contact.phone, party.address.province, party.address.district) == ("13987654321", "广东省", "福田区")


def test_a_wrong_warehouse_is_named_before_anything_starts() -> None:
    """With tenant, field and remedy."""
    warehouse = PartySettings(name="", phone="1", province="火星", city="x", street="y")

    with pytest.raises(ConfigError) as refusal:
        tenants_of(Settings(tenant=(TenantSettings(name="acme", shipper=warehouse),)))

    assert all(p.startswith("tenant acme: shipper.") for p in refusal.value.problems)
    assert len(refusal.value.problems) >= 3


def test_the_master_key_is_64_hex_digits_in_a_file_of_its_own(tmp_path: Path) -> None:
    """32 bytes; readable by the owner only."""
    path = tmp_path / "key"
    path.write_text("ab" * 32 + "\n")
    path.chmod(0o600)

    assert read_master_key(path) == b"\xab" * 32


@pytest.mark.parametrize(
    ("content", "mode", "what"),
    [
        ("ab" * 32, 0o644, "chmod 600"),
        ("ab" * 31, 0o600, "64 hex digits"),
        ("zz" * 32, 0o600, "64 hex digits"),
        ("é", 0o600, "64 hex digits"),
        (None, 0o600, r"cannot be read \(No such file or directory\); name the file .* openssl rand"),
    ],
)
def test_a_master_key_that_cannot_be_used_is_refused(content: str | None, mode: int, what: str, tmp_path: Path) -> None:
    """With the key of the settings and the remedy; never with the key itself."""
    path = tmp_path / "key"
    if content is not None:
        path.write_text(content, "utf-8")
        path.chmod(mode)

    with pytest.raises(ConfigError, match=rf"store\.master_key_file: .*{what}") as refusal:
        read_master_key(path)

    assert content is None or content not in str(refusal.value)


@pytest.mark.parametrize(
    ("listen", "apart"), [("127.0.0.1:1", ("127.0.0.1", 1)), ("[::1]:50051", ("::1", 50051)), ("host:0", ("host", 0))]
)
def test_a_listen_address_is_taken_apart(listen: str, apart: tuple[str, int]) -> None:
    """Brackets are only spelling."""
    assert split_listen(listen) == apart
