"""What a storm does, decided from a seed alone: orders, faults, kills. Pure; nothing is done here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

import msgspec

from engine.crash import POINTS
from tests.fakes.proxy import Then, Trouble

MISHAPS = (
    "error_share",
    "cut_share",
    "accept_then_cut_share",
    "half_answer_share",
    "odd_body_share",
    "silence_share",
)
CARRIERS = ("sf", "zto")
UNREACHED = ("label_fetched", "migration_written", "checkpoint_begun")
PASSED = tuple(point for point in POINTS if point not in UNREACHED)
"""Points that a storm's clients reach: they ask for no labels, and its engines do not stop by themselves."""

WIRES: tuple[Trouble, ...] = (
    Trouble(latency_s=0.05),
    Trouble(dribble_s=0.001),
    Trouble(refuse=True),
    Trouble(request_bytes=1),
    Trouble(request_bytes=300),
    Trouble(request_bytes=300, then=Then.RESET),
    Trouble(response_bytes=0),
    Trouble(response_bytes=0, then=Then.RESET),
    Trouble(response_bytes=0, then=Then.HOLD),
    Trouble(response_bytes=40),
    Trouble(response_bytes=200, then=Then.RESET),
)
"""What a wire does in a life that has trouble with it: inside the request, after it, inside the answer."""

CRASH_SHARE = 0.5
"""Lives that are to end at a named point; the others are ended from outside, at any instant."""

WIRE_SHARE = 0.25
"""Of a life's carriers, those whose wire is in trouble."""

LONGEST_S = 1.5
POINT_LONGEST_S = 3.0
"""The longest an engine lives when nothing ends it before; a point may need faults to be passed."""


class Life(msgspec.Struct, frozen=True):
    """One life of the engine. `crash_at` is "" or POINT:N; `kill_after_s` ends it at the latest.

    `faults`: carrier -> arguments of Faults. `wires`: carrier -> what happens between it and the engine.
    """

    crash_at: str
    kill_after_s: float
    faults: Mapping[str, Mapping[str, Any]]
    wires: Mapping[str, Trouble] = {}


class Wish(msgspec.Struct, frozen=True):
    """What a client does with one order.

    Creates it, `twins` times at once, then cancels it or creates it again with the same key.
    """

    reference: str
    only: tuple[str, ...]
    prefer: tuple[str, ...]
    deadline_s: float
    twins: int
    cancels: bool
    repeats: bool


def lives(random: Random, count: int) -> Iterator[Life]:
    """`count` lives of an engine."""
    for _ in range(count):
        faults = {carrier: _faults(random) for carrier in CARRIERS}
        wires = {carrier: random.choice(WIRES) for carrier in CARRIERS if random.random() < WIRE_SHARE}
        if random.random() < CRASH_SHARE:
            crash_at = f"{random.choice(PASSED)}:{random.randint(1, 4)}"
            yield Life(crash_at, POINT_LONGEST_S, faults, wires)
        else:
            yield Life("", random.uniform(0.02, LONGEST_S), faults, wires)


def wishes(random: Random, prefix: str) -> Iterator[Wish]:
    """Orders without end."""
    number = 0
    while True:
        number += 1
        only: tuple[str, ...] = ()
        prefer: tuple[str, ...] = ()
        match random.randrange(10):
            case 0:
                only = ("sf",)
            case 1:
                only = ("zto",)
            case 2 | 3:
                prefer = ("zto",)
        yield Wish(
            reference=f"{prefix}-{number}",
            only=only,
            prefer=prefer,
            deadline_s=random.choice((0.5, 1.0, 3.0)),
            twins=2 if random.random() < 0.15 else 1,
            cancels=random.random() < 0.2,
            repeats=random.random() < 0.3,
        )


def _faults(random: Random) -> dict[str, Any]:
    kind = random.random()
    if kind < 0.35:
        return {}
    if kind < 0.45:
        return {"down": True}
    if kind < 0.55:
        return {"refuse_bookings": True}
    faults: dict[str, Any] = {
        "latency_s": random.choice((0.0, 0.01, 0.05)),
        "latency_jitter_s": random.choice((0.0, 0.1)),
        # Below the time after which SF's "not found" is believed; above it nobody could tell.
        "lookup_blind_s": random.choice((0.0, 0.0, 2.0, 8.0)),
    }
    for mishap in random.sample(MISHAPS, k=random.randint(1, 3)):
        faults[mishap] = random.choice((0.1, 0.3))
    if random.random() < 0.5:
        faults["operations"] = [random.choice(("book", "find", "cancel"))]
    return faults
