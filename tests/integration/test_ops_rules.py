"""Rules and alerts as Prometheus's own tools see them, and every alert fired once with its text rendered."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.core.policy.breaker import BreakerState
from engine.core.policy.brownout import Level, Reading
from engine.core.policy.return_records import ReturnState
from engine.metrics import BREAKER_VALUES, Metrics
from engine.ops.prometheus import Prometheus
from tests.integration.ops_kit import RULES, alert_rules, exposing, needs_prometheus, running_prometheus, told

RULE_FILES = sorted(RULES.glob("*.yml"))
RULE_TESTS = sorted((RULES / "tests").glob("*.yml"))
ALERTS = [pytest.param(rule, id=rule["alert"]) for rule in alert_rules()]
BOOK = ("sf", "sf-main", "book")

NOT_PRODUCED = {
    "CrossdockDown": "needs a target that is gone; tests/acceptance/test_ops.py kills one",
    "CrossdockNotScraped": "needs a Prometheus without the engine; the rule tests have one",
    "CrossdockNoOrders": "compares with yesterday; only the rule tests have a yesterday",
}


@pytest.fixture(scope="module")
def fired(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Alert -> every text it was told with, of a made-up engine in every trouble there is."""
    return asyncio.run(_fire(tmp_path_factory.mktemp("alerts")))


@needs_prometheus
def test_prometheus_takes_the_rules() -> None:
    """`promtool check rules` finds no fault."""
    done = _promtool("check", "rules", *RULE_FILES)

    assert done.returncode == 0, done.stdout + done.stderr


@needs_prometheus
@pytest.mark.parametrize("path", RULE_TESTS, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_only_then(path: Path) -> None:
    """Each scenario names every alert that fires, after its `for` and not before."""
    done = _promtool("test", "rules", path)

    assert done.returncode == 0, done.stdout + done.stderr


@needs_prometheus
def test_a_rule_that_misses_its_alert_fails_the_rule_tests(tmp_path: Path) -> None:
    """The rule tests can fail: with another limit the alert stays silent."""
    (tmp_path / "tests").mkdir()
    for path in (*RULE_FILES, *RULE_TESTS):
        text = path.read_text("utf-8").replace("store_queue_depth) > 2000", "store_queue_depth) > 20000")
        tmp_path.joinpath(path.relative_to(RULES)).write_text(text, "utf-8")

    done = _promtool("test", "rules", tmp_path / "tests" / "store.yml")

    assert done.returncode != 0
    assert "CrossdockStoreQueueGrowing" in done.stdout + done.stderr


@pytest.mark.parametrize("rule", ALERTS)
def test_each_alert_has_a_test_in_which_it_fires(rule: dict[str, Any]) -> None:
    """An alert nobody has seen fire is a hope."""
    expected = {
        name
        for path in RULE_TESTS
        for case in yaml.safe_load(path.read_text("utf-8"))["tests"]
        for check in case["promql_expr_test"]
        for sample in check["exp_samples"]
        for name in re.findall(r'alertname="(\w+)"', sample["labels"])
    }

    assert rule["alert"] in expected


@pytest.mark.parametrize("rule", ALERTS)
def test_each_alert_tells_how_bad_what_and_what_to_do(rule: dict[str, Any]) -> None:
    """Somebody who was asleep a minute ago can act on it."""
    texts = rule["annotations"]

    assert rule["labels"] in ({"severity": "critical"}, {"severity": "warning"})
    assert set(texts) == {"summary", "description", "runbook"}
    assert "Remedy:" in texts["description"]
    assert texts["runbook"].startswith("1. ")


def test_each_recording_rule_is_used() -> None:
    """By an alert or a panel; what nobody reads is not worth computing."""
    recorded = _recorded()
    readers = (RULES / "alerts.yml").read_text("utf-8")
    readers += (RULES.parent / "dashboards" / "crossdock.json").read_text("utf-8")

    unread = [name for name in recorded if name not in readers]

    assert len(recorded) == len(set(recorded))
    assert unread == []


def test_each_recorded_name_that_is_read_is_recorded() -> None:
    """Prometheus takes a wrong name for a series that has no data yet."""
    readers = (RULES / "alerts.yml").read_text("utf-8")
    readers += (RULES.parent / "dashboards" / "crossdock.json").read_text("utf-8")

    read = set(re.findall(r"\bcrossdock:\w+:\w+", readers))

    assert read - set(_recorded()) == set()


def test_the_readme_lists_the_alerts_as_they_are() -> None:
    """Name, severity and waiting time; an operator looks there first."""
    readme = (RULES.parent / "README.md").read_text("utf-8")

    listed = re.findall(r"^\| `(Crossdock\w+)` \| (\w+) \| ([^|]+) \|", readme, re.MULTILINE)

    assert listed == [(r["alert"], r["labels"]["severity"], r.get("for", "at once")) for r in alert_rules()]


@needs_prometheus
@pytest.mark.parametrize("rule", [p for p in ALERTS if p.id not in NOT_PRODUCED])
def test_each_alert_fires_on_the_engines_own_metrics(rule: dict[str, Any], fired: dict[str, list[str]]) -> None:
    """Names and labels are those the engine exposes, and every placeholder of the texts is filled in."""
    texts = fired.get(rule["alert"], [])

    assert len(texts) >= len(rule["annotations"]), f"did not fire; fired: {sorted(fired)}"
    assert [text for text in texts if "<no value>" in text or "<error expanding" in text] == []


def _promtool(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = ["promtool", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def _recorded() -> list[str]:
    groups = yaml.safe_load((RULES / "recording.yml").read_text("utf-8"))["groups"]
    return [rule["record"] for group in groups for rule in group["rules"]]


async def _fire(folder: Path) -> dict[str, list[str]]:
    """Run until everything fires that can, or 15 s are over."""
    metrics = Metrics()
    metrics.before_scrape.append(lambda: _trouble(metrics))
    seen: dict[str, set[str]] = {}
    wanted = {rule["alert"] for rule in alert_rules()} - NOT_PRODUCED.keys()
    with exposing(metrics.expose) as target:
        async with running_prometheus(folder, {"crossdock": target}) as url:

            def all_seen(asked: Prometheus) -> bool:
                for rule in asked.rules():
                    for alert in rule.get("alerts", []):
                        seen.setdefault(rule["name"], set()).update(alert["annotations"].values())
                return wanted <= seen.keys()

            await told(url, all_seen, 15.0)
    return {name: sorted(texts) for name, texts in seen.items()}


def _trouble(metrics: Metrics) -> None:
    """At every scrape: more of everything an alert is for."""
    metrics.grpc_calls("GetOrder", "INTERNAL").inc()
    for method, seconds in (("CreateOrder", 20.0), ("GetOrder", 5.0)):
        metrics.grpc_seconds(method).observe(seconds)
    for reason in ("ENGINE_OVERLOADED", "NO_ELIGIBLE_CARRIER"):
        metrics.order_refused(reason)
    metrics.order_accepted(replayed=False)
    metrics.orders_settled("FAILED", "").inc()
    metrics.orders("BOOKING").inc(1000)
    metrics.orders("NEEDS_REVIEW").set(2)
    metrics.attempts("sf", "UNKNOWN", "").inc(10)
    for _ in range(10):
        metrics.fell_back("sf", "zto", "CAPACITY")
        metrics.diverted("sf", "zto", "QUEUE_WAIT")
    metrics.failback_ratio("sf-main").set(0.1)
    metrics.quota_used(*BOOK).set(0.99)
    metrics.accounts_proved({"sf-main": "sf"}, {})
    metrics.brownout_changed(Reading(Level.BOOKINGS, "loop_lag"))
    metrics.worker_failed("", KeyError())
    metrics.push_received("sf", "REFUSED")
    _lane_trouble(metrics, (("REFUSED", "RATE_LIMITED", 10), ("REFUSED", "AUTH", 1), ("PLUGIN_FAULT", "", 1)))
    metrics.commit_seconds().observe(0.9)
    metrics.store_queue().set(5000)
    metrics.dead_letters().set(2)
    metrics.unmapped_codes("sf").inc()
    metrics.track_polled("sf", "FAILED")
    metrics.return_counts({ReturnState.FAILED: 1, ReturnState.UNDER_REVIEW: 51})
    metrics.stalled_parcels("no-movement").inc(100)


def _lane_trouble(metrics: Metrics, calls: Iterable[tuple[str, str, int]]) -> None:
    for outcome, error_class, count in calls:
        metrics.carrier_calls(*BOOK, outcome, error_class).inc(count)
    metrics.carrier_seconds(*BOOK).observe(20.0)
    metrics.lane_wait(*BOOK).observe(20.0)
    metrics.lane_refusals(*BOOK, "QUEUE_FULL").inc()
    metrics.breaker("sf", "sf-main", "BOOKING").set(BREAKER_VALUES[BreakerState.OPEN])
    for state in (BreakerState.OPEN, BreakerState.CLOSED):
        metrics.breaker_changes("sf", "sf-main", "BOOKING", state.value).inc(3)
