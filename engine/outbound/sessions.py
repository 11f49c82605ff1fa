"""Keeps the tokens that `sign_in` brings: one refresh at a time, before they expire, dropped on AUTH.

A carrier that refuses a token may have forgotten it, or mean the account: then every new token is refused as well.
So a new one is fetched at once for the first refusal, and after ever longer pauses while it goes on.
Signing in books nothing, so whatever goes wrong there leaves the operation that wanted the token
unsent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from crossdock_sdk import CarrierError, Session, SideEffect
from engine.clock import Clock
from engine.outbound.errors import FaultKind, NotSent, OutboundError

REFRESH_SHARE = 0.8  # of a token's life, after which the next call fetches a new one
REFRESH_LEAST_S = 60.0  # or this long before the end, whichever leaves more time
RENEWAL_S = 3.0  # a renewal may take so long while the old token lives: the call that waits needs its time for itself
RETRY_REFRESH_S = 10.0  # pause after a failed refresh while the old token still lives, or after a new one was refused
LONGEST_DOUBT_S = 600.0  # that second pause doubles up to this: a sign-in so seldom burdens nobody

SignIn = Callable[[], Awaitable[Session]]


class SessionKeeper:
    """The session of one account, shared by its lanes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = asyncio.Lock()
        self._session: Session | None = None
        self._refresh_at = 0.0
        self._expires_at = 0.0
        self._fetched_at = 0.0
        self._doubt_s = 0.0  # how long this one, fetched because the last one was refused, is kept unless accepted
        self._failures = 0
        self._error: OutboundError | CarrierError | None = None

    async def get(self, sign_in: SignIn) -> Session:
        """A token that lives. Raises NotSent, LaneRefused, PluginFault or CarrierError, all without
        side effect.

        Callers that waited for a sign-in that failed share its failure instead of repeating it one
        by one.
        """
        now = self._clock.monotonic()
        if self._session is not None and now < self._refresh_at:
            return self._session
        if self._lives(now) and self._lock.locked():
            assert self._session is not None
            return self._session
        seen = self._failures
        async with self._lock:
            now = self._clock.monotonic()
            if self._session is not None and now < self._refresh_at:
                return self._session
            if self._failures != seen and self._error is not None:
                raise _again(self._error)
            return await self._refresh(sign_in)

    def drop(self, session: Session) -> bool:
        """The carrier refused this token. True when signing in again is worth it."""
        if session is not self._session:
            return True
        if self._doubt_s and self._clock.monotonic() < self._fetched_at + self._doubt_s:
            return False
        self._session = None
        self._doubt_s = min(max(self._doubt_s * 2, RETRY_REFRESH_S), LONGEST_DOUBT_S)
        return True

    def accepted(self, session: Session) -> None:
        """The carrier took this token."""
        if session is self._session:
            self._doubt_s = 0.0

    def _lives(self, now: float) -> bool:
        return self._session is not None and now < self._expires_at

    async def _refresh(self, sign_in: SignIn) -> Session:
        is_renewal = self._lives(self._clock.monotonic())
        try:
            async with asyncio.timeout(RENEWAL_S if is_renewal else None):
                session = await sign_in()
        except (OutboundError, CarrierError, TimeoutError) as error:
            now = self._clock.monotonic()
            if self._session is not None and (is_renewal or self._lives(now)):
                self._refresh_at = now + RETRY_REFRESH_S
                return self._session
            if isinstance(error, TimeoutError):
                raise
            self._session = None
            self._failures += 1
            self._error = unsent(error)
            raise self._error from error
        now = self._clock.monotonic()
        life_s = session.lifetime_s
        self._session = session
        self._fetched_at = now
        self._expires_at = now + life_s
        self._refresh_at = now + min(life_s * REFRESH_SHARE, max(life_s - REFRESH_LEAST_S, life_s * 0.5))
        return session


def unsent(error: OutboundError | CarrierError) -> OutboundError | CarrierError:
    """The same failure as seen from the operation that wanted the token: it was never sent."""
    if isinstance(error, CarrierError):
        twin = _again(error)
        assert isinstance(twin, CarrierError)
        twin.side_effect = SideEffect.NONE
        return twin
    if error.side_effect is SideEffect.NONE:
        return error.again()
    return NotSent(FaultKind.SIGN_IN, f"signing in failed: {error}")


def _again(error: OutboundError | CarrierError) -> OutboundError | CarrierError:
    if isinstance(error, OutboundError):
        return error.again()
    return CarrierError(
        error.error_class,
        code=error.code,
        message=error.message,
        field=error.field,
        retry_after_s=error.retry_after_s,
        side_effect=error.side_effect,
    )
