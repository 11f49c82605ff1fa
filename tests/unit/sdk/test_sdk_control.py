"""The control plane: faults in and out, the ledger, the counters, health while down."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from acme_wire import Reply, Run, ask, book, send, serve

from crossdock_sdk.simulator import Faults
from crossdock_sdk.simulator.ledger import Entry


def control(run: Run[Any], method: str, target: str, body: bytes = b"") -> Reply:
    """One request to the control plane of a fresh server with two bookings, one cancelled."""

    async def work() -> Reply:
        async with serve() as server:
            await book(server, "R1")
            second = await book(server, "R2")
            await ask(server, "cancel", number=second.json["number"])
            return await send(server.control_url, method, target, body)

    reply: Reply = run(work())
    return reply


def test_faults_are_replaced_and_shown(run: Run[Any]) -> None:
    """PUT replaces all faults and takes effect at once; GET shows what is in force."""

    async def work() -> tuple[Reply, Reply, Reply]:
        async with serve(Faults(latency_s=0.001)) as server:
            put = await send(server.control_url, "PUT", "/faults", b'{"error_share":1.0}')
            shown = await send(server.control_url, "GET", "/faults")
            return put, shown, await book(server)

    put, shown, booked = run(work())

    assert put.status == 200
    assert msgspec.json.decode(shown.body, type=Faults) == Faults(error_share=1.0)
    assert booked.json == {"code": "SYSTEM"}


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b'{"eror_share": 1}', "eror_share"),
        (b'{"error_share": 2}', "error_share"),
        (b'{"error_share": 0.6, "cut_share": 0.6}', "sum"),
        (b'{"latency_s": -1}', "latency_s"),
        (b'{"down": "yes"}', "$.down"),
        (b"no json", "malformed"),
        (b"\xff", "faults"),
    ],
)
def test_wrong_faults_are_refused_by_name(body: bytes, named: str, run: Run[Any]) -> None:
    """A wrong key or value gets 400, names the culprit, and changes nothing."""

    async def work() -> tuple[Reply, Faults]:
        async with serve() as server:
            reply = await send(server.control_url, "PUT", "/faults", body)
            return reply, server.simulator.faults

    reply, faults = run(work())

    assert reply.status == 400
    assert named in reply.json["error"]
    assert faults == Faults()


def test_down_is_reached_and_left_through_the_control_plane(run: Run[Any]) -> None:
    """The control plane answers while the carrier's port is closed, and opens it again."""

    async def work() -> tuple[Any, int]:
        async with serve() as server:
            await send(server.control_url, "PUT", "/faults", b'{"down":true}')
            health = await send(server.control_url, "GET", "/healthz")
            await send(server.control_url, "PUT", "/faults", b"{}")
            return health.json, (await book(server)).status

    health, status = run(work())

    assert health == {"status": "ok", "code": "acme", "down": True}
    assert status == 200


def test_ledger_comes_as_lines(run: Run[Any]) -> None:
    """Each entry is one JSON line, in order."""
    reply = control(run, "GET", "/ledger")

    entries = [msgspec.json.decode(line, type=Entry) for line in reply.body.splitlines()]

    assert [e.kind for e in entries] == ["BOOKED", "BOOKED", "CANCELLED"]
    assert [e.sequence for e in entries] == [1, 2, 3]


def test_ledger_continues_after_a_sequence(run: Run[Any]) -> None:
    """`after` leaves out what was read before."""
    reply = control(run, "GET", "/ledger?after=2")

    assert [msgspec.json.decode(line)["sequence"] for line in reply.body.splitlines()] == [3]


def test_stats_agree_with_the_ledger(run: Run[Any]) -> None:
    """Bookings, live waybills and calls per operation are counted to the unit."""
    stats = control(run, "GET", "/stats").json

    assert stats["calls"] == {"book": 2, "cancel": 1}
    assert (stats["answered"], stats["bookings"], stats["live"]) == (3, 2, 1)
    assert stats["peak_calls_per_s_by_operation"] == {"book": 2, "cancel": 1}


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [("GET", "/nothing", 404), ("POST", "/faults", 405), ("GET", "/ledger?after=x", 400)],
)
def test_wrong_control_requests_say_what_there_is(method: str, target: str, status: int, run: Run[Any]) -> None:
    """Unknown paths, methods and arguments get a text that helps."""
    reply = control(run, method, target)

    assert reply.status == status
    assert len(reply.json["error"]) > 20
