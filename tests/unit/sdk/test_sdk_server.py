"""The simulator server over real loopback sockets: each fault does exactly what it says."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from acme_wire import Run, ask, book, call, request, send, serve, until

from crossdock_sdk.simulator import Faults
from crossdock_sdk.simulator.http import MAX_BODY_BYTES
from crossdock_sdk.simulator.server import SimulatorServer


def with_share(share: str) -> Faults:
    """Faults of which one always strikes."""
    return msgspec.convert({share: 1.0}, Faults)


def test_booking_is_answered_and_in_the_ledger(run: Run[Any]) -> None:
    """A plain call is answered by the simulator, after its ledger took the booking."""

    async def work() -> tuple[Any, Any]:
        async with serve() as server:
            reply = await book(server)
            return reply, server.simulator.ledger.first("R1")

    reply, entry = run(work())

    assert reply.status == 200
    assert reply.json == {"code": "OK", "number": entry.waybill_number, "reference": "R1"}


def test_connection_is_kept_and_pipelined_answers_stay_in_order(run: Run[Any]) -> None:
    """Requests sent in one go are answered in their order, whatever each answer's latency."""
    count = 100

    async def work() -> bytes:
        async with serve(Faults(latency_jitter_s=0.002)) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            for number in range(count):
                method, target, body, headers = call("book", reference=f"R{number}", to="x")
                writer.write(request(method, target, body, **headers))
            data = b""
            while data.count(b'"reference"') < count:
                data += await reader.read(65_536)
            writer.close()
            return data

    data = run(work())

    places = [data.index(f'"reference":"R{number}"'.encode()) for number in range(count)]
    assert places == sorted(places)


@pytest.mark.parametrize("share", ["error_share", "cut_share"])
def test_nothing_is_done_before(share: str, run: Run[Any]) -> None:
    """A system error and a cut before doing leave no trace in the ledger."""

    async def work() -> tuple[Any, int]:
        async with serve(with_share(share)) as server:
            return await book(server), len(server.simulator.ledger.entries)

    reply, entries = run(work())

    assert entries == 0
    assert reply.raw == b"" if share == "cut_share" else reply.json == {"code": "SYSTEM"}


@pytest.mark.parametrize("share", ["accept_then_cut_share", "half_answer_share", "odd_body_share"])
def test_booking_is_done_yet_not_told(share: str, run: Run[Any]) -> None:
    """The booking is in the ledger, but the caller gets nothing, half of it, or an HTML page."""

    async def work() -> tuple[bytes, int]:
        async with serve(with_share(share)) as server:
            reply = await book(server)
            return reply.raw, len(server.simulator.ledger.entries)

    raw, entries = run(work())

    head, _, body = raw.partition(b"\r\n\r\n")
    assert entries == 1
    if share == "accept_then_cut_share":
        assert raw == b""
    elif share == "odd_body_share":
        assert b"text/html" in head
        assert body.startswith(b"<!DOCTYPE html>")
    else:
        promised = int(head.split(b"content-length: ")[1].split(b"\r")[0])
        assert len(body) == promised // 2


def test_silence_keeps_the_connection_open_without_an_answer(run: Run[Any]) -> None:
    """A silent carrier has booked, sends nothing and does not hang up either."""

    async def work() -> tuple[bool, int]:
        async with serve(Faults(silence_share=1.0)) as server:
            waiting = asyncio.create_task(book(server))
            await until(lambda: server.simulator.ledger.entries)
            done, _ = await asyncio.wait([waiting], timeout=0.1)
            waiting.cancel()
            return bool(done), len(server.simulator.ledger.entries)

    answered, entries = run(work())

    assert (answered, entries) == (False, 1)


def test_latency_delays_the_answer_only(run: Run[Any]) -> None:
    """The booking is made at once, the answer comes when the latency is over."""

    async def work() -> tuple[float, int]:
        async with serve(Faults(latency_s=0.15)) as server:
            started = asyncio.get_running_loop().time()
            reply = await book(server)
            return asyncio.get_running_loop().time() - started, reply.status

    took_s, status = run(work())

    assert status == 200
    assert took_s > 0.14  # a loop's timer may fire a hair early


def test_faults_aim_at_their_operations(run: Run[Any]) -> None:
    """Faults for book leave find alone."""

    async def work() -> tuple[Any, Any]:
        async with serve(Faults(operations=("book",), error_share=1.0)) as server:
            return await book(server), await ask(server, "find", reference="R1")

    booked, found = run(work())

    assert booked.json == {"code": "SYSTEM"}
    assert found.json == {"code": "UNKNOWN"}


def test_hidden_quota_answers_busy_and_counts(run: Run[Any]) -> None:
    """Calls above the quota get the carrier's own "busy" answer and are counted as such."""

    async def work() -> tuple[list[str], dict[str, Any]]:
        async with serve(Faults(quota_per_s=3)) as server:
            codes = [(await book(server, f"R{n}")).json["code"] for n in range(5)]
            return codes, server.stats.as_dict(server.simulator.ledger)

    codes, stats = run(work())

    assert codes == ["OK", "OK", "OK", "BUSY", "BUSY"]
    assert (stats["busy"], stats["bookings"], stats["peak_calls_per_s"]) == (2, 3, 5)


def test_down_resets_refuses_and_comes_back_on_the_same_port(run: Run[Any]) -> None:
    """Going down resets open connections and refuses new ones; afterwards the port is the same."""

    async def work() -> tuple[Any, Any, int, str]:
        async with serve(Faults(silence_share=1.0)) as server:
            url = server.url
            waiting = asyncio.create_task(book(server))
            await until(lambda: server.simulator.ledger.entries)
            await server.set_faults(Faults(down=True))
            (cut,) = await asyncio.gather(waiting, return_exceptions=True)
            (refused,) = await asyncio.gather(book(server), return_exceptions=True)
            await server.set_faults(Faults())
            back = await book(server, "R2")
            return cut, refused, back.status, "" if url == server.url else server.url

    cut, refused, status, moved = run(work())

    assert isinstance(cut, ConnectionResetError)
    assert isinstance(refused, ConnectionRefusedError)
    assert (status, moved) == (200, "")


def test_server_can_start_down(run: Run[Any]) -> None:
    """A carrier that is down from the start has its port, refuses, and can be brought up."""

    async def work() -> tuple[Any, int]:
        async with serve(Faults(down=True)) as server:
            (refused,) = await asyncio.gather(book(server), return_exceptions=True)
            await server.set_faults(Faults())
            return refused, (await book(server)).status

    refused, status = run(work())

    assert isinstance(refused, ConnectionRefusedError)
    assert status == 200


def test_the_same_seed_gives_the_same_mishaps(run: Run[Any]) -> None:
    """Shares are drawn from a seeded generator, so that a failing run can be repeated."""

    async def codes(seed: int) -> list[str]:
        async with serve(Faults(error_share=0.5), seed=seed) as server:
            return [(await book(server, f"R{n}")).json["code"] for n in range(20)]

    async def work() -> tuple[list[str], list[str], list[str]]:
        return await codes(7), await codes(7), await codes(8)

    first, second, other = run(work())

    assert first == second
    assert first != other
    assert {"OK", "SYSTEM"} == set(first)


def test_answers_of_one_turn_share_one_sync(run: Run[Any], tmp_path: Path) -> None:
    """Group commit: every answer is on disk before it leaves, at far fewer syncs than answers."""
    count = 40

    async def work() -> tuple[list[int], list[tuple[int, int]]]:
        async with serve(ledger=tmp_path / "ledger") as server:
            synced = spy_on_sync(server)
            links = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(count)]
            for number, (_, writer) in enumerate(links):
                method, target, body, headers = call("book", reference=f"R{number}", to="x")
                writer.write(request(method, target, body, **headers))
            told = []
            for reader, writer in links:
                answer = await reader.readuntil(b"}")
                sequence = int(answer.split(b'"number":"AC')[1][:8])
                told.append((sequence, synced[-1]))
                writer.close()
            return list(synced), told

    synced, told = run(work())

    assert sorted(sequence for sequence, _ in told) == list(range(1, count + 1))
    assert all(sequence <= on_disk for sequence, on_disk in told)
    assert len(synced) <= count // 2


def spy_on_sync(server: SimulatorServer) -> list[int]:
    """Fills a list with the number of entries on disk after each sync."""
    ledger = server.simulator.ledger
    real_sync = ledger.sync
    synced = [0]

    def sync() -> None:
        real_sync()
        synced.append(len(ledger.entries))

    ledger.sync = sync  # type: ignore[method-assign]  # the real one still does the work
    return synced


def test_too_large_a_body_is_refused_before_it_is_read(run: Run[Any]) -> None:
    """A body over the limit gets 413 and the connection ends."""

    async def work() -> bytes:
        async with serve() as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            head = f"POST /v1/book HTTP/1.1\r\ncontent-length: {MAX_BODY_BYTES + 1}\r\n\r\n"
            writer.write(head.encode())
            answer = await reader.read()
            writer.close()
            return answer

    assert run(work()).startswith(b"HTTP/1.1 413 ")


def test_what_is_not_http_is_refused(run: Run[Any]) -> None:
    """Bytes that are no HTTP get 400 and the connection ends."""

    async def work() -> bytes:
        async with serve() as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"\x16\x03\x01 hello\r\n\r\n")
            answer = await reader.read()
            writer.close()
            return answer

    assert run(work()).startswith(b"HTTP/1.1 400 ")


def test_failure_of_the_simulator_is_told_without_data(run: Run[Any], capfd: pytest.CaptureFixture[str]) -> None:
    """A bug in a simulator gives 500 and names its place, never the request's content."""

    async def work() -> tuple[int, int]:
        async with serve() as server:
            method, target, body, headers = call("nonsense", secret="Zq-personal")
            reply = await send(server.url, method, target, body, **headers)
            return reply.status, server.stats.broken

    status, broken = run(work())

    shown = capfd.readouterr().err
    assert (status, broken) == (500, 1)
    assert "acme: AttributeError at " in shown
    assert "Zq-personal" not in shown
