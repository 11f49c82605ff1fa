"""Metrics count what happened, to the unit, under the documented labels."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import Histogram as PrometheusHistogram
from prometheus_client.parser import text_string_to_metric_families

from engine.core.policy.breaker import BreakerState
from engine.core.policy.brownout import Level, Reading
from engine.core.policy.diversion import Hindrance
from engine.core.policy.records import AttemptState, OrderState
from engine.histograms import Histogram
from engine.metrics import LaneMetrics, Metrics, StoreMetrics
from engine.outbound import LaneKey, LaneSnapshot, OperationClass
from tests.fakes.rows import NOW, attempt, booking, loaded

LANE = LaneKey("sf", "sf-1", OperationClass.BOOKING)
WHERE = {"carrier": "sf", "account": "sf-1"}


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """A sample as a scrape would show it."""
    for family in text_string_to_metric_families(metrics.expose().decode()):
        for sample in family.samples:
            if sample.name == f"crossdock_{name}" and sample.labels == labels:
                return float(sample.value)
    return None


COUNTED: list[tuple[Callable[[Metrics], None], str, dict[str, str]]] = [
    (
        lambda m: m.attempt_ended(attempt(1, "sf", AttemptState.REJECTED, error_class="CAPACITY")),
        "attempts_total",
        {"carrier": "sf", "outcome": "REJECTED", "error_class": "CAPACITY"},
    ),
    (
        lambda m: m.fell_back("sf", "zto", "CAPACITY"),
        "fallbacks_total",
        {"from_carrier": "sf", "to_carrier": "zto", "reason": "CAPACITY"},
    ),
    (
        lambda m: m.order_settled(loaded(state=OrderState.BOOKED, booking=booking(carrier="sf"))),
        "orders_settled_total",
        {"state": "BOOKED", "carrier": "sf"},
    ),
    (
        lambda m: m.order_settled(loaded(state=OrderState.FAILED)),
        "orders_settled_total",
        {"state": "FAILED", "carrier": ""},
    ),
    (lambda m: m.worker_failed("o1", KeyError("x")), "worker_failures_total", {"error": "KeyError"}),
    (
        lambda m: m.account_asked("sf", "sf-1", ""),
        "account_proving_calls_total",
        {**WHERE, "outcome": "PROVED"},
    ),
    (
        lambda m: m.account_asked("sf", "sf-1", "AUTH A1006"),
        "account_proving_calls_total",
        {**WHERE, "outcome": "FAILED"},
    ),
    (lambda m: m.order_accepted(False), "orders_accepted_total", {}),
    (lambda m: m.order_accepted(True), "orders_replayed_total", {}),
    (lambda m: m.order_refused("ORDER_INVALID"), "orders_refused_total", {"reason": "ORDER_INVALID"}),
    (lambda m: m.push_received("sf", "REFUSED"), "pushes_total", {"carrier": "sf", "outcome": "REFUSED"}),
    (
        lambda m: LaneMetrics(m).finished(LANE, "book", "AMBIGUOUS", "TIMEOUT", 0.2, 1),
        "carrier_calls_total",
        {**WHERE, "operation": "book", "outcome": "AMBIGUOUS", "error_class": "TIMEOUT"},
    ),
    (
        lambda m: LaneMetrics(m).refused(LANE, "book", "RATE"),
        "lane_refusals_total",
        {**WHERE, "operation": "book", "reason": "RATE"},
    ),
    (
        lambda m: LaneMetrics(m).breaker_changed(LANE, BreakerState.OPEN),
        "breaker_changes_total",
        {**WHERE, "operation_class": "BOOKING", "state": "OPEN"},
    ),
    (
        lambda m: LaneMetrics(m).waited(LANE, "book", 0.2),
        "lane_wait_seconds_count",
        {**WHERE, "operation": "book"},
    ),
    (
        lambda m: LaneMetrics(m).rate_wait(LANE, "book", 0.2),
        "lane_rate_wait_seconds_count",
        {**WHERE, "operation": "book"},
    ),
    (lambda m: LaneMetrics(m).started(LANE, "book", 3), "carrier_batch_items_count", {**WHERE, "operation": "book"}),
    (lambda m: StoreMetrics(m).committed(5, 0.001), "store_commit_items_count", {}),
    (lambda m: StoreMetrics(m).committed(5, 0.001), "store_commit_duration_seconds_count", {}),
]


@pytest.mark.parametrize(("happens", "name", "labels"), COUNTED, ids=[f"{i}-{c[1]}" for i, c in enumerate(COUNTED)])
def test_what_happened_twice_is_counted_twice(
    happens: Callable[[Metrics], None], name: str, labels: dict[str, str]
) -> None:
    """Under exactly these labels."""
    metrics = Metrics()
    for _ in range(2):
        happens(metrics)

    assert value(metrics, name, **labels) == 2.0


def test_states_that_no_order_is_in_show_zero() -> None:
    """An alert on NEEDS_REVIEW must go off again."""
    metrics = Metrics()
    metrics.order_counts({OrderState.BOOKED: 4, OrderState.NEEDS_REVIEW: 1})
    metrics.order_counts({OrderState.BOOKED: 5})

    assert value(metrics, "orders", state="BOOKED") == 5.0
    assert value(metrics, "orders", state="NEEDS_REVIEW") == 0.0


def test_orders_at_rest_are_counted_from_zero() -> None:
    """Each state with each carrier that it can have, no other: the first orders that fail are a rise."""
    metrics = Metrics()
    metrics.order_settled(loaded(state=OrderState.FAILED))
    metrics.expect_orders_of(["sf", "zto"])

    shown = {
        (sample.labels["state"], sample.labels["carrier"]): sample.value
        for family in text_string_to_metric_families(metrics.expose().decode())
        for sample in family.samples
        if sample.name == "crossdock_orders_settled_total"
    }
    assert shown == {
        ("BOOKED", "sf"): 0.0,
        ("BOOKED", "zto"): 0.0,
        ("CANCELLED", ""): 0.0,
        ("CANCELLED", "sf"): 0.0,
        ("CANCELLED", "zto"): 0.0,
        ("FAILED", ""): 1.0,
        ("NEEDS_REVIEW", ""): 0.0,
        ("NEEDS_REVIEW", "sf"): 0.0,
        ("NEEDS_REVIEW", "zto"): 0.0,
    }


def test_an_account_without_proof_shows_zero() -> None:
    """From the start, so that an alert can ask for it; a proof shows with its time."""
    metrics = Metrics()
    metrics.accounts_proved({"sf-1": "sf", "zto-1": "zto"}, {"sf-1": NOW})

    assert value(metrics, "account_proved_timestamp_seconds", **WHERE) == NOW.timestamp()
    assert value(metrics, "account_proved_timestamp_seconds", carrier="zto", account="zto-1") == 0.0


def test_stalled_parcels_are_counted_for_every_rule() -> None:
    """A rule that nobody breaks shows zero, also one that is gone from the configuration; changes are counted."""
    metrics = Metrics()
    metrics.stalled_counts({"slow": 3, "gone": 1}, ("slow", "lost"))
    metrics.stalled_counts({"lost": 2}, ("slow", "lost"))
    metrics.alert_changed("slow", "sf", "RAISED")

    assert [value(metrics, "stalled_parcels", rule=rule) for rule in ("slow", "lost", "gone")] == [0.0, 2.0, 0.0]
    assert value(metrics, "stall_alerts_total", rule="slow", carrier="sf", change="RAISED") == 1.0


def test_lanes_are_read_when_scraped() -> None:
    """Depth, calls, limit, breaker, learned rates and their use, the way back; an unlimited rate has no sample."""
    metrics = Metrics()
    lane = LaneSnapshot(
        key=LANE,
        breaker=BreakerState.HALF_OPEN,
        in_flight=2,
        concurrency=8,
        queued=3,
        rates_per_s={"book": 5.0, "find": None},
        used_shares={"book": 0.96, "find": None},
        ramp_percent=25,
    )
    metrics.before_scrape.append(lambda: metrics.lane_snapshots([lane]))
    where = {**WHERE, "operation_class": "BOOKING"}

    assert value(metrics, "lane_queue_depth", **where) == 3.0
    assert value(metrics, "carrier_calls_in_flight", **where) == 2.0
    assert value(metrics, "lane_concurrency_limit", **where) == 8.0
    assert value(metrics, "breaker_state", **where) == 1.0
    assert value(metrics, "lane_rate_per_second", **WHERE, operation="book") == 5.0
    assert value(metrics, "lane_rate_per_second", **WHERE, operation="find") is None
    assert value(metrics, "lane_quota_used_ratio", **WHERE, operation="book") == 0.96
    assert value(metrics, "lane_quota_used_ratio", **WHERE, operation="find") is None
    assert value(metrics, "failback_ratio", account=WHERE["account"]) == 0.25


def test_diversions_and_levels_are_counted() -> None:
    """From whom to whom and why; which level because of what."""
    metrics = Metrics()
    metrics.diverted("sf", "zto", Hindrance.QUEUE_WAIT)
    metrics.brownout_changed(Reading(Level.LABELS, "loop_lag"))

    assert value(metrics, "diversions_total", from_carrier="sf", to_carrier="zto", reason="QUEUE_WAIT") == 1.0
    assert value(metrics, "brownout_level") == 3.0
    assert value(metrics, "brownout_changes_total", level="3", cause="loop_lag") == 1.0


def test_the_writers_queue_is_a_gauge() -> None:
    """The last value counts."""
    metrics = Metrics()
    StoreMetrics(metrics).queue_depth(7)
    StoreMetrics(metrics).queue_depth(2)

    assert value(metrics, "store_queue_depth") == 2.0


def test_a_histogram_is_shown_as_prometheus_own() -> None:
    """Bounds, sums and counts, with labels and without; a bound belongs to the bucket below it."""
    registries = CollectorRegistry(), CollectorRegistry()
    bounds = (0.005, 1.0, 2.5)
    theirs = [
        PrometheusHistogram("crossdock_a", "A.", ("x", "y"), buckets=bounds, registry=registries[0]),
        PrometheusHistogram("crossdock_b", "B.", buckets=bounds, registry=registries[0]),
    ]
    ours = [
        Histogram("crossdock_a", "A.", ("x", "y"), buckets=bounds, registry=registries[1]),
        Histogram("crossdock_b", "B.", buckets=bounds, registry=registries[1]),
    ]
    for amount in (0.0, 0.005, 0.0051, 1.0, 2.0, 2.5, 2.51, 1000.0):
        for labelled, plain in (theirs, ours):
            labelled.labels("1", "2").observe(amount)
            labelled.labels("1", "3")
            plain.observe(amount)

    shown = [generate_latest(registry).decode().splitlines() for registry in registries]

    assert shown[1] == [line for line in shown[0] if "_created" not in line]


def test_a_histogram_wants_all_its_labels() -> None:
    """A mistake in the code is told at once."""
    histogram = Histogram("crossdock_a", "A.", ("x", "y"), buckets=(1.0,), registry=CollectorRegistry())

    with pytest.raises(ValueError, match="crossdock_a has the labels x, y"):
        histogram.labels("1")
