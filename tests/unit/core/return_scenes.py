"""What tests of returns share: carriers, an engine whose rules say the same to everything, and its callers."""

from __future__ import annotations

import asyncio
from typing import Any

from crossdock_sdk import Item, Parcel
from engine.core.orders import Created
from engine.core.policy.records import OrderDraft
from engine.core.policy.return_records import ReturnItem, ReturnReason, ReturnRecord, ReturnWish, Verdict
from engine.core.policy.returns import Facts, Ruling
from engine.core.returns import CreatedReturn
from tests.fakes.carrier import ALL, manifest
from tests.fakes.house import TENANT, House

ALPHA = manifest("alpha", (*ALL, "track"))
COURIER = manifest("courier", (*ALL, "track"), options=("pickup",))
TEA = (Parcel(450, items=(Item("红茶", 2, sku="TEA"),)),)


class Always:
    """Rules that always say the same, and remember what they were told."""

    def __init__(self, verdict: Verdict) -> None:
        self.ruling = Ruling(verdict, "always", "because")
        self.facts: list[Facts] = []

    def judge(self, draft: OrderDraft, record: ReturnRecord, facts: Facts) -> Ruling:
        """See ReturnRules."""
        self.facts.append(facts)
        return self.ruling


async def begin(scene: House, verdict: Verdict = Verdict.APPROVE) -> Created:
    """An engine with these rules and all its loops, and a booked order."""
    rules = Always(verdict)
    await scene.crash()
    scene.return_rules = rules
    await scene.start()
    scene.carry_returns()
    created = await scene.create(parcels=TEA)
    await scene.pass_time(1.0)
    return created


async def ask(scene: House, created: Created, quantity: int = 0, request_id: str = "", **fields: Any) -> CreatedReturn:
    """Ask for a return as a caller would; no quantity means everything, keyword arguments replace fields."""
    items = (ReturnItem("TEA", "", quantity),) if quantity else ()
    wish = ReturnWish(created.order.order.order_id, ReturnReason.DAMAGED, items, **fields)
    return await scene.run(scene.returns.create(TENANT, wish, request_id=request_id, deadline_s=20.0))


async def now(scene: House, made: CreatedReturn) -> ReturnRecord:
    """The return as it stands."""
    return await scene.returns.get(TENANT, made.record.return_id)


async def scan(scene: House, number: str, code: str, carrier: str = "alpha") -> None:
    """The carrier scans a parcel, and we hear of it."""
    scene.network.ledgers[carrier].scan(number, scene.clock.now(), code)
    await scene.track(number, carrier=carrier, max_age_s=0.0)
    await scene.pass_time(2.0)


async def restart_under(scene: House, calling: asyncio.Future[Any]) -> None:
    """The engine dies while a caller waits for its answer; the next one carries on what it finds."""
    await scene.crash()
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)
    await scene.start()
    scene.reconcile()
    scene.carry_returns()
    await scene.pass_time(400.0)
