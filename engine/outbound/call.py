"""One call to a carrier: token, context, flow, requests, and a report of what came of it.

A `CarrierCaller` decides nothing about when: the lane does. It never raises for a failed call; the report
carries the outcome of each item or one error for all, and the signals the lane's policies learn
from.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

import msgspec

from crossdock_sdk import (
    Account,
    CallContext,
    Carrier,
    CarrierError,
    ErrorClass,
    Flow,
    HttpRequest,
    HttpResponse,
    Session,
    SideEffect,
)
from engine.clock import Clock
from engine.core.policy.rate import Gcra
from engine.core.policy.retry import parse_retry_after
from engine.outbound.driver import drive
from engine.outbound.errors import Ambiguous, FaultKind, NotSent, OutboundError, PluginFault
from engine.outbound.operations import ANSWERS, NAMES_ITS_ITEM
from engine.outbound.sessions import SessionKeeper
from engine.outbound.transport import Transport

TOO_MANY = frozenset({429, 503})


class CallReport:
    """What came of a call.

    `outcomes`, one per item, or `error` for all of them; and HTTP's own signals.
    """

    __slots__ = ("error", "outcomes", "requests", "retry_after_s", "server_error", "throttled")

    def __init__(self) -> None:
        self.outcomes: Sequence[object] = ()
        self.error: OutboundError | None = None
        self.requests = 0
        self.server_error = False
        self.throttled = False
        self.retry_after_s: float | None = None


class CallLimits(msgspec.Struct, frozen=True):
    """Until when (monotonic seconds), how large an answer may be, and how little time is too
    little.
    """

    deadline: float
    max_body_bytes: int
    least_time_s: float


class CarrierCaller:
    """Calls one carrier account over one transport."""

    def __init__(
        self,
        carrier: Carrier,
        account: Account,
        transport: Transport,
        clock: Clock,
        sessions: SessionKeeper | None = None,
    ) -> None:
        self._carrier = carrier
        self._code = carrier.manifest.code
        self._account = account
        self._transport = transport
        self._clock = clock
        self._sessions = sessions if "sign_in" in carrier.manifest.operations else None

    async def call(self, operation: str, items: Sequence[object], limits: CallLimits, rate: Gcra) -> CallReport:
        """Run one operation for `items`.

        Only a cancellation escapes, after the report has been completed.
        """
        report = CallReport()
        try:
            report.outcomes = await self._outcomes(operation, items, limits, rate, report)
        except CarrierError as error:
            report.outcomes = [error] * len(items)
        except OutboundError as error:
            report.error = error
        except Exception as error:  # a fault of ours must not lose the outcome of a call that went out
            report.error = Ambiguous(FaultKind.OTHER, f"engine fault {type(error).__name__}")
            report.error.__cause__ = error
            return report
        _untie(report)
        return report

    async def _outcomes(
        self,
        operation: str,
        items: Sequence[object],
        limits: CallLimits,
        rate: Gcra,
        report: CallReport,
    ) -> Sequence[object]:
        send = _Sender(self._transport, self._clock, limits, rate, report)
        if self._sessions is None:
            return await self._once(operation, items, limits, send, None)
        session = await self._session(limits)
        outcomes = await self._once_or_error(operation, items, limits, send, session)
        if not _refused_token(outcomes):
            self._sessions.accepted(session)
            return outcomes
        if not self._sessions.drop(session):
            return outcomes
        # Every item was refused for its token, proved without effect: once more is safe.
        fresh = await self._session(limits)
        outcomes = await self._once_or_error(operation, items, limits, send, fresh)
        if not _refused_token(outcomes):
            self._sessions.accepted(fresh)
        return outcomes

    async def _once_or_error(
        self,
        operation: str,
        items: Sequence[object],
        limits: CallLimits,
        send: _Sender,
        session: Session,
    ) -> Sequence[object]:
        try:
            return await self._once(operation, items, limits, send, session)
        except CarrierError as error:
            return [error] * len(items)

    async def _once(
        self,
        operation: str,
        items: Sequence[object],
        limits: CallLimits,
        send: _Sender,
        session: Session | None,
    ) -> Sequence[object]:
        ctx = self._context(limits, session)
        try:
            flow: Flow[Sequence[object]] = getattr(self._carrier, operation)(ctx, items)
        except CarrierError as error:
            error.side_effect = SideEffect.NONE
            raise
        except BaseException as error:  # a plug-in whose operation is no generator fails here
            raise PluginFault(self._code, operation, type(error).__name__) from error
        outcomes = await drive(flow, send, carrier=self._code, operation=operation)
        problem = check_outcomes(operation, items, outcomes)
        if problem:
            raise PluginFault(self._code, operation, problem, requests_sent=send.report.requests)
        return outcomes

    async def _session(self, limits: CallLimits) -> Session:
        assert self._sessions is not None
        left_s = limits.deadline - self._clock.monotonic()
        if left_s < limits.least_time_s:
            raise NotSent(FaultKind.TIMEOUT, "no time left to sign in")
        try:
            async with asyncio.timeout(left_s):
                return await self._sessions.get(lambda: self._sign_in(limits))
        except TimeoutError as error:
            raise NotSent(FaultKind.SIGN_IN, "signing in took longer than the call may") from error

    async def _sign_in(self, limits: CallLimits) -> Session:
        send = _Sender(self._transport, self._clock, limits, Gcra(), CallReport())
        flow = self._carrier.sign_in(self._context(limits, None))
        session = await drive(flow, send, carrier=self._code, operation="sign_in")
        if not isinstance(session, Session):
            problem = f"returned {type(session).__name__} instead of Session"
            raise PluginFault(self._code, "sign_in", problem, requests_sent=send.report.requests)
        return session

    def _context(self, limits: CallLimits, session: Session | None) -> CallContext:
        return CallContext(
            account=self._account,
            now=self._clock.now(),
            nonce=os.urandom(16).hex(),
            deadline_s=limits.deadline - self._clock.monotonic(),
            session=session,
        )


class _Sender:
    """Sends the requests of one call.

    Each within what is left, later ones at the operation's pace.
    """

    __slots__ = ("_clock", "_limits", "_rate", "_transport", "report")

    def __init__(self, transport: Transport, clock: Clock, limits: CallLimits, rate: Gcra, report: CallReport) -> None:
        self._transport = transport
        self._clock = clock
        self._limits = limits
        self._rate = rate
        self.report = report

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        limits, report = self._limits, self.report
        now = self._clock.monotonic()
        left_s = limits.deadline - now
        if report.requests:
            wait_s = self._rate.wait_s(now)
            if wait_s > 0.0 and wait_s + limits.least_time_s > left_s:
                raise NotSent(FaultKind.RATE, "the next request may not go before the call must end")
            self._rate.charge(now)
            if wait_s > 0.0:
                await self._clock.sleep(wait_s)
                left_s = limits.deadline - self._clock.monotonic()
        if left_s < limits.least_time_s:
            raise NotSent(FaultKind.TIMEOUT, "no time left for the request")
        response = await self._transport.send(request, timeout_s=left_s, max_body_bytes=limits.max_body_bytes)
        report.requests += 1
        if response.status >= 429:
            self._note(response)
        return response

    def _note(self, response: HttpResponse) -> None:
        report = self.report
        after_s = parse_retry_after(response.headers.get("retry-after"), self._clock.now())
        if response.status == 429 or (response.status in TOO_MANY and after_s is not None):
            report.throttled = True
            report.retry_after_s = max(after_s or 0.0, report.retry_after_s or 0.0) or None
        report.server_error = report.server_error or response.status >= 500


def _untie(report: CallReport) -> None:
    """Take the tracebacks off errors that have become values.

    A traceback holds the frames that hold the report, or the plug-in's list of outcomes, which hold the error: such
    rings, one a refusal, are freed by nobody but the garbage collector. What an error came of goes the same way.
    """
    for value in (report.error, *report.outcomes):
        error = value if isinstance(value, BaseException) else None
        while error is not None and error.__traceback__ is not None:
            error.__traceback__ = None
            error = error.__cause__ or error.__context__


def _refused_token(outcomes: Sequence[object]) -> bool:
    return bool(outcomes) and all(
        isinstance(outcome, CarrierError)
        and outcome.error_class is ErrorClass.AUTH
        and outcome.side_effect is SideEffect.NONE
        for outcome in outcomes
    )


def check_outcomes(operation: str, items: Sequence[object], outcomes: object) -> str:
    """What is wrong with an operation's result, "" when nothing.

    One outcome per item, in order, of its type.
    """
    if not isinstance(outcomes, (list, tuple)):
        return f"returned {type(outcomes).__name__} instead of a list"
    if len(outcomes) != len(items):
        return f"returned {len(outcomes)} outcomes for {len(items)} items"
    allowed = ANSWERS.get(operation)
    for item, outcome in zip(items, outcomes, strict=True):
        if allowed is not None and not isinstance(outcome, allowed):
            return f"returned {type(outcome).__name__} as an outcome"
        if operation in NAMES_ITS_ITEM and not isinstance(outcome, CarrierError):
            asked = item if operation == "find" else getattr(item, "reference", "")
            if getattr(outcome, "reference", asked) != asked:
                return "returned another item's outcome"
    return ""
