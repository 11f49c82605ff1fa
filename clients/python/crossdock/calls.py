"""Sends one call: deadline, metadata, retries; gRPC's errors become ours here."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable
from typing import Protocol, TypeVar

import grpc

from crossdock.errors import ConfigurationError, CrossdockError, Unavailable, error_from_rpc
from crossdock.retry import Pace, RetryPolicy, Throttle

Metadata = tuple[tuple[str, str], ...]
_Request = TypeVar("_Request", contravariant=True)
_Response = TypeVar("_Response", covariant=True)
_Answer = TypeVar("_Answer")


class UnaryMethod(Protocol[_Request, _Response]):
    """A unary method of a generated stub."""

    def __call__(
        self,
        request: _Request,
        /,
        *,
        timeout: float | None = None,
        metadata: Metadata | None = None,
    ) -> Awaitable[_Response]:
        """Start the call."""


class StreamCall(Protocol[_Response]):
    """A call whose answers are iterated and that can be cancelled."""

    def __aiter__(self) -> AsyncIterator[_Response]:
        """The answers."""

    def cancel(self) -> bool:
        """End the call; harmless when it has ended."""


class StreamMethod(Protocol[_Request, _Response]):
    """A method with streamed answers of a generated stub."""

    def __call__(
        self,
        request: _Request,
        /,
        *,
        timeout: float | None = None,
        metadata: Metadata | None = None,
    ) -> StreamCall[_Response]:
        """Start the call."""


class Calls:
    """Everything the calls of one client share."""

    def __init__(self, metadata: Metadata, pace: Pace) -> None:
        self.metadata = metadata
        self.pace = pace
        self._policy = RetryPolicy()
        self._throttle = Throttle()

    async def unary(self, method: UnaryMethod[_Request, _Answer], request: _Request, timeout_s: float) -> _Answer:
        """One answer, tried again on UNAVAILABLE, `timeout_s` in all. Raises CrossdockError."""
        until_s = self._until_s(timeout_s)
        failures = 0
        while True:
            remaining_s = until_s - self.pace.monotonic_s()
            try:
                answer = await method(request, timeout=remaining_s, metadata=self.metadata)
            except grpc.aio.AioRpcError as error:
                failures += 1
                await self._wait_or_raise(error, failures, until_s)
            else:
                self._throttle.succeeded()
                return answer

    async def stream(
        self, method: StreamMethod[_Request, _Answer], request: _Request, timeout_s: float
    ) -> AsyncIterator[_Answer]:
        """The answers of a stream, tried again only while none has come. Raises CrossdockError."""
        until_s = self._until_s(timeout_s)
        failures = 0
        while True:
            begun = False
            call = method(request, timeout=until_s - self.pace.monotonic_s(), metadata=self.metadata)
            try:
                async for answer in call:
                    begun = True
                    yield answer
            except grpc.aio.AioRpcError as error:
                if begun:
                    raise error_from_rpc(error) from error
                failures += 1
                await self._wait_or_raise(error, failures, until_s)
            else:
                self._throttle.succeeded()
                return
            finally:
                call.cancel()  # a reader that stops early must not leave the server sending

    def _until_s(self, timeout_s: float) -> float:
        check_timeout(timeout_s)
        return self.pace.monotonic_s() + timeout_s

    async def _wait_or_raise(self, error: grpc.aio.AioRpcError, failures: int, until_s: float) -> None:
        failure = error_from_rpc(error)
        wait_s = self._wait_s(failure, failures, until_s)
        if wait_s is None:
            raise failure from error
        await self.pace.sleep(wait_s)

    def _wait_s(self, failure: CrossdockError, failures: int, until_s: float) -> float | None:
        if not isinstance(failure, Unavailable):
            return None
        self._throttle.failed()
        if not self._throttle.allows:
            return None
        return self._policy.next_wait_s(
            failures,
            retry_after_s=failure.retry_after_s,
            remaining_s=until_s - self.pace.monotonic_s(),
            chance=self.pace.chance(),
        )


def check_timeout(timeout_s: float) -> None:
    """Refuse what is no time span. Raises ConfigurationError."""
    if not (timeout_s > 0 and math.isfinite(timeout_s)):
        raise ConfigurationError(f"timeout_s: {timeout_s} is no time span; give seconds above 0")
