"""The dashboard on a running engine: each query shows something once what it is for has happened, and alerts fire.

One world for the whole story, told in order: calm, a full carrier, a busy one, lost answers, a dead carrier, a dead
engine. Defects of our own cannot be provoked from outside, queues and parcels do not grow and move in seconds: a second
target reports them, through the engine's metrics.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import httpx
import msgspec
import pytest

from crossdock.v1 import core_pb2, order_service_pb2
from engine.core.policy.brownout import Level, Reading
from engine.core.policy.diversion import Hindrance
from engine.core.policy.pressure import Pressure, Waits
from engine.core.policy.return_records import ReturnReason, ReturnState, Verdict
from engine.core.policy.track_records import TrackSource
from engine.metrics import Metrics
from engine.ops.panel import Panel, filled
from engine.ops.panels import ROWS
from engine.ops.plot import Span, draw
from engine.ops.prometheus import Prometheus
from tests.acceptance.harness import World, parcel_order, watch, world
from tests.integration.ops_kit import exposing, needs_prometheus, running_prometheus, told

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300), needs_prometheus]

SETTINGS: Mapping[str, Any] = {
    "outbound": {"breaker_open_s": 20.0},
    "booking": {"review_after_s": 2.0},
    # Carriers' couriers are not that quick, so what is booked here stands still, as far as this rule knows.
    "stall_rule": [{"name": "nobody came", "since": "booked", "after_h": 0.0003, "statuses": ["NOTHING_KNOWN"]}],
}
REPORTED_ONLY = (
    r"crossdock_grpc_calls_total;INTERNAL|crossdock_worker_failures_total;|crossdock_track_\w+;|crossdock_dead_letters;"
    r"|crossdock_returns\w*;|crossdock_refunds_due_total;|crossdock_brownout_\w+;|crossdock_diversions_total;"
    r"|crossdock_door_wait_seconds;|crossdock_grpc_refusal_\w+;|crossdock_account_proved_\w+;"
)
PANELS = [panel for row in ROWS for panel in row.panels]
QUERIES = [
    pytest.param(panel, query.expr, id=f"{row.title}-{panel.title}-{number}")
    for row in ROWS
    for panel in row.panels
    for number, query in enumerate(panel.queries)
]
EXPECTED_ALERTS = {
    "CrossdockBackupUnproved",
    "CrossdockBookingSuccessLow",
    "CrossdockBreakerOpen",
    "CrossdockBrownout",
    "CrossdockDefects",
    "CrossdockDown",
    "CrossdockFallbacks",
    "CrossdockNoEligibleCarrier",
    "CrossdockOrdersNeedReview",
    "CrossdockPushesRefused",
    "CrossdockPushesSetAside",
    "CrossdockReturnsFailed",
    "CrossdockReturnsUnderReview",
    "CrossdockUnknownOutcomesGrowing",
    "CrossdockUnmappedCodes",
    "CrossdockWorkerFailures",
}
MAY_REST_AT_ZERO = {'0 * sum(up{job="crossdock"} == 1)', "sum(crossdock_store_queue_depth)"}
"""A base line, and a queue that a few seconds of such load do not fill."""


class Story(msgspec.Struct, frozen=True):
    """What Prometheus saw. highest: query -> its highest value, absent without data."""

    highest: dict[str, float]
    alerts: set[str]
    picture: bytes


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The story, played once."""
    return asyncio.run(_play(tmp_path_factory.mktemp("ops")))


@pytest.mark.parametrize(("panel", "expr"), QUERIES)
def test_every_query_of_the_dashboard_shows_something(panel: Panel, expr: str, story: Story) -> None:
    """A panel that stays empty or flat when its fault happens would leave an operator in the dark."""
    assert expr in story.highest, f"{panel.title!r} has no data for {expr}"
    assert story.highest[expr] > 0 or expr in MAY_REST_AT_ZERO, f"{panel.title!r} stays at zero for {expr}"


def test_alerts_fire_on_the_faults_they_are_for(story: Story) -> None:
    """Each fault of the story is told, with `for` left out."""
    missing = EXPECTED_ALERTS - story.alerts

    assert not missing, f"did not fire: {missing}; fired: {story.alerts}"


def test_the_dashboard_can_be_drawn_without_grafana(story: Story) -> None:
    """The plot of the whole dashboard is a PNG with something on it."""
    assert story.picture.startswith(b"\x89PNG")
    assert len(story.picture) > 100_000


async def _play(folder: Path) -> Story:
    with exposing(_reporting().expose) as reporting:
        async with world(folder / "world", settings=SETTINGS) as w:
            jobs = {"crossdock": w.sandbox.http.removeprefix("http://"), "reporting": reporting}
            async with running_prometheus(folder / "prometheus", jobs, only={"reporting": REPORTED_ONLY}) as url:
                started_s = time.time()
                async with _watching(w):
                    for chapter in (_calm, _full, _busy, _lost, _dead):
                        await chapter(w)
                        await _scraped(url)
                    w.sandbox.kill_engine()
                    await told(url, lambda asked: "CrossdockDown" in _fired(asked, started_s), 10.0)
                return await asyncio.to_thread(_seen, url, started_s, folder / "crossdock.png")


def _reporting() -> Metrics:
    """The engine's metrics with a defect in them, and parcels that move and come back at every scrape."""
    metrics = Metrics()
    metrics.grpc_calls("GetOrder", "INTERNAL").inc()
    metrics.worker_failed("", KeyError())
    metrics.dead_letters().set(1)
    pressure = Pressure(0.15)
    pressure.on_all = pressure.on_greedy = 1.5
    metrics.return_counts({ReturnState.FAILED: 1, ReturnState.UNDER_REVIEW: 51})
    metrics.accounts_proved({"zto-idle": "zto"}, {})

    def move() -> None:
        metrics.brownout_changed(Reading(Level.EXPORTS, "loop_lag"))
        metrics.pressed(pressure, Waits(0.3, 0.3, 0.3))
        metrics.refusal_seconds().observe(0.001)
        metrics.diverted("sf", "zto", Hindrance.QUEUE_WAIT)
        metrics.events_kept("zto", TrackSource.PUSH, new=2, unknown=1)
        metrics.track_polled("zto", "ANSWERED")
        metrics.return_requested(ReturnReason.DAMAGED, Verdict.APPROVE)
        metrics.refund_due(ReturnReason.DAMAGED)

    metrics.before_scrape.append(move)
    return metrics


def _seen(url: str, started_s: float, picture: Path) -> Story:
    span = Span(started_s, time.time(), rate_interval="5s")
    highest = {}
    with Prometheus(url) as asked:
        for query in {query for panel in PANELS for query in panel.queries}:
            series = asked.over(filled(query.expr, rate_interval=span.rate_interval), span.start_s, span.end_s, 1.0)
            if series:
                highest[query.expr] = max(value for one in series for _, value in one.points)
        draw(asked, span, picture)
        return Story(highest, _fired(asked, started_s), picture.read_bytes())


def _fired(asked: Prometheus, started_s: float) -> set[str]:
    return {one.labels["alertname"] for one in asked.over('ALERTS{alertstate="firing"}', started_s, time.time(), 1.0)}


async def _calm(w: World) -> None:
    """Everybody's everyday: bookings at both carriers, labels, reads, a repeat, and callers' mistakes."""
    orders = await asyncio.gather(
        *[w.create(parcel_order(f"calm-sf-{n}")) for n in range(6)],
        *[w.create(parcel_order(f"calm-zto-{n}", prefer=["zto"])) for n in range(6)],
    )
    await asyncio.gather(w.label(orders[0]), w.label(orders[1]), *[w.get(order) for order in orders])
    await w.orders.ListOrders(order_service_pb2.ListOrdersRequest(page_size=10), timeout=5.0)
    await w.orders.QuoteOrder(order_service_pb2.QuoteOrderRequest(order=parcel_order("quoted")), timeout=5.0)
    await w.cancel(orders[2])


async def _full(w: World) -> None:
    """SF takes its time and then no more: zto takes over. Mistakes come twice, since a first value is no rise."""
    await w.faults("sf", refuse_bookings=True, latency_s=1.2)
    await _mistakes(w, "once")
    await asyncio.gather(*[w.create(parcel_order(f"full-{n}")) for n in range(25)])
    await w.heal()


async def _busy(w: World) -> None:
    """Zto says "too many": the lane learns a rate and holds the rest back."""
    await _mistakes(w, "twice")
    await w.faults("zto", operations=["book"], quota_per_s=2)
    await asyncio.gather(*[w.create(parcel_order(f"busy-{n}", only=["zto"]), deadline_s=1.5) for n in range(12)])
    await w.heal()


async def _lost(w: World) -> None:
    """Answers get lost: sf can be asked and says what it booked, zto cannot, which is a matter for a person."""
    await w.faults("sf", operations=["book"], accept_then_cut_share=1.0)
    await w.faults("zto", operations=["book"], cut_share=1.0)
    await asyncio.gather(*[w.create(parcel_order(f"found-{n}", only=["sf"]), deadline_s=2.0) for n in range(8)])
    lost = await asyncio.gather(*[w.create(parcel_order(f"lost-{n}", only=["zto"]), deadline_s=0.5) for n in range(6)])
    await asyncio.gather(*[w.becomes(order, "NEEDS_REVIEW", within_s=25.0) for order in lost])


async def _dead(w: World) -> None:
    """SF's port is closed: its breaker opens."""
    await w.faults("sf", down=True)
    await asyncio.gather(*[w.create(parcel_order(f"dead-{n}", only=["sf"]), deadline_s=0.5) for n in range(7)])


async def _mistakes(w: World, when: str) -> None:
    """A repeated call, a wrong order, one that no carrier may take, and a forged push."""
    await w.create(parcel_order("calm-sf-0"))
    nowhere = parcel_order(f"nowhere-{when}", only=["nobody"])
    nothing = core_pb2.Order(reference=f"nothing-{when}")
    for order in (nowhere, nothing):
        with suppress(grpc.aio.AioRpcError):
            await w.create(order)
    async with httpx.AsyncClient(trust_env=False) as http:
        await http.post(f"{w.sandbox.http}/push/zto-sandbox", content=b"data=%7B%7D&data_digest=wrong")


@asynccontextmanager
async def _watching(w: World) -> AsyncIterator[None]:
    """A subscriber listens meanwhile."""

    async def listen() -> None:
        with suppress(grpc.aio.AioRpcError):
            async for _ in watch(w.orders, 0):
                pass

    listening = asyncio.create_task(listen())
    try:
        yield
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening


async def _scraped(url: str) -> None:
    """Two more scrapes have been stored, and the rules seen them."""
    now_s = time.time()
    await told(url, lambda asked: len(_samples(asked, now_s)) >= 2, 6.0)


def _samples(asked: Prometheus, since_s: float) -> set[float]:
    """Times of the engine's scrapes since then, in Unix seconds."""
    series = asked.over('timestamp(up{job="crossdock"})', since_s, time.time(), 0.5)
    return {value for one in series for _, value in one.points if value > since_s}
