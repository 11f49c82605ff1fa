"""The HTTP application by itself: what each outcome of a push is answered with, and its limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from crossdock_sdk import HttpResponse, PushRefused, PushRequest
from engine.core.pushes import PushUndecided, UnknownPushAccount
from engine.ingress.web import ingress
from engine.metrics import Metrics

pytestmark = pytest.mark.anyio

ACCEPTED = HttpResponse(200, {"content-type": "text/xml"}, b"<ok/>")


class Pushes:
    """Takes pushes as the use case does; what came is kept."""

    def __init__(self, outcome: HttpResponse | Exception) -> None:
        self.outcome = outcome
        self.seen: list[tuple[str, PushRequest]] = []

    async def handle(self, account_id: str, request: PushRequest) -> HttpResponse:
        """Answer or raise as told."""
        self.seen.append((account_id, request))
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


def client(pushes: Pushes, problem: str = "", **limits: Any) -> httpx.AsyncClient:
    """A client of the application, in process."""
    fake: Any = pushes
    app = ingress(fake, Metrics(), lambda: problem, **{"max_body_bytes": 100, **limits})
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://engine")


async def test_a_push_reaches_the_plug_in_as_it_was_sent() -> None:
    """Account, rest of the path, query, body and lower-case headers are passed on."""
    pushes = Pushes(ACCEPTED)

    async with client(pushes) as http:
        await http.post("/push/zto-main/status/2?x=1&y=%20", content=b"\x00body", headers={"X-Sign": "abc"})

    [(account_id, request)] = pushes.seen
    assert account_id == "zto-main"
    assert (request.path, request.query, request.body) == ("status/2", "x=1&y=%20", b"\x00body")
    assert request.headers["x-sign"] == "abc"


async def test_the_acknowledgement_is_the_plug_ins_own() -> None:
    """Status, body and content type are exactly what the carrier expects."""
    async with client(Pushes(ACCEPTED)) as http:
        answer = await http.post("/push/zto-main")

    assert (answer.status_code, answer.content) == (200, b"<ok/>")
    assert answer.headers["content-type"] == "text/xml"


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(UnknownPushAccount("x"), 404), (PushRefused("digest of 张三 is wrong"), 403), (PushUndecided("x"), 503)],
)
async def test_what_is_not_taken_has_its_status(outcome: Exception, status: int) -> None:
    """Unknown 404, forged 403, not yet 503 so that it comes again; none says why."""
    async with client(Pushes(outcome)) as http:
        answer = await http.post("/push/zto-main", content=b"x")

    assert answer.status_code == status
    assert "张三" not in answer.text


@pytest.mark.parametrize(("size", "status"), [(100, 200), (101, 413)])
async def test_a_body_may_have_its_limit_and_no_byte_more(size: int, status: int) -> None:
    """The limit itself is allowed; over it nothing reaches the plug-in."""
    pushes = Pushes(ACCEPTED)

    async with client(pushes) as http:
        answer = await http.post("/push/zto-main", content=b"x" * size)

    assert answer.status_code == status
    assert len(pushes.seen) == (status == 200)


async def test_a_body_that_never_ends_is_cut_at_the_limit() -> None:
    """A sender without content length is stopped after the limit, not after its last byte."""
    pushes = Pushes(ACCEPTED)
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 10
            yield b"x" * 10

    async with client(pushes) as http:
        answer = await http.post("/push/zto-main", content=endless())

    assert answer.status_code == 413
    assert sent <= 120


async def test_a_slow_body_is_given_up() -> None:
    """A sender that stops in the middle gets 408 when the time for a body is over."""
    pushes = Pushes(ACCEPTED)

    async def stalled() -> AsyncIterator[bytes]:
        yield b"half"
        await asyncio.Event().wait()

    async with client(pushes, body_timeout_s=0.05) as http:
        answer = await http.post("/push/zto-main", content=stalled())

    assert answer.status_code == 408
    assert not pushes.seen


async def test_pushes_beyond_the_limit_come_again_later() -> None:
    """One too many at once gets 503 and its connection ends; probes are answered meanwhile, and so is the next push."""
    pushes = Pushes(ACCEPTED)
    began, held = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        began.set()
        yield b"half"
        await held.wait()

    async with client(pushes, most_pushes=1) as http:
        first = asyncio.create_task(http.post("/push/zto-main", content=slow()))
        await began.wait()
        refused, alive = await http.post("/push/zto-main"), await http.get("/healthz")
        held.set()
        statuses = [(await first).status_code, (await http.post("/push/zto-main")).status_code]

    assert (refused.status_code, refused.headers["connection"]) == (503, "close")
    assert alive.status_code == 200
    assert statuses == [200, 200]


@pytest.mark.parametrize(("problem", "status"), [("", 200), ("draining", 503)])
async def test_readiness_says_what_is_wrong(problem: str, status: int) -> None:
    """A probe reads the reason; liveness does not depend on it."""
    async with client(Pushes(ACCEPTED), problem) as http:
        ready, alive = await http.get("/readyz"), await http.get("/healthz")

    assert (ready.status_code, ready.text) == (status, f"{problem or 'ready'}\n")
    assert alive.status_code == 200


@pytest.mark.parametrize(
    ("host", "public", "status"),
    [("127.0.0.1", False, 200), ("::1", False, 200), ("10.0.0.9", False, 403), ("10.0.0.9", True, 200)],
)
async def test_metrics_are_for_this_machine_unless_allowed(host: str, public: bool, status: int) -> None:
    """Others may not count the shop's parcels; the switch makes it a decision."""
    fake: Any = Pushes(ACCEPTED)
    app = ingress(fake, Metrics(), lambda: "", max_body_bytes=100, public_metrics=public)
    transport = httpx.ASGITransport(app, client=(host, 123))

    async with httpx.AsyncClient(transport=transport, base_url="http://engine") as http:
        answer = await http.get("/metrics")

    assert answer.status_code == status
    assert ("crossdock_" in answer.text) == (status == 200)
