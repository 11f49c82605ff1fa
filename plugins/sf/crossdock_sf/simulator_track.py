"""The simulator's answers about routes: `EXP_RECE_SEARCH_ROUTES` and `EXP_RECE_REGISTER_ROUTE` (sheet 4.9, 4.10).

An account that is bound to the monthly card sees its own parcels without a phone ending; any other account, and
whoever gives a wrong ending, gets an empty list and no error (trap 11). Routes are kept for three months.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from crossdock_sdk.signing import md5_hex
from crossdock_sdk.simulator import Entry, Ledger
from crossdock_sf import simulator_story as story
from crossdock_sf.simulator_orders import Json, Refusal, contact_of

RETENTION = timedelta(days=90)
MOST_NUMBERS = 10

_NUMBER = re.compile(r"SF[0-9]{13}|[0-9]{12}")
_TAIL = re.compile(r"[0-9]{4}")


class Parcels:
    """Finds the booking of any piece that travels. Reads on in the ledger, which only grows."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._read = 0
        self._by_number: dict[str, Entry] = {}

    def find(self, number: str) -> Entry | None:
        """The booking a number belongs to; None also when it was cancelled."""
        self._by_number.update((piece, e) for e in self._new() for piece in story.pieces(e))
        entry = self._by_number.get(number)
        return None if entry is None or entry.waybill_number in self._ledger.cancelled else entry

    def _new(self) -> Iterable[Entry]:
        entries = self._ledger.entries[self._read :]
        self._read += len(entries)
        return (entry for entry in entries if entry.kind == "BOOKED")


def tail_marks(order: Json) -> list[str]:
    """What is remembered of both phones: a digest of the last four digits."""
    phones = [str(c.get("mobile") or c.get("tel") or "") for c in (contact_of(order, 1), contact_of(order, 2))]
    return [_mark(str(order["orderId"]), phone[-4:]) for phone in phones]


def search_routes(
    body: Json, parcels: Parcels, ledger: Ledger, *, now: datetime, speed: float, bound: bool
) -> dict[str, Any]:
    """`msgData` of a route query. Raises Refusal 8003, 8013 or 6130."""
    numbers = body.get("trackingNumber")
    if not isinstance(numbers, list) or not numbers:
        raise Refusal("8013", "查询号不能为空")
    if len(numbers) > MOST_NUMBERS:
        raise Refusal("8003", "查询号个数超过限制")
    kind = str(body.get("trackingType", "1"))
    if kind not in ("1", "2"):
        raise Refusal("6130", "路由查询类别错误")
    tails = _tails(str(body.get("checkPhoneNo") or ""), len(numbers))
    answers = []
    for number, tail in zip(map(str, numbers), tails, strict=True):
        first = ledger.first(number) if kind == "2" else None
        mail_no = first.waybill_number if first else number
        entry = parcels.find(mail_no)
        rows: list[dict[str, Any]] = []
        if entry and _may_see(entry, tail, bound=bound or kind == "2") and now - entry.time <= RETENTION:
            rows = [story.query_row(scan) for scan in story.happened(entry, mail_no, now, speed)]
        answers.append({"mailNo": mail_no, "routes": rows})
    return {"routeResps": answers}


def register_route(body: Json) -> dict[str, Any]:
    """`msgData` of a registration; what the real one answers is not documented. Raises Refusal 8191 or 8196.

    Nothing follows: a parcel that was not booked here does not travel here.
    """
    if not _NUMBER.fullmatch(str(body.get("attributeNo", ""))):
        raise Refusal("8191", "运单号格式不正确")
    if not _TAIL.fullmatch(str(body.get("checkPhoneNo", ""))):
        raise Refusal("8196", "电话号码校验不通过")
    return {}


def _tails(text: str, count: int) -> list[str]:
    """One ending for all, or one each in the order of the numbers; missing ones are empty (trap 12)."""
    tails = text.split(",") if text else [""]
    return tails * count if len(tails) == 1 else (tails + [""] * count)[:count]


def _may_see(entry: Entry, tail: str, *, bound: bool) -> bool:
    return _mark(entry.reference, tail) in entry.facts.get("phone_tails", ()) if tail else bound


def _mark(reference: str, tail: str) -> str:
    return md5_hex(f"{reference}/{tail}")[:12]
