"""The simulator's order desk: createOrder, getOrderInfo, cancelPreOrder on the ledger.

Numbers count the ledger's bookings, so that a restarted simulator never gives one out twice.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from crossdock_sdk.simulator import Entry, Ledger
from crossdock_zto import simulator_lanes as lanes
from crossdock_zto import simulator_route as route
from crossdock_zto.simulator_wire import ACCOUNT_ID, ACCOUNT_PASSWORD, Rejected

FULL_NETWORK, PICK_UP = "1", "2"
GROUP_CUSTOMER = "1"

_CHINA = timezone(timedelta(hours=8))
_NEEDS_AMOUNT = frozenset({"COD", "insured"})
_NUMBER_PREFIX = "7540000"


class Desk:
    """ZTO's memory of orders. `balance` None never runs out. void_times: when a waybill was cancelled."""

    def __init__(self, ledger: Ledger, balance: int | None) -> None:
        self._ledger = ledger
        self._balance = balance
        self._by_order_code: dict[str, Entry] = {}
        self.void_times: dict[str, datetime] = {}
        for entry in ledger.entries:
            self._remember(entry)

    def create(self, body: dict[str, Any], now: datetime, first_serial: int = 0) -> dict[str, Any]:
        """Book, again and again for the same partnerOrderCode. Raises Rejected."""
        _check_order(body)
        issued = len(self._by_order_code)
        if self._balance is not None and issued >= self._balance:
            raise Rejected("F002", "电子面单余额不足")
        serial = first_serial + issued + 1
        order_code = f"{now.astimezone(_CHINA):%y%m%d}{serial:012d}"
        reference = str(body["partnerOrderCode"])
        entry = self._ledger.book(
            now,
            reference,
            f"{_NUMBER_PREFIX}{serial:07d}",
            order_code=order_code,
            order_type=str(body["orderType"]),
            **route.facts(body),
        )
        self._remember(entry)
        receiver = body["receiveInfo"]
        return {
            "bigMarkInfo": lanes.mark(receiver["receiverCity"], receiver["receiverDistrict"]),
            "verifyCode": None,
            "siteCode": "57100",
            "siteName": "杭州西湖",
            "signBillInfo": None,
            "billCode": entry.waybill_number,
            "orderCode": order_code,
            "partnerOrderCode": reference,
        }

    def find(self, body: dict[str, Any], now: datetime, blind_s: float) -> list[dict[str, Any]]:
        """getOrderInfo: an empty list when there is nothing to see.

        Bookings younger than `blind_s` are not seen yet. tradeId as the partnerOrderCode is
        inferred.
        """
        entry = self._entry(body, full_network=str(body["type"]) == "1")
        if entry is None or now - entry.time < timedelta(seconds=blind_s):
            return []
        void = entry.waybill_number in self._ledger.cancelled
        return [
            {
                "orderCode": entry.facts["order_code"],
                "billCode": entry.waybill_number,
                "orderStatus": -2 if void else 0,
                "orderCreateDate": f"{entry.time.astimezone(_CHINA):%Y-%m-%d %H:%M:%S}",
                "cancelReason": "客户取消" if void else None,
                "tradeId": entry.reference,
            }
        ]

    def cancel(self, body: dict[str, Any], now: datetime) -> Entry:
        """Void a pick-up order. Full-network numbers and void ones are "not found". Raises
        Rejected.
        """
        if str(body["cancelType"]) not in "1234567":
            raise Rejected("E403", "参数校验失败: cancelType")
        entry = self._entry(body, full_network=False)
        if entry is None or entry.waybill_number in self._ledger.cancelled:
            # The message is ZTO's; which code stands beside it is not documented.
            raise Rejected("SYS001", "查询不到该订单")
        self._remember(self._ledger.cancel(now, entry.reference, entry.waybill_number))
        return entry

    def _entry(self, body: dict[str, Any], *, full_network: bool) -> Entry | None:
        """Full-network orders are known by their waybill number only (section 4.4)."""
        entry = self._ledger.by_waybill.get(str(body.get("billCode")))
        if entry is None and not full_network:
            entry = self._by_order_code.get(str(body.get("orderCode")))
        if entry is None or (entry.facts["order_type"] == FULL_NETWORK) is not full_network:
            return None
        return entry

    def _remember(self, entry: Entry) -> None:
        if entry.kind == "BOOKED":
            self._by_order_code[entry.facts["order_code"]] = entry
        else:
            self.void_times.setdefault(entry.waybill_number, entry.time)


def _check_order(body: dict[str, Any]) -> None:
    """What the order service refuses before it books."""
    account = body.get("accountInfo")
    account = account if isinstance(account, dict) else {}
    if str(body["partnerType"]) == GROUP_CUSTOMER:
        _check_payer(account.get("customerId"), known=account.get("customerId") == ACCOUNT_ID)
    else:
        matches = account.get("accountPassword") == ACCOUNT_PASSWORD
        _check_payer(account.get("accountId"), known=account.get("accountId") == ACCOUNT_ID and matches)
    if str(body["orderType"]) not in (FULL_NETWORK, PICK_UP):
        raise Rejected("p-o001", "未找到对应的订单处理器")
    for key in ("orderVasList", "orderItems"):
        if not isinstance(body.get(key, []), list):
            raise Rejected("E403", f"参数校验失败: {key}")
    for vas in body.get("orderVasList", ()):
        if vas.get("vasType") in _NEEDS_AMOUNT and not isinstance(vas.get("vasAmount"), int):
            raise Rejected("E403", "参数校验失败: vasAmount")


def _check_payer(payer: object, *, known: bool) -> None:
    if not payer:
        raise Rejected("DEF001", "电子面单账号或集团客户编码不能为空")
    if not known:
        raise Rejected("p-o003", "电子面单账号或集团客户编码不存在或未绑定")
