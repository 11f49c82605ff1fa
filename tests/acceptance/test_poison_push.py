"""A push that kills whoever handles it: the engine dies of it five times, and never again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from engine.core.poison import MOST_ENDS
from tests.acceptance.harness import world

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

DEADLY = {"CROSSDOCK_CRASH_AT": "push_in_hand"}
PUSH = b"data=%7B%22billCode%22%3A%22ends+processes%22%7D&data_digest=AAAA&msg_type=Traces"


def test_a_deadly_push_is_set_aside_and_the_engine_lives_on(tmp_path: Path) -> None:
    """Unread and unacknowledged from then on, and listed with its cause."""

    async def play() -> None:
        async with world(tmp_path, with_engine=False) as w:
            for _ in range(MOST_ENDS):
                await w.sandbox.start_engine(DEADLY)
                with pytest.raises(httpx.TransportError):
                    await send(w.sandbox.http, PUSH)
                assert await w.sandbox.wait_engine() == -9
            await w.sandbox.start_engine(DEADLY)
            statuses = [(await send(w.sandbox.http, PUSH)).status_code for _ in range(2)]
            async with httpx.AsyncClient(trust_env=False) as client:
                letters = (await client.get(f"{w.sandbox.http}/dead-letters")).json()

        assert statuses == [503, 503]
        assert [(letter["cause"], letter["attempts"]) for letter in letters] == [("EndedProcesses", MOST_ENDS)]

    asyncio.run(play())


async def send(http: str, body: bytes) -> httpx.Response:
    """As 中通 would."""
    headers = {"content-type": "application/x-www-form-urlencoded"}
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.post(f"{http}/push/zto-sandbox", content=body, headers=headers, timeout=20.0)
