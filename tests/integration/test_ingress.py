"""The HTTP side on real sockets: health, metrics, and pushes genuine, forged, too large and garbled."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from crossdock.v1 import core_pb2, order_service_pb2, track_service_pb2
from crossdock_sdk import HttpRequest
from crossdock_sdk.simulator import Faults
from crossdock_zto.push import ACKNOWLEDGEMENT
from crossdock_zto.simulator_wire import order_push, trace_push
from engine.store.port import StoreError
from tests.integration.kit import State, booked, create, only
from tests.integration.world import World, failing_tracks

pytestmark = pytest.mark.anyio
pb = order_service_pb2

PUSH = "/push/zto-main"
LARGEST_BODY = 1_048_576


def push(order_code: str, bill_code: str = "", status: int = 1) -> HttpRequest:
    """A push as the carrier signs it."""
    return order_push(PUSH, order_code, bill_code, status)


def scanned(number: str) -> HttpRequest:
    """A scan as the carrier signs it."""
    return trace_push(
        PUSH, {"billCode": number, "action": "GOT", "actionTime": "2026-11-21 10:00:00", "desc": "已揽收"}
    )


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_a_serving_engine_is_healthy(world: World, path: str) -> None:
    """Both probes say 200 while the engine serves."""
    answer = await world.http.get(path)

    assert answer.status_code == 200


async def test_answers_do_not_wait_for_acknowledgements(world: World) -> None:
    """Thirty requests on a kept connection take far less than thirty of TCP's delayed acknowledgements (40 ms)."""
    await world.http.get("/healthz")
    started = time.monotonic()

    for _ in range(30):
        await world.http.get("/healthz")

    assert time.monotonic() - started < 1.0


async def test_the_metrics_are_read_by_prometheus(world: World) -> None:
    """The exposition parses, with the metrics dashboards and alerts are built on."""
    await booked(world.caller(), "ingress-metrics")

    answer = await world.http.get("/metrics")

    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = {f.name: f for f in text_string_to_metric_families(answer.text)}
    assert families.keys() >= {
        "crossdock_grpc_calls",
        "crossdock_grpc_call_duration_seconds",
        "crossdock_orders",
        "crossdock_orders_accepted",
        "crossdock_orders_settled",
        "crossdock_attempts",
        "crossdock_carrier_calls",
        "crossdock_carrier_call_duration_seconds",
        "crossdock_breaker_state",
        "crossdock_lane_queue_depth",
        "crossdock_store_commit_duration_seconds",
        "crossdock_pushes",
        "crossdock_watchers",
    }
    assert all(f.documentation for f in families.values() if not f.name.endswith("_created"))
    settled = {(s.labels["state"], s.labels["carrier"]): s.value for s in families["crossdock_orders_settled"].samples}
    assert settled["BOOKED", "sf"] >= 1


async def test_a_genuine_push_gets_the_carriers_acknowledgement(world: World) -> None:
    """A signed push about a booked order is acknowledged with the very bytes ZTO expects."""
    placed = await booked(world.caller(), "ingress-genuine", routing=only("zto"))
    sent = push(placed.booking.carrier_order_id, placed.booking.waybill_number)

    answer = await world.http.post(PUSH, content=sent.body, headers=dict(sent.headers))

    assert (answer.status_code, answer.content) == (200, ACKNOWLEDGEMENT.body)
    assert answer.headers["content-type"] == ACKNOWLEDGEMENT.headers["content-type"]


async def test_a_push_again_is_acknowledged_again(world: World) -> None:
    """Carriers repeat their pushes for days: each is acknowledged, and the order stays as it is."""
    placed = await booked(world.caller(), "ingress-again", routing=only("zto"))
    sent = push(placed.booking.carrier_order_id, placed.booking.waybill_number, 3)

    answers = [await world.http.post(PUSH, content=sent.body, headers=dict(sent.headers)) for _ in range(5)]

    assert {a.content for a in answers} == {ACKNOWLEDGEMENT.body}
    found = await world.caller().GetOrder(pb.GetOrderRequest(reference="ingress-again"))
    assert found.order == placed


async def test_a_push_about_somebody_elses_booking_is_acknowledged(world: World) -> None:
    """The same account may book elsewhere too: such a push is taken note of and changes nothing here."""
    ledger = world.simulators["zto"].simulator.ledger
    number, order_code = "75400009999999", "261121000000000077"
    ledger.book(datetime.now(UTC), "of-another-system", number, order_code=order_code, order_type="1")
    sent = push(order_code, number)

    answer = await world.http.post(PUSH, content=sent.body, headers=dict(sent.headers))

    assert (answer.status_code, answer.content) == (200, ACKNOWLEDGEMENT.body)


async def test_a_push_the_carrier_cannot_explain_yet_is_not_acknowledged(world: World) -> None:
    """When the carrier does not find what its own push is about, it is told to send it again."""
    sent = push("261121000000000078", "75400009999998")

    answer = await world.http.post(PUSH, content=sent.body, headers=dict(sent.headers))

    assert answer.status_code == 503


async def test_a_push_settles_what_nobody_could_look_up(world: World) -> None:
    """ZTO booked and the answer was lost: its push proves the booking, and the order is BOOKED once."""
    zto = world.simulators["zto"]
    await zto.set_faults(Faults(operations=("book",), accept_then_cut_share=1.0))
    try:
        request = create("ingress-lost", routing=only("zto"))
        first = await world.caller().CreateOrder(request, timeout=1.0)
    finally:
        await zto.set_faults(Faults())
    settled = await _booked(world, first.order.order_id)

    assert settled.attempts[0].state == core_pb2.Attempt.STATE_CONFIRMED
    assert list(world.live_waybills("zto").values()).count(settled.attempts[0].reference) == 1


async def test_a_forged_push_is_refused(world: World) -> None:
    """A wrong digest is 403 with a body that tells nothing, and is counted as refused."""
    before = _pushes(world, "REFUSED")
    forged = dict(parse_qsl(push("261121000000000001").body.decode()))
    forged["data"] = forged["data"].replace("000001", "000002")

    answer = await world.http.post(PUSH, content=urlencode(forged))

    assert (answer.status_code, answer.text) == (403, "refused\n")
    assert _pushes(world, "REFUSED") == before + 1


async def test_every_changed_byte_is_refused(world: World) -> None:
    """One byte changed anywhere in what is signed makes a push 403."""
    genuine = push("261121000000000001", "75400000000001").body
    fields = urlsplit(f"?{genuine.decode()}").query.partition("&msg_type=")[0]
    changed = set()
    for place in range(len(fields)):
        flipped = bytearray(genuine)
        flipped[place] ^= 0x01
        answer = await world.http.post(PUSH, content=bytes(flipped))
        changed.add(answer.status_code)

    assert changed == {403}


@pytest.mark.parametrize("path", ["/push/nobody", "/push/", "/push"])
async def test_an_account_that_takes_no_pushes_is_not_found(world: World, path: str) -> None:
    """Accounts that are not there are 404 whatever was sent."""
    answer = await world.http.post(path, content=push("1").body)

    assert answer.status_code == 404


@pytest.mark.parametrize("path", ["/push/sf-main", "/push/sf-main/", "/push/sf-main/another-token-0123456789"])
async def test_a_push_without_its_token_in_the_url_is_refused(world: World, path: str) -> None:
    """SF signs nothing: what proves its push is the token at the end of the URL."""
    answer = await world.http.post(path, content=b'{"Body":{"WaybillRoute":[]}}')

    assert (answer.status_code, answer.text) == (403, "refused\n")


async def test_a_scan_is_acknowledged_only_once_it_is_written(world: World) -> None:
    """A store that fails gets no acknowledgement out; sent again, the scan is kept once."""
    track_id = await _subscribed(world, "75400000800001")
    sent = scanned("75400000800001")
    with failing_tracks(world, StoreError("the disk is full")):
        failed = await world.http.post(PUSH, content=sent.body, headers=dict(sent.headers))
    unwritten = await world.engine.parts.store.get_track("amber", track_id)
    answers = [await world.http.post(PUSH, content=sent.body, headers=dict(sent.headers)) for _ in range(2)]
    written = await world.engine.parts.store.get_track("amber", track_id)

    assert failed.status_code == 503
    assert [a.content for a in answers] == [ACKNOWLEDGEMENT.body] * 2
    assert [len(loaded.events) for loaded in (unwritten, written) if loaded] == [0, 1]


async def test_a_scan_that_cannot_be_applied_is_set_aside(world: World) -> None:
    """It is acknowledged, kept byte for byte and counted; the log names no parcel."""
    before = _pushes(world, "SET_ASIDE")

    sent, answer, letter = await _set_aside(world, "75400000800002")

    kept = await world.engine.parts.store.get_dead_letter(letter["letter_id"])
    assert kept is not None
    assert (answer.content, kept.body, letter["cause"]) == (ACKNOWLEDGEMENT.body, sent.body, "RuntimeError")
    assert (letter["account_id"], letter["attempts"], letter["bytes"]) == ("zto-main", 1, len(sent.body))
    assert _pushes(world, "SET_ASIDE") == before + 1
    assert "75400000800002" not in world.log_text() + str(letter)


async def test_a_push_set_aside_is_replayed_once_and_gone(world: World) -> None:
    """The replay applies it; afterwards there is nothing left to replay, and the event is there once."""
    number = "75400000800003"
    _, _, letter = await _set_aside(world, number)
    with failing_tracks(world, ValueError("not yet")):
        failed = await world.http.post(f"/dead-letters/{letter['letter_id']}/replay")
    replayed = await world.http.post(f"/dead-letters/{letter['letter_id']}/replay")
    again = await world.http.post(f"/dead-letters/{letter['letter_id']}/replay")
    left = (await world.http.get("/dead-letters")).json()

    tracks = await world.engine.parts.store.find_tracks_by_number("zto", "zto-main", number)
    kept = [await world.engine.parts.store.get_track(each.tenant, each.track_id) for each in tracks]
    assert [failed.json()["problem"], replayed.json()["problem"], again.status_code] == ["ValueError", "", 404]
    assert letter["letter_id"] not in [each["letter_id"] for each in left]
    assert [len(each.events) for each in kept if each] == [1]


async def test_letters_are_listed_from_a_place_on(world: World) -> None:
    """Oldest first, those after the one that is named."""
    letters = [(await _set_aside(world, f"7540000080001{n}"))[2]["letter_id"] for n in range(3)]

    listed = (await world.http.get("/dead-letters", params={"after": letters[0]})).json()

    assert [each["letter_id"] for each in listed] == letters[1:]


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "x-real-ip"])
async def test_letters_are_for_this_machine_only(world: World, header: str) -> None:
    """What came through a proxy may come from anywhere."""
    listed = await world.http.get("/dead-letters", headers={header: "127.0.0.1"})
    replayed = await world.http.post("/dead-letters/x/replay", headers={header: "127.0.0.1"})

    assert (listed.status_code, replayed.status_code) == (403, 403)


async def test_a_push_that_is_too_large_is_refused(world: World) -> None:
    """A body over the limit is 413 as soon as the limit is passed, signed or not."""
    answer = await world.http.post(PUSH, content=b"x" * (LARGEST_BODY + 1))

    assert answer.status_code == 413


async def test_a_push_by_another_method_is_refused(world: World) -> None:
    """Pushes are POSTs."""
    answer = await world.http.get(PUSH)

    assert answer.status_code == 405


async def test_garbage_is_refused_and_survived(world: World) -> None:
    """Random bytes, forms and JSON are all 403, and the engine goes on serving."""
    dice = random.Random(20)
    bodies = [dice.randbytes(dice.randrange(400)) for _ in range(150)]
    bodies += [b"", b"{" * 5000, b"data=" + b"[" * 5000, b"data=%FF&data_digest=%", b"&".join([b"a=b"] * 50)]

    answers = {(await world.http.post(PUSH, content=body)).status_code for body in bodies}

    assert answers == {403}
    assert (await world.http.get("/readyz")).status_code == 200


@pytest.mark.parametrize(
    "line",
    [b"\x16\x03\x01\x02\x00\x01", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET\r\n\r\n", b"POST /push HTTP/9.9\r\n\r\n"],
)
async def test_a_connection_that_speaks_no_http_is_survived(world: World, line: bytes) -> None:
    """What is no HTTP is answered with 400 or closed, and the next request is served."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.engine.http_port)
    writer.write(line)
    writer.write_eof()

    async with asyncio.timeout(8):
        answer = await reader.read()
    writer.close()

    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    assert (await world.http.get("/healthz")).status_code == 200


async def test_a_sender_that_leaves_is_survived(world: World) -> None:
    """A connection cut in the middle of a push does no harm."""
    _, writer = await asyncio.open_connection("127.0.0.1", world.engine.http_port)
    writer.write(b"POST /push/zto-main HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf")
    await writer.drain()
    writer.close()
    await writer.wait_closed()

    assert (await world.http.get("/healthz")).status_code == 200
    assert "Traceback" not in world.log_text()


def _pushes(world: World, outcome: str) -> float:
    labels = {"carrier": "zto", "outcome": outcome}
    return world.engine.parts.metrics.registry.get_sample_value("crossdock_pushes_total", labels) or 0.0


async def _subscribed(world: World, number: str) -> str:
    """A tenant follows a number; returns the track's id."""
    keys = [track_service_pb2.TrackKey(carrier="zto", waybill_number=number)]
    answer = await world.caller().SubscribeTracks(track_service_pb2.SubscribeTracksRequest(keys=keys))
    return str(answer.results[0].track.track_id)


async def _set_aside(world: World, number: str) -> tuple[HttpRequest, httpx.Response, dict[str, Any]]:
    """A scan that a defect of ours keeps from being applied: what was sent, its answer, and its letter as listed."""
    await _subscribed(world, number)
    sent = scanned(number)
    with failing_tracks(world, RuntimeError(f"{number} breaks us")):
        answer = await world.http.post(PUSH, content=sent.body, headers=dict(sent.headers))
    listed = (await world.http.get("/dead-letters")).json()
    return sent, answer, listed[-1]


async def _booked(world: World, order_id: str) -> core_pb2.Order:
    """The order once an event says that it is booked."""
    watch = world.caller().WatchOrders(pb.WatchOrdersRequest(cursor="0", states=[State.STATE_BOOKED]))
    async with asyncio.timeout(10):
        async for message in watch:
            if message.event.order_id == order_id:
                watch.cancel()
                answer = await world.caller().GetOrder(pb.GetOrderRequest(order_id=order_id))
                return answer.order  # type: ignore[no-any-return]  # stubs are reached by name
    raise AssertionError("the watch ended")
