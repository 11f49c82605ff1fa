"""The simulator's route pushes, with the habits of real ones (sheet 4.11): repeated, late, out of order.

Three rows of four are repeats: an event is told one to seven times, four on average, within hours. When each telling
falls due is a pure function of the event, a seed and the speed. Up to ten rows that are due together go into one
push, of whichever parcels they are. A push that is not acknowledged is sent again until it is.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import md5
from urllib.parse import quote_plus
from xml.sax.saxutils import quoteattr

import msgspec

from crossdock_sdk import HttpRequest
from crossdock_sdk.codec import to_json
from crossdock_sdk.simulator import Entry, Ledger
from crossdock_sf import simulator_story as story
from crossdock_sf.simulator_story import Scan

MOST_ROWS = 10
MOST_PUSHES_A_TICK = 50
MOST_BIRTHS_A_TICK = 50
MOST_WAITING = 10_000
AGAIN_AFTER = timedelta(seconds=5)
"""How long a push rests after the server gave it up."""

_LATE_S = 900.0  # any first telling, at most
_HELD_S = 3 * 3600.0  # one of six: held back, so that later events overtake it
_REPEAT_S = 12 * 3600.0  # repeats, at most
_JSON = {"content-type": "application/json;charset=utf-8"}
_FORM = {"content-type": "application/x-www-form-urlencoded;charset=UTF-8"}


class Telling(msgspec.Struct, frozen=True, order=True):
    """One time that one event is told."""

    due: datetime
    lot: int
    number: str
    index: int


def tellings(life: Sequence[Scan], seed: int, speed: float) -> list[Telling]:
    """When each event of a piece is told, repeats included, in that order."""
    told: list[Telling] = []
    for index, scan in enumerate(life):
        lots = _lots(f"{seed}/{scan.event_id}")
        late_s = lots[0] / 255 * (_HELD_S if lots[1] % 6 == 0 else _LATE_S)
        delays_s = [late_s] + [late_s + lot / 255 * _REPEAT_S for lot in lots[3 : 3 + lots[2] % 7]]
        told += [
            Telling(scan.time + timedelta(seconds=delay_s / speed), lots[8 + nth], scan.number, index)
            for nth, delay_s in enumerate(delays_s)
        ]
    return sorted(told)


class Postman:
    """Knows what is to be told when. `collect` gives the pushes that are due.

    A parcel's life is worked out when it is first due: until then it costs next to nothing. After a restart, parcels
    that had not told everything by then are told from their beginning.
    """

    def __init__(self, ledger: Ledger, *, seed: int, as_xml: bool) -> None:
        self._ledger = ledger
        self._seed = seed
        self._as_xml = as_xml
        self._read = 0
        self._old = len(ledger.entries)
        self._started: datetime | None = None
        # Pieces of which nothing is due yet: no earlier than when, whose, and whether from before a restart.
        self._unborn: list[tuple[datetime, str, str, bool]] = []
        # The next telling of each piece, and how many of its tellings are behind it.
        self._next: list[tuple[Telling, int, str]] = []
        self._lives: dict[str, tuple[tuple[Scan, ...], list[Telling], Entry]] = {}
        self._again: deque[tuple[datetime, HttpRequest]] = deque(maxlen=MOST_WAITING)

    def collect(self, url: str, now: datetime, speed: float) -> list[HttpRequest]:
        """Pushes to `url` that are due by `now`; what is more than a tick's share waits for the next."""
        self._started = self._started or now
        self._read_on(speed)
        self._bear(now, speed)
        pushes: list[HttpRequest] = []
        while self._again and self._again[0][0] <= now and len(pushes) < MOST_PUSHES_A_TICK:
            pushes.append(self._again.popleft()[1])
        while len(pushes) < MOST_PUSHES_A_TICK and (rows := self._due_rows(now)):
            pushes.append(_push(url, rows, as_xml=self._as_xml))
        return pushes

    def again(self, push: HttpRequest, now: datetime) -> None:
        """Send a push that nobody acknowledged once more, later."""
        self._again.append((now + AGAIN_AFTER, push))

    def _read_on(self, speed: float) -> None:
        for position in range(self._read, len(self._ledger.entries)):
            entry = self._ledger.entries[position]
            if entry.kind == "BOOKED":
                due = story.collected_time(entry, speed)
                for number in story.pieces(entry):
                    heapq.heappush(self._unborn, (due, number, entry.waybill_number, position < self._old))
        self._read = len(self._ledger.entries)

    def _bear(self, now: datetime, speed: float) -> None:
        for _ in range(MOST_BIRTHS_A_TICK):
            if not self._unborn or self._unborn[0][0] > now:
                return
            _, number, parent, is_old = heapq.heappop(self._unborn)
            entry = self._ledger.by_waybill[parent]
            life = story.scans(entry, number, speed)
            told = tellings(life, self._seed, speed)
            if is_old and self._started is not None and told[-1].due <= self._started:
                continue
            self._lives[number] = (life, told, entry)
            heapq.heappush(self._next, (told[0], 0, number))

    def _due_rows(self, now: datetime) -> list[dict[str, str]]:
        rows: list[dict[str, str]] = []
        while len(rows) < MOST_ROWS and self._next and self._next[0][0].due <= now:
            telling, position, number = heapq.heappop(self._next)
            life, told, entry = self._lives[number]
            if entry.waybill_number in self._ledger.cancelled:
                del self._lives[number]
                continue
            rows.append(story.push_row(life[telling.index]))
            if position + 1 < len(told):
                heapq.heappush(self._next, (told[position + 1], position + 1, number))
            else:
                del self._lives[number]
        # Within a push nothing has an order either: the lots of the rows decide.
        return sorted(rows, key=lambda row: _lots(f"{self._seed}/{row['id']}/{now.isoformat()}"))


def _push(url: str, rows: Sequence[dict[str, str]], *, as_xml: bool) -> HttpRequest:
    if as_xml:
        return HttpRequest("POST", url, _FORM, b"content=" + quote_plus(_xml(rows)).encode("ascii"))
    return HttpRequest("POST", url, _JSON, to_json({"Body": {"WaybillRoute": rows}}))


def _xml(rows: Sequence[dict[str, str]]) -> str:
    elements = "".join(f"<WaybillRoute {' '.join(f'{k}={quoteattr(v)}' for k, v in row.items())}/>" for row in rows)
    return f'<Request service="RoutePushService" lang="zh-CN"><Body>{elements}</Body></Request>'


def _lots(text: str) -> bytes:
    """Sixteen bytes that stand for dice."""
    return md5(text.encode(), usedforsecurity=False).digest()
