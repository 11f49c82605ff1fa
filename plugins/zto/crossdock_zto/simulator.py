"""ZTO's side of the wire: checks what ZTO checks, books into the ledger and pushes what ZTO pushes.

It is as unforgiving as the real one where that matters most: a repeated partnerOrderCode books
again, and nothing can be looked up by it. `simulator_wire` holds the gateway, `simulator_orders`
the orders, `simulator_lanes` prices and routing; `simulator_route` moves the parcels, `simulator_traces` words
their scans and `simulator_postman` says when they are pushed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any, ClassVar

from crossdock_sdk import Account, HttpRequest, HttpResponse, Secret
from crossdock_sdk.simulator import CarrierSimulator, Entry, Ledger
from crossdock_zto import simulator_lanes as lanes
from crossdock_zto import simulator_route as route
from crossdock_zto import simulator_traces as traces
from crossdock_zto import simulator_wire as wire
from crossdock_zto.simulator_orders import Desk
from crossdock_zto.simulator_postman import Postman

OPERATIONS = {
    "zto.open.areaUnobstructed": "quote",
    "zto.open.obtainPicePrescription": "quote",
    "zto.open.createOrder": "book",
    "zto.open.getOrderInfo": "find_by_carrier_order",
    "zto.open.cancelPreOrder": "cancel",
    "zto.innovate.bagAddrMark": "sort_code",
    "zto.merchant.waybill.track.query": "track",
    "zto.merchant.waybill.track.subsrcibe": "subscribe",
}
"""Which operation an API name belongs to. ZTO's spellings are kept."""

_NUMBER = re.compile(r"[0-9]{12,15}")


class ZtoSimulator(CarrierSimulator):
    """balance: waybill numbers left at the start (None = no end), F002 when they are used up.

    embargo: cities, as spelt in the address, that areaUnobstructed reports as stopped.
    bound: whether the waybill account is bound to the application. Then its parcels are shown without a phone tail and
    all of them are pushed; otherwise the tail is needed, and only what was subscribed is pushed.
    `Faults.refuse_bookings` also answers F002: ZTO documents no code for lack of capacity.
    """

    code: ClassVar[str] = "zto"

    def __init__(
        self,
        ledger: Ledger,
        *,
        clock: Callable[[], datetime],
        push_url: str = "",
        balance: int | None = None,
        embargo: Collection[str] = (),
        bound: bool = True,
    ) -> None:
        super().__init__(ledger, clock=clock, push_url=push_url)
        self.embargo = frozenset(embargo)
        self.bound = bound
        self.desk = Desk(ledger, balance)
        self.postman = Postman()
        if bound:
            self.postman.follow(ledger.by_waybill.values(), clock())

    @classmethod
    def account(cls, base_url: str) -> Account:
        """The public sandbox's waybill account with an application of the simulator's own."""
        return Account(
            account_id="zto-demo",
            carrier="zto",
            base_url=base_url,
            settings={
                "app_key": wire.APP_KEY,
                "account_id": wire.ACCOUNT_ID,
                "partner_type": "2",
                "order_type": "1",
            },
            secrets={
                "app_secret": Secret(wire.APP_SECRET),
                "account_password": Secret(wire.ACCOUNT_PASSWORD),
            },
        )

    def operation(self, request: HttpRequest) -> str:
        """The SDK operation of a request, "" when it is none."""
        return OPERATIONS.get(wire.api_name(request), "")

    def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer as ZTO would: every refusal is HTTP 200."""
        api = wire.api_name(request)
        try:
            if api not in OPERATIONS:
                raise wire.Rejected("S207", "接口不存在")
            return self._answer(api, wire.verified_body(request, api))
        except wire.Rejected as rejected:
            return wire.refusal(rejected.code, rejected.message)

    def tick(self) -> None:
        """Push the traces that have fallen due; nothing of a parcel after it was cancelled."""
        if not self.push_url:
            return
        for entry, delivery in self.postman.collect(self.clock(), self.speed):
            void_time = self.desk.void_times.get(entry.waybill_number)
            if void_time is None or delivery.scan.time <= void_time:
                data = traces.push_data(entry, delivery.scan, delivery.action_time)
                self.outbox.append(wire.trace_push(self.push_url, data))

    def failing(self) -> HttpResponse:
        """Service unavailable; nothing was done, though ZTO's document does not promise that."""
        return wire.refusal("S203", "服务不可用")

    def busy(self) -> HttpResponse:
        """Flow control, in front of the back end."""
        return wire.refusal("S221", "请求过于频繁，已被限流")

    def _answer(self, api: str, body: dict[str, Any]) -> HttpResponse:
        if api == "zto.open.createOrder":
            return self._create(body)
        if api == "zto.open.getOrderInfo":
            found = self.desk.find(body, self.clock(), self.faults.lookup_blind_s)
            return wire.success(found)
        if api == "zto.open.cancelPreOrder":
            return self._cancel(body)
        if api == "zto.innovate.bagAddrMark":
            return wire.success(lanes.mark(body["receive_city"], body["receive_district"]))
        if api == "zto.open.areaUnobstructed":
            return wire.success(lanes.area(body["city"], self.embargo))
        if api == "zto.merchant.waybill.track.query":
            return wire.success(self._scans(self._shown(body)), message="请求成功")
        if api == "zto.merchant.waybill.track.subsrcibe":
            return self._subscribe(self._shown(body))
        return wire.success(lanes.prescription(body))

    def _create(self, body: dict[str, Any]) -> HttpResponse:
        if self.faults.refuse_bookings:
            raise wire.Rejected("F002", "电子面单余额不足")
        now = self.clock()
        created = self.desk.create(body, now, self.first_serial)
        if self.bound:
            self.postman.follow([self.ledger.by_waybill[created["billCode"]]], now)
        self._push(created["orderCode"], created["billCode"], 1)
        return wire.success(created, code="0000")

    def _cancel(self, body: dict[str, Any]) -> HttpResponse:
        entry = self.desk.cancel(body, self.clock())
        self._push(entry.facts["order_code"], entry.waybill_number, 6)
        return wire.success({})

    def _shown(self, body: dict[str, Any]) -> Entry | None:
        """The parcel asked for, None for one nobody has scanned. Raises Rejected when it is not to be shown."""
        number, tail = str(body["billCode"]), str(body.get("mobilePhone") or "")
        if not _NUMBER.fullmatch(number):
            raise wire.Rejected("E416", "非中通单号")
        entry = self.ledger.by_waybill.get(number)
        if not tail and (entry is None or not self.bound):
            raise wire.Rejected("E413", "请输入寄件人或收件人手机号后四位")
        if tail and entry is not None and tail not in entry.facts.get("phone_tails", (tail,)):
            raise wire.Rejected("E409", "手机号与运单不匹配")
        return entry

    def _scans(self, entry: Entry | None) -> list[dict[str, object]]:
        """Oldest first; what only pushes tell of is left out."""
        if entry is None:
            return []
        void_time = self.desk.void_times.get(entry.waybill_number)
        seen = route.so_far(entry, self.clock(), self.speed, void_time)
        return [traces.query_item(entry, scan) for scan in seen if traces.KINDS[scan.leg.kind].scan_type]

    def _subscribe(self, entry: Entry | None) -> HttpResponse:
        """Subscriptions live in memory only: after a restart they have to be made again."""
        if entry is not None:
            self.postman.follow([entry], self.clock())
        return wire.success(None, message="操作成功")

    def _push(self, order_code: str, bill_code: str, status: int) -> None:
        if self.push_url:
            self.outbox.append(wire.order_push(self.push_url, order_code, bill_code, status))
