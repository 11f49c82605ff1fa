"""The fault proxy does what each trouble says, to the byte."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes.proxy import Proxy, Then, Trouble
from tests.fakes.raw_peer import OK, Peer, answering, serving

pytestmark = pytest.mark.anyio

POST = b"POST /book HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"


async def call(trouble: Trouble) -> tuple[bytes | str, Peer]:
    """One call through the proxy: the bytes that came back, "reset", or "held" when nothing ends it."""
    async with serving(answering(OK)) as peer, Proxy(peer.port) as proxy:
        proxy.trouble = trouble
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        try:
            writer.write(POST)
            got = bytearray()
            try:
                async with asyncio.timeout(10):
                    while chunk := await _next(reader, proxy, trouble):
                        got += chunk
                        if got == OK:
                            break
            except ConnectionResetError:
                return "reset", peer
            except TimeoutError:
                return "held", peer
            return bytes(got), peer
        finally:
            writer.close()


async def _next(reader: asyncio.StreamReader, proxy: Proxy, trouble: Trouble) -> bytes:
    reading = asyncio.ensure_future(reader.read(4096))
    if trouble.then is not Then.HOLD:
        return await reading
    reached = asyncio.ensure_future(proxy.reached.wait())
    await asyncio.wait({reading, reached}, return_when=asyncio.FIRST_COMPLETED)
    for _ in range(5):  # what was let through before the limit arrives in the next turns
        await asyncio.sleep(0)
    if reading.done():
        reached.cancel()
        return reading.result()
    reading.cancel()
    raise TimeoutError


@pytest.mark.parametrize(
    ("trouble", "answer", "saw"),
    [
        (Trouble(), OK, 1),
        (Trouble(latency_s=0.001), OK, 1),
        (Trouble(dribble_s=0.0001), OK, 1),
        (Trouble(request_bytes=20), b"", 0),
        (Trouble(request_bytes=len(POST) - 1), b"", 0),
        (Trouble(response_bytes=0), b"", 1),
        (Trouble(response_bytes=17), OK[:17], 1),
        (Trouble(response_bytes=0, then=Then.RESET), "reset", 1),
        (Trouble(request_bytes=20, then=Then.HOLD), "held", 0),
        (Trouble(response_bytes=0, then=Then.HOLD), "held", 1),
        (Trouble(refuse=True), "reset", 0),
    ],
    ids=repr,
)
async def test_each_trouble_is_exact(trouble: Trouble, answer: bytes | str, saw: int) -> None:
    """What the caller gets, and how many whole requests the carrier read."""
    got, peer = await call(trouble)

    assert (got, len(peer.saw)) == (answer, saw)
