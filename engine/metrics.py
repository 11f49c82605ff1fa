"""Every metric of the engine, in one place. Names, labels and units are documented in ops/README.md.

Children of labelled metrics are looked up once and kept: `labels()` costs three times an increment.
Label values are bounded: carrier and operation come from manifests, states and classes from enums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics, generate_latest

from engine.core.policy.breaker import BreakerState
from engine.core.policy.brownout import Reading
from engine.core.policy.pressure import Pressure, Waits
from engine.core.policy.records import AT_REST, AttemptRecord, LoadedOrder, OrderState
from engine.core.policy.return_records import ReturnReason, ReturnState, Verdict
from engine.core.policy.track_records import TrackSource
from engine.histograms import Histogram
from engine.outbound.observe import LaneKey, LaneSnapshot
from engine.outbound.operations import OperationClass

M = TypeVar("M", Counter, Gauge, Histogram)

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
REFUSALS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0)
COMMIT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)

# A series beside every counter would say when the process began, which is known already.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library's has no annotations

BREAKER_VALUES = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}


class Children(Generic[M]):
    """One metric; called with label values it gives the child, from a dictionary after the first time."""

    __slots__ = ("_children", "metric")

    def __init__(self, metric: M) -> None:
        self.metric: M = metric
        self._children: dict[tuple[str, ...], M] = {}

    def __call__(self, *values: str) -> M:
        child = self._children.get(values)
        if child is None:
            child = self._children[values] = self.metric.labels(*values) if values else self.metric
        return child


class Metrics:
    """All metrics of one process, and the observer of bookings, callers and pushes."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.before_scrape: list[Callable[[], None]] = []
        self.after_attempt: list[Callable[[AttemptRecord], None]] = []
        self._grpc_metrics()
        self._order_metrics()
        self._return_metrics()
        self._carrier_metrics()
        self._store_metrics()

    def expose(self) -> bytes:
        """The text of /metrics (Prometheus exposition format 0.0.4)."""
        for refresh in self.before_scrape:
            refresh()
        return generate_latest(self.registry)

    def expect_orders_of(self, carriers: Iterable[str]) -> None:
        """Orders at rest are counted from zero: `rate` misses what a series begins with, which would hide the first
        orders that failed together. Repeatable."""
        booked_or_not = {OrderState.BOOKED: (True,), OrderState.FAILED: (False,)}
        named = tuple(carriers)
        for state in AT_REST:
            for is_booked in booked_or_not.get(state, (True, False)):
                for carrier in named if is_booked else ("",):
                    self.orders_settled(state.value, carrier)

    def _grpc_metrics(self) -> None:
        self.grpc_calls = self._counter("grpc_calls_total", "gRPC calls ended.", "method", "code")
        self.grpc_seconds = self._histogram("grpc_call_duration_seconds", "Time of gRPC calls.", SECONDS, "method")
        self.grpc_open = self._gauge("grpc_calls_in_flight", "gRPC calls under way.", "method")
        self.tasks = self._gauge("tasks", "Coroutines under way in the engine's event loop.")
        self.brownout_level = self._gauge("brownout_level", "What is given up under overload: 0 nothing, 4 bookings.")
        self.brownout_changes = self._counter(
            "brownout_changes_total", "Changes of the brownout level.", "level", "cause"
        )
        self.brownout_pressure = self._gauge(
            "brownout_pressure", "How hard calls press, in levels, on all tenants or on greedy ones.", "on"
        )
        self.door_wait = self._gauge("door_wait_seconds", "How long calls wait until they are seen.", "queue")
        self.refusal_seconds = self._histogram(
            "grpc_refusal_duration_seconds",
            "From a call's arrival here to its refusal for overload.",
            REFUSALS,
        )
        self.watchers = self._gauge("watchers", "Open watch streams.")
        self.pushes = self._counter("pushes_total", "Carrier pushes by outcome.", "carrier", "outcome")

        self.dead_letters = self._gauge("dead_letters", "Pushes set aside, not applied.")
        self.track_events = self._counter("track_events_total", "New tracking events.", "carrier", "source")
        self.unmapped_codes = self._counter(
            "track_unmapped_codes_total", "Events with a code no table knows.", "carrier"
        )
        self.track_polls = self._counter(
            "track_polls_total", "Questions to carriers about parcels.", "carrier", "outcome"
        )
        self.stall_alerts = self._counter(
            "stall_alerts_total", "Alerts of parcels that stand still.", "rule", "carrier", "change"
        )
        self.stalled_parcels = self._gauge("stalled_parcels", "Parcels with an open alert.", "rule")
        self._stall_rules: set[str] = set()

    def _order_metrics(self) -> None:
        self.orders_accepted = self._counter("orders_accepted_total", "Orders made durable.")
        self.orders_replayed = self._counter("orders_replayed_total", "Creations answered from a key.")
        self.orders_refused = self._counter("orders_refused_total", "Creations refused.", "reason")
        self.orders_settled = self._counter("orders_settled_total", "Orders come to rest.", "state", "carrier")
        self.orders = self._gauge("orders", "Orders in the store by state.", "state")
        self.orders_open = self._gauge("orders_in_work", "Orders with a running worker.")
        self.attempts = self._counter(
            "attempts_total", "Booking attempts by outcome and class.", "carrier", "outcome", "error_class"
        )
        self.fallbacks = self._counter(
            "fallbacks_total", "Orders taken over by another carrier.", "from_carrier", "to_carrier", "reason"
        )
        self.diversions = self._counter(
            "diversions_total", "Orders sent past their first candidate.", "from_carrier", "to_carrier", "reason"
        )
        self.worker_failures = self._counter("worker_failures_total", "Booking workers that died.", "error")

    def _return_metrics(self) -> None:
        self.returns_requested = self._counter("returns_requested_total", "Returns asked for.", "reason", "verdict")
        self.refunds_due = self._counter("refunds_due_total", "Returns received.", "reason")
        self.returns = self._gauge("returns", "Returns in the store by state.", "state")

    def _carrier_metrics(self) -> None:
        lane = ("carrier", "account", "operation")
        self.carrier_calls = self._counter(
            "carrier_calls_total", "Calls to carriers by outcome.", *lane, "outcome", "error_class"
        )
        self.carrier_seconds = self._histogram(
            "carrier_call_duration_seconds", "Time of calls to carriers.", SECONDS, *lane
        )
        self.carrier_batch = self._histogram("carrier_batch_items", "Items per call to a carrier.", BATCHES, *lane)
        self.lane_wait = self._histogram("lane_wait_seconds", "Time in a lane's queue.", SECONDS, *lane)
        self.lane_rate_wait = self._histogram(
            "lane_rate_wait_seconds", "Time a lane's first item is held back by the rate.", SECONDS, *lane
        )
        self.rate = self._gauge(
            "lane_rate_per_second", "Calls a second a lane may make now; absent while unlimited.", *lane
        )
        self.quota_used = self._gauge(
            "lane_quota_used_ratio", "Calls of the last minute by what the rate allows.", *lane
        )
        self.lane_refusals = self._counter("lane_refusals_total", "Items a lane sent away unsent.", *lane, "reason")
        per_lane = ("carrier", "account", "operation_class")
        self.carrier_open = self._gauge("carrier_calls_in_flight", "Calls to carriers under way.", *per_lane)
        self.lane_depth = self._gauge("lane_queue_depth", "Items waiting in a lane.", *per_lane)
        self.concurrency = self._gauge("lane_concurrency_limit", "Calls a lane may have under way now.", *per_lane)
        self.breaker = self._gauge(
            "breaker_state", "State of a lane's breaker: 0 closed, 1 half-open, 2 open.", *per_lane
        )
        self.failback_ratio = self._gauge("failback_ratio", "Part of its orders that an account gets.", "account")
        self.breaker_changes = self._counter(
            "breaker_changes_total", "Changes of a breaker's state.", *per_lane, "state"
        )
        self.account_proved = self._gauge(
            "account_proved_timestamp_seconds", "When an account last proved that it works.", "carrier", "account"
        )
        self.proving_calls = self._counter(
            "account_proving_calls_total", "Calls that only prove an account.", "carrier", "account", "outcome"
        )

    def _store_metrics(self) -> None:
        self.commit_seconds = self._histogram("store_commit_duration_seconds", "Time of a commit.", COMMIT_SECONDS)
        self.commit_items = self._histogram("store_commit_items", "Writes per commit.", BATCHES)
        self.store_queue = self._gauge("store_queue_depth", "Writes waiting for the writer.")

    def _counter(self, name: str, text: str, *labels: str) -> Children[Counter]:
        return Children(Counter(f"crossdock_{name}", text, labels, registry=self.registry))

    def _gauge(self, name: str, text: str, *labels: str) -> Children[Gauge]:
        return Children(Gauge(f"crossdock_{name}", text, labels, registry=self.registry))

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Children[Histogram]:
        return Children(Histogram(f"crossdock_{name}", text, labels, buckets=buckets, registry=self.registry))

    # BookingObserver

    def attempt_ended(self, attempt: AttemptRecord) -> None:
        """See BookingObserver."""
        self.attempts(attempt.carrier, attempt.state.value, attempt.error_class).inc()
        for hear in self.after_attempt:
            hear(attempt)

    def fell_back(self, from_carrier: str, to_carrier: str, reason: str) -> None:
        """See BookingObserver."""
        self.fallbacks(from_carrier, to_carrier, reason).inc()

    def diverted(self, from_carrier: str, to_carrier: str, reason: str) -> None:
        """See BookingObserver and OrdersObserver."""
        self.diversions(from_carrier, to_carrier, str(reason)).inc()

    def order_settled(self, order: LoadedOrder) -> None:
        """See BookingObserver."""
        booking = order.order.booking
        self.orders_settled(order.order.state.value, booking.carrier if booking else "").inc()

    def worker_failed(self, order_id: str, error: BaseException) -> None:
        """See BookingObserver."""
        self.worker_failures(type(error).__name__).inc()

    # OverloadObserver

    def brownout_changed(self, reading: Reading) -> None:
        """See OverloadObserver."""
        self.brownout_level().set(reading.level)
        self.brownout_changes(str(int(reading.level)), reading.signal).inc()

    def pressed(self, pressure: Pressure, waits: Waits) -> None:
        """How hard the engine is pressed now."""
        self.brownout_pressure("all").set(pressure.on_all)
        self.brownout_pressure("greedy").set(pressure.on_greedy)
        self.door_wait("bookings").set(waits.bookings_s)
        self.door_wait("tracks").set(waits.tracks_s)
        self.door_wait("others").set(waits.others_s)

    # ProvingObserver

    def account_asked(self, carrier: str, account_id: str, failure: str) -> None:
        """See ProvingObserver."""
        self.proving_calls(carrier, account_id, "FAILED" if failure else "PROVED").inc()

    def accounts_proved(self, carriers: Mapping[str, str], times: Mapping[str, datetime]) -> None:
        """Set the age of each account's proof, 0 while there was none. carriers: of all accounts, by account id."""
        for account_id, carrier in carriers.items():
            time = times.get(account_id)
            self.account_proved(carrier, account_id).set(time.timestamp() if time else 0.0)

    # OrdersObserver

    def order_accepted(self, replayed: bool) -> None:
        """See OrdersObserver."""
        (self.orders_replayed if replayed else self.orders_accepted)().inc()

    def order_refused(self, reason: str) -> None:
        """See OrdersObserver."""
        self.orders_refused(reason).inc()

    # ReturnsObserver

    def return_requested(self, reason: ReturnReason, verdict: Verdict) -> None:
        """See ReturnsObserver."""
        self.returns_requested(reason.value, verdict.value).inc()

    def refund_due(self, reason: ReturnReason) -> None:
        """See ReturnsObserver."""
        self.refunds_due(reason.value).inc()

    # TrackObserver

    def events_kept(self, carrier: str, source: TrackSource, new: int, unknown: int) -> None:
        """See TrackObserver."""
        self.track_events(carrier, source.value).inc(new)
        if unknown:
            self.unmapped_codes(carrier).inc(unknown)

    def track_polled(self, carrier: str, outcome: str) -> None:
        """See TrackObserver."""
        self.track_polls(carrier, outcome).inc()

    # StallObserver

    def alert_changed(self, rule: str, carrier: str, change: str) -> None:
        """See StallObserver."""
        self.stall_alerts(rule, carrier, change).inc()

    # PushObserver

    def push_received(self, carrier: str, outcome: str) -> None:
        """See PushObserver."""
        self.pushes(carrier, outcome).inc()

    def order_counts(self, counts: dict[OrderState, int]) -> None:
        """Set the gauge of stored orders, zero for states nobody is in."""
        for state in OrderState:
            self.orders(state.value).set(counts.get(state, 0))

    def return_counts(self, counts: dict[ReturnState, int]) -> None:
        """Set the gauge of stored returns, zero for states nobody is in."""
        for state in ReturnState:
            self.returns(state.value).set(counts.get(state, 0))

    def stalled_counts(self, counts: Mapping[str, int], rules: Iterable[str]) -> None:
        """Set the gauge of parcels with an open alert, zero for rules that nobody breaks (any more)."""
        self._stall_rules.update(rules, counts)
        for rule in self._stall_rules:
            self.stalled_parcels(rule).set(counts.get(rule, 0))

    def lane_snapshots(self, snapshots: Iterable[LaneSnapshot]) -> None:
        """Set the lanes' gauges; done at scrape time, so that calls pay nothing for them."""
        for lane in snapshots:
            labels = (lane.key.carrier, lane.key.account_id, lane.key.operation_class.value)
            self.lane_depth(*labels).set(lane.queued)
            self.carrier_open(*labels).set(lane.in_flight)
            self.concurrency(*labels).set(lane.concurrency)
            self.breaker(*labels).set(BREAKER_VALUES[lane.breaker])
            if lane.key.operation_class is OperationClass.BOOKING:
                self.failback_ratio(lane.key.account_id).set(lane.ramp_percent / 100)
            for operation, rate in lane.rates_per_s.items():
                if rate is not None:
                    self.rate(lane.key.carrier, lane.key.account_id, operation).set(rate)
            for operation, share in lane.used_shares.items():
                if share is not None:
                    self.quota_used(lane.key.carrier, lane.key.account_id, operation).set(share)


class LaneMetrics:
    """The observer of all lanes."""

    def __init__(self, metrics: Metrics) -> None:
        self._m = metrics

    def waited(self, lane: LaneKey, operation: str, seconds: float) -> None:
        """An item left the queue."""
        self._m.lane_wait(lane.carrier, lane.account_id, operation).observe(seconds)

    def rate_wait(self, lane: LaneKey, operation: str, seconds: float) -> None:
        """The rate holds calls back."""
        self._m.lane_rate_wait(lane.carrier, lane.account_id, operation).observe(seconds)

    def started(self, lane: LaneKey, operation: str, batch: int) -> None:
        """A call goes out."""
        self._m.carrier_batch(lane.carrier, lane.account_id, operation).observe(batch)

    def finished(
        self, lane: LaneKey, operation: str, outcome: str, error_class: str, seconds: float, batch: int
    ) -> None:
        """A call ended."""
        self._m.carrier_calls(lane.carrier, lane.account_id, operation, outcome, error_class).inc()
        self._m.carrier_seconds(lane.carrier, lane.account_id, operation).observe(seconds)

    def refused(self, lane: LaneKey, operation: str, reason: str) -> None:
        """An item was sent away unsent."""
        self._m.lane_refusals(lane.carrier, lane.account_id, operation, str(reason)).inc()

    def breaker_changed(self, lane: LaneKey, state: BreakerState) -> None:
        """Counted, since a short opening may fall between two scrapes."""
        self._m.breaker_changes(lane.carrier, lane.account_id, lane.operation_class.value, state.value).inc()


class StoreMetrics:
    """The observer of the store."""

    def __init__(self, metrics: Metrics) -> None:
        self._m = metrics

    def committed(self, items: int, seconds: float) -> None:
        """A group commit."""
        self._m.commit_items().observe(items)
        self._m.commit_seconds().observe(seconds)

    def queue_depth(self, n: int) -> None:
        """Writes waiting."""
        self._m.store_queue().set(n)
