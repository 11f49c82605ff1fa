"""When the simulator pushes traces, with the real one's habits (carrier sheet section 4.9).

Events come late, overtake each other, come again, and now and then the same scan comes twice with another time. Which
ones do is drawn from the waybill number, so that a run can be repeated.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from heapq import heappop, heappush

import msgspec

from crossdock_sdk.simulator import Entry
from crossdock_zto.simulator_route import Scan, draw, first_time, journey

LATE_ONE_IN = 5
REPEATED_ONE_IN = 4
TWICE_ONE_IN = 8

MAX_PER_TICK = 250
"""Pushes handed out at a time; the rest waits for the next tick."""

MAX_TAKEN_IN = 2_000
"""New parcels taken in at a time, so that a long ledger does not stop the server."""

_LAST_GAP_S = 3600.0


class Delivery(msgspec.Struct, frozen=True):
    """One push: when it leaves, which scan it tells, and what time it says the scan had."""

    due: datetime
    scan: Scan
    action_time: datetime


def deliveries(entry: Entry, speed: float) -> tuple[Delivery, ...]:
    """All pushes of a parcel's life in the order they leave. None leaves before its scan."""
    scans = journey(entry, speed)
    found = [d for n, scan in enumerate(scans) for d in _of_scan(entry, scan, _gap_s(scans, n, speed), speed)]
    return tuple(sorted(found, key=lambda d: (d.due, d.scan.index)))


def _of_scan(entry: Entry, scan: Scan, gap_s: float, speed: float) -> Iterator[Delivery]:
    """The pushes of one scan. gap_s: seconds of the clock until the parcel's next scan."""
    delay_s = (20 + draw(entry, f"delay {scan.index}", 60)) / speed
    if draw(entry, f"late {scan.index}", LATE_ONE_IN) == 0:
        delay_s += gap_s * 1.1
    due = scan.time + timedelta(seconds=delay_s)
    yield Delivery(due, scan, scan.time)
    if draw(entry, f"again {scan.index}", REPEATED_ONE_IN) == 0:
        yield Delivery(due + timedelta(seconds=600 / speed), scan, scan.time)
    if draw(entry, f"twice {scan.index}", TWICE_ONE_IN) == 0:
        # Before the next scan, or the times themselves would tell another story.
        other = scan.time + timedelta(seconds=min(90 / speed, gap_s / 2))
        yield Delivery(max(due, other) + timedelta(seconds=120 / speed), scan, other)


def _gap_s(scans: tuple[Scan, ...], index: int, speed: float) -> float:
    if index + 1 == len(scans):
        return _LAST_GAP_S / speed
    return (scans[index + 1].time - scans[index].time).total_seconds()


class Postman:
    """Knows which parcels are pushed, and hands out what is due.

    Only what falls due after a parcel was taken on is pushed; after a restart that is the time of the restart. `speed`
    must not change once something was handed out.
    """

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._new: deque[tuple[Entry, datetime]] = deque()
        self._waiting: list[tuple[datetime, int, Entry, datetime]] = []

    def follow(self, entries: Iterable[Entry], since: datetime) -> None:
        """Take parcels on; a second time changes nothing."""
        for entry in entries:
            if entry.waybill_number not in self._known:
                self._known.add(entry.waybill_number)
                self._new.append((entry, since))

    def collect(self, now: datetime, speed: float) -> list[tuple[Entry, Delivery]]:
        """What is due by now, each delivery once."""
        for _ in range(min(len(self._new), MAX_TAKEN_IN)):
            entry, since = self._new.popleft()
            self._wait(first_time(entry, speed), entry, since)
        found: list[tuple[Entry, Delivery]] = []
        while self._waiting and self._waiting[0][0] <= now and len(found) < MAX_PER_TICK:
            _, _, entry, since = heappop(self._waiting)
            left = [d for d in deliveries(entry, speed) if d.due > since]
            found += [(entry, d) for d in left if d.due <= now]
            later = [d.due for d in left if d.due > now]
            if later:
                self._wait(later[0], entry, now)
        return found

    def _wait(self, due: datetime, entry: Entry, since: datetime) -> None:
        heappush(self._waiting, (due, entry.sequence, entry, since))
