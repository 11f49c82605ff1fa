"""Delivery of pushes: after the answer, again until the receiver says 2xx, never for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from acme.simulator import KEY, sign
from acme_wire import Run, book, serve, until

from crossdock_sdk.simulator import Faults


@asynccontextmanager
async def receiver(*statuses: int) -> AsyncIterator[tuple[str, asyncio.Queue[bytes]]]:
    """A push endpoint that answers these statuses in turn, the last for ever; gives its bodies."""
    left = list(statuses)
    bodies: asyncio.Queue[bytes] = asyncio.Queue()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                size = int(head.split("content-length: ")[1].split("\r")[0])
                bodies.put_nowait(head.encode() + await reader.readexactly(size))
                status = left.pop(0) if len(left) > 1 else left[0]
                writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: 2\r\n\r\nok".encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/push/acme", bodies


def test_push_arrives_signed(run: Run[Any]) -> None:
    """A booking's push reaches the configured URL with its signature intact."""

    async def work() -> bytes:
        async with receiver(200) as (url, bodies), serve(push_url=url) as server:
            await book(server)
            return await bodies.get()

    head, _, body = run(work()).partition(b"\r\n\r\n")

    assert head.startswith(b"post /push/acme http/1.1")
    assert f"x-sign: {sign(body, KEY)}".encode() in head
    assert msgspec.json.decode(body)["reference"] == "R1"


def test_push_is_sent_again_until_it_is_accepted(run: Run[Any]) -> None:
    """Anything but 2xx brings the same bytes again."""

    async def work() -> tuple[list[bytes], int]:
        async with (
            receiver(500, 404, 200) as (url, bodies),
            serve(push_url=url, push_backoff_s=0.01) as server,
        ):
            await book(server)
            got = [await bodies.get() for _ in range(3)]
            await until(lambda: server.stats.pushes_sent)
            return got, server.stats.pushes_retried

    got, retried = run(work())

    assert len(set(got)) == 1
    assert retried == 2


def test_push_is_given_up_after_three_more_tries(run: Run[Any]) -> None:
    """A receiver that never accepts gets four tries; then the push is lost and counted."""

    async def work() -> tuple[int, int]:
        async with (
            receiver(500) as (url, bodies),
            serve(push_url=url, push_backoff_s=0.01) as server,
        ):
            await book(server)
            await until(lambda: server.stats.pushes_lost)
            return bodies.qsize(), server.stats.pushes_lost

    assert run(work()) == (4, 1)


def test_push_is_sent_for_a_booking_whose_answer_was_cut(run: Run[Any]) -> None:
    """The push is what settles a booking the caller never heard of."""

    async def work() -> tuple[bytes, bytes]:
        faults = Faults(accept_then_cut_share=1.0)
        async with receiver(200) as (url, bodies), serve(faults, push_url=url) as server:
            reply = await book(server)
            return reply.raw, await bodies.get()

    answer, push = run(work())

    assert answer == b""
    assert b'"reference":"R1"' in push
