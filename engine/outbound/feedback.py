"""What a finished call teaches.

One table from its report to breaker, rate, concurrency and metrics; and whether a refusal may mean one item only. Pure.
"""

from __future__ import annotations

import msgspec

from crossdock_sdk import CarrierError, ErrorClass, SideEffect
from engine.core.policy.breaker import Verdict
from engine.core.policy.retry import MAX_RETRY_AFTER_S
from engine.outbound.call import CallReport
from engine.outbound.errors import Ambiguous, FaultKind, LaneRefused, NotSent, PluginFault
from engine.outbound.operations import CHANGES_THE_WORLD

# Faults of ours, found before the carrier could be reached: they say nothing about its health.
_OURS = frozenset({FaultKind.FORBIDDEN, FaultKind.INVALID, FaultKind.POOL, FaultKind.RATE, FaultKind.CANCELLED})

# Refusals that lie in what was asked. Not DUPLICATE, which is looked up; the others lie in the account or the carrier.
_OF_AN_ITEM = frozenset({ErrorClass.INVALID_REQUEST, ErrorClass.NOT_FOUND, ErrorClass.NO_SERVICE, ErrorClass.PERMANENT})


class Lesson(msgspec.Struct, frozen=True):
    """The policies' inputs and the metric labels of one call."""

    verdict: Verdict
    outcome: str
    error_class: str = ""
    throttled: bool = False
    retry_after_s: float | None = None
    timed_out: bool = False


def lesson(report: CallReport) -> Lesson:
    """Read a report.

    A batch counts as failed when at least half of its items failed for TEMPORARY reasons.
    """
    if report.error is not None:
        return _of_error(report)
    refusals = [o for o in report.outcomes if isinstance(o, CarrierError)]
    if not refusals and not report.server_error and not report.throttled:
        return _GOOD
    limited = [o for o in refusals if o.error_class is ErrorClass.RATE_LIMITED]
    temporary = sum(o.error_class is ErrorClass.TEMPORARY for o in refusals)
    throttled = report.throttled or bool(limited)
    if temporary * 2 >= len(report.outcomes) > 0 or (report.server_error and not throttled):
        verdict = Verdict.FAILURE
    else:
        verdict = Verdict.NEUTRAL if throttled else Verdict.SUCCESS
    # A header's nonsense ends in the parser; what a plug-in read from a body comes here as the carrier wrote it.
    asked = [o.retry_after_s for o in limited]
    waits = [min(wait_s, MAX_RETRY_AFTER_S) for wait_s in asked if isinstance(wait_s, int | float) and wait_s > 0]
    if report.retry_after_s is not None:
        waits.append(report.retry_after_s)
    return Lesson(
        verdict,
        "REFUSED" if len(refusals) == len(report.outcomes) else "ANSWERED",
        str(refusals[0].error_class) if refusals else "",
        throttled=throttled,
        retry_after_s=max(waits, default=None),
    )


def may_mean_one_item(operation: str, report: CallReport) -> bool:
    """Whether a whole call was refused, proved without effect, for what may lie in one of its items.

    A flow that had more than one request answered may have had effects that its last refusal does not speak of.
    """
    first = report.outcomes[0] if report.outcomes else None
    return (
        isinstance(first, CarrierError)
        and first.error_class in _OF_AN_ITEM
        and first.side_effect is SideEffect.NONE
        and (report.requests <= 1 or operation not in CHANGES_THE_WORLD)
        and all(outcome is first for outcome in report.outcomes)
    )


def _of_error(report: CallReport) -> Lesson:
    error = report.error
    waits = report.retry_after_s
    throttled = report.throttled
    match error:
        case PluginFault():
            # Not understanding an answer is what TEMPORARY means too. Before a request it is ours.
            verdict = Verdict.FAILURE if error.requests_sent and not throttled else Verdict.NEUTRAL
            return Lesson(verdict, "PLUGIN_FAULT", "", throttled, waits)
        case NotSent() | Ambiguous():
            verdict = Verdict.NEUTRAL if error.kind in _OURS else Verdict.FAILURE
            timed_out = error.kind is FaultKind.TIMEOUT
            outcome = "NOT_SENT" if isinstance(error, NotSent) else "AMBIGUOUS"
            return Lesson(verdict, outcome, str(error.kind), throttled, waits, timed_out)
        case LaneRefused():
            return Lesson(Verdict.NEUTRAL, "NOT_SENT", str(error.reason), throttled, waits)
        case _:
            return Lesson(Verdict.NEUTRAL, "AMBIGUOUS", "", throttled, waits)


_GOOD = Lesson(Verdict.SUCCESS, "ANSWERED")
