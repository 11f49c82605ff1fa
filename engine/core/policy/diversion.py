"""Where an order goes before anything is sent: the best account that can take it now, and why others were passed over.

Pure. What stands in an account's way is hard (nothing may be sent there now) or soft (it could take the order, another
one sooner or more safely). A soft hindrance never leaves an order unsent: when nobody is free, the best of the
hindered takes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from engine.core.policy.booking import Candidate


class Hindrance(StrEnum):
    """What stands in the way of sending to an account now; NONE is false."""

    NONE = ""
    QUEUE_WAIT = "QUEUE_WAIT"
    """Soft: the predicted wait is longer than the setting, or than this candidate's share of the deadline."""
    FAILBACK = "FAILBACK"
    """Soft: it is coming back after a failure, and this order is not in the share it gets already."""
    DEADLINE = "DEADLINE"
    """Hard: the predicted wait is longer than the caller waits."""
    BREAKER_OPEN = "BREAKER_OPEN"
    """Hard: calls are not let through."""
    DAILY_CAP = "DAILY_CAP"
    """Hard: it has its orders of the day."""
    RETRY_BUDGET = "RETRY_BUDGET"
    """Hard: it had this order before, and of late too many such retries failed there."""
    BACKLOG = "BACKLOG"
    """Hard, for an order that nobody waits for: so many of these wait there already that others would have no place."""


HARD = frozenset(Hindrance) - {Hindrance.NONE, Hindrance.QUEUE_WAIT, Hindrance.FAILBACK}

EXPLANATIONS: dict[Hindrance, str] = {
    Hindrance.QUEUE_WAIT: "its queue is too long",
    Hindrance.FAILBACK: "it is coming back step by step after a failure",
    Hindrance.DEADLINE: "its queue is longer than the caller waits",
    Hindrance.BREAKER_OPEN: "it does not work at the moment",
    Hindrance.DAILY_CAP: "its daily cap is reached",
    Hindrance.RETRY_BUDGET: "it refuses so many that it is asked again only now and then",
    Hindrance.BACKLOG: "its backlog is being worked off",
}
"""For people, in attempts and events."""

Standing = Callable[[str], Hindrance]
"""What stands in the way of an account, by its id."""


class Choice(NamedTuple):
    """The account to send to. `passed_over` is the first candidate before it, None when there was none.

    others: further candidates that could take the order; among them its time is shared.
    """

    candidate: Candidate
    passed_over: Candidate | None = None
    why: Hindrance = Hindrance.NONE
    others: int = 0

    @property
    def reason(self) -> str:
        """Why it was not the first candidate, for people; "" when it was."""
        return explain(self.passed_over, self.why) if self.passed_over is not None else ""


def choose(candidates: Sequence[Candidate], standing: Standing) -> Choice | None:
    """The first candidate in whose way nothing stands, else the first with a soft hindrance; None when all are shut."""
    if not candidates:
        return None
    found = [standing(candidate.account_id) for candidate in candidates]
    open_count = sum(hindrance not in HARD for hindrance in found)
    if not open_count:
        return None
    index = next((i for i, hindrance in enumerate(found) if not hindrance), -1)
    if index < 0:
        index = next(i for i, hindrance in enumerate(found) if hindrance not in HARD)
    if index == 0:
        return Choice(candidates[0], others=open_count - 1)
    return Choice(candidates[index], candidates[0], found[0], open_count - 1)


def hindrance_of(
    wait_s: float, *, left_s: float, share_s: float, divert_wait_s: float, is_shut: bool, is_held_back: bool
) -> Hindrance:
    """What a lane's predicted wait means for an order that has `left_s` and should wait `share_s` here at most."""
    if is_shut:
        return Hindrance.BREAKER_OPEN
    if wait_s > left_s:
        return Hindrance.DEADLINE
    if wait_s > divert_wait_s or wait_s > share_s:
        return Hindrance.QUEUE_WAIT
    return Hindrance.FAILBACK if is_held_back else Hindrance.NONE


def share_of_deadline_s(left_s: float, others: int) -> float:
    """How long an order may wait for its turn at one of `others` + 1 candidates, so that time is left for the rest.

    It bounds the wait only: a call that began is listened to until its own end, for a booking cut short is a booking
    in doubt.
    """
    return max(left_s, 0.0) / (others + 1)


def explain(candidate: Candidate, why: Hindrance) -> str:
    """Why a candidate was passed over."""
    return f"not {candidate.carrier} ({candidate.account_id}): {EXPLANATIONS[why]}"
