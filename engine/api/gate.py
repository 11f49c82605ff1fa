"""What every call passes first: who calls, how long it may take, how it is counted and logged.

One interceptor, so that the order is plain: tenant -> deadline -> servicer -> errors -> metric -> log line. It holds
the only broad `except` of the API. Health and reflection are open to everybody who reaches the port.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import grpc
import msgspec
import uuid_utils
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2

from crossdock_sdk import Party
from engine.api.errors import Draining, RequestInvalid, TooManyCalls, Unauthenticated, abort, defect, status_of
from engine.api.knock import HEARD, Knock
from engine.backstop import Backstop
from engine.core.errors import Overloaded
from engine.core.policy.admission import Admission
from engine.core.policy.brownout import ESSENTIAL, Brownout, share_of
from engine.core.policy.fields import FieldViolation
from engine.core.policy.pressure import NO_WAIT, Waits
from engine.core.policy.records import Tenant
from engine.log import logger
from engine.metrics import Metrics

OPEN_SERVICES = ("/grpc.health.", "/grpc.reflection.")
ANSWER_MARGIN_S = 0.2
"""Kept back from the caller's deadline, so that our answer still reaches it."""
CERTIFICATE_NAMES = ("x509_subject_alternative_name", "x509_common_name")
"""What of gRPC's facts about a connection are names inside the client's certificate."""
REFUSAL_TAKEN_WITHIN_S = 1.0
"""A reader that takes nothing does not take the status either. gRPC keeps it for whenever it reads on; the call no
longer counts, or readers that stall would use up `server.max_concurrent_calls`."""
SPARE = 2
"""Essential calls get room for twice as many calls as all others, so that a flood does not lock them out."""
RETRY_S = 1.0
TOO_LATE = status_pb2.Status(code=code_pb2.DEADLINE_EXCEEDED, message="the deadline passed; what was accepted goes on")
MOST_FIELDS_TOLD = 20
"""Wrong fields of one call that the log names."""
_MAP_KEY = re.compile(r"\[(?!\d+\]).*\]")
"""What a path names an entry of a map by was made up by the caller, and may be anything."""


class Caller(msgspec.Struct, frozen=True):
    """Who calls and until when. `deadline_s` is what is left for work when the call began."""

    tenant: str
    warehouse: Party | None
    deadline_s: float


current: ContextVar[Caller] = ContextVar("caller")


class Tenants:
    """Finds the tenant of a call by API key hash or client certificate name."""

    def __init__(self, tenants: Iterable[Tenant], warehouses: Mapping[str, Party], *, anonymous: str = "") -> None:
        tenants = tuple(tenants)
        self._by_hash = {digest: t.name for t in tenants for digest in t.key_hashes}
        self._by_certificate = {name: t.name for t in tenants for name in t.certificate_names}
        self._anonymous = anonymous
        self.warehouses = warehouses

    def find(self, metadata: Mapping[str, Any], context: grpc.aio.ServicerContext[Any, Any]) -> str:
        """The tenant's name. Raises Unauthenticated. Keys are compared as hashes, never as text."""
        header = metadata.get("authorization", "")
        if header:
            kind, _, key = str(header).partition(" ")
            tenant = self._by_hash.get(hashlib.sha256(key.encode()).hexdigest()) if kind.lower() == "bearer" else None
            if tenant is not None:
                return tenant
            raise Unauthenticated("the API key is not known; check CROSSDOCK_API_KEY or ask for a new key")
        shown = context.auth_context() if self._by_certificate else {}
        for kind in CERTIFICATE_NAMES:
            for name in shown.get(kind, ()):
                tenant = self._by_certificate.get(bytes(name).decode("utf-8", "replace"))
                if tenant is not None:
                    return tenant
        if self._anonymous:
            return self._anonymous
        raise Unauthenticated("the call has no API key; send the header `authorization: Bearer <key>`")


class Gate(grpc.aio.ServerInterceptor):
    """The interceptor."""

    def __init__(
        self,
        tenants: Tenants,
        metrics: Metrics,
        *,
        default_deadline_s: float,
        longest_deadline_s: float,
        max_calls: int,
        admission: Admission | None = None,
        knock: Knock | None = None,
    ) -> None:
        self._tenants = tenants
        self._metrics = metrics
        self._default_s = default_deadline_s
        self._longest_s = longest_deadline_s
        self._max_calls = max_calls
        self._open = 0
        self._admission = admission or Admission(Brownout(enabled=False))
        self.knock = knock
        # One for all calls, so raised without the frames of those before: they would be kept as long as it is.
        self._overloaded = Overloaded(RETRY_S, "has too much to do for calls of this kind")
        self._overloaded_status = status_or_defect("", self._overloaded)
        self._backstop = Backstop()
        self._wrapped: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        self.draining = False

    @property
    def load(self) -> float:
        """How many of the calls that may be under way are."""
        return share_of(self._open, self._max_calls)

    def waits(self) -> Waits:
        """How long calls wait until they get here."""
        return self.knock.waits() if self.knock else NO_WAIT

    async def measure(self) -> None:
        """Find that out until cancelled."""
        if self.knock is not None:
            await self.knock.run()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Wrap a method's handler, once per method."""
        method = handler_call_details.method
        if self.knock is not None and self.knock.hears(method, handler_call_details.invocation_metadata):
            return HEARD
        wrapped = self._wrapped.get(method)
        if wrapped is None:
            handler = await continuation(handler_call_details)
            if handler is None or method.startswith(OPEN_SERVICES):
                return handler
            wrapped = self._wrapped[method] = self._wrap(method.rpartition("/")[2], handler)
        return wrapped

    def _wrap(self, method: str, handler: Any) -> grpc.RpcMethodHandler[Any, Any]:
        # Without a deserializer gRPC hands over bytes: what is refused is never read. And it would answer an exception
        # there with UNKNOWN and a traceback in the log, before we know who calls.
        read, write = _reader(handler), handler.response_serializer
        if not handler.response_streaming:
            inner = self._unary(method, read, handler.unary_unary)
            return grpc.unary_unary_rpc_method_handler(inner, response_serializer=write)
        if handler.request_streaming:
            inner = self._stream(
                method, lambda requests, context: handler.stream_stream(_all_read(read, requests), context)
            )
            return grpc.stream_stream_rpc_method_handler(inner, response_serializer=write)
        inner = self._stream(method, lambda request, context: handler.unary_stream(read(request), context))
        return grpc.unary_stream_rpc_method_handler(inner, response_serializer=write)

    def _unary(
        self, method: str, read: Callable[[bytes], Any], behaviour: Callable[..., Awaitable[Any]]
    ) -> Callable[..., Awaitable[Any]]:
        async def call(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            started = self._begin(method)
            code, told = "OK", True
            refusal: status_pb2.Status | None = None
            try:
                caller = self._enter(method, context)
                with self._backstop.limit(caller.deadline_s + ANSWER_MARGIN_S):
                    return await behaviour(read(request), context)
            except TimeoutError:
                code, refusal = "DEADLINE_EXCEEDED", TOO_LATE
            except asyncio.CancelledError:
                code = "CANCELLED"
                raise
            except Exception as error:
                told = error is not self._overloaded  # the log would not hold them all
                refusal = self._status_of(method, error, started)
                code = _code_name(refusal.code)
            finally:
                self._end(method, code, started, refusal, told=told)
            # Not where the error is handled: gRPC would keep it with the call, and all its frames, in a ring that only
            # the garbage collector undoes.
            if refusal is not None:
                await abort(context, refusal)
            return None

        return call

    def _stream(self, method: str, behaviour: Callable[..., Any]) -> Callable[..., Any]:
        async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
            started = self._begin(method)
            code, told = "OK", True
            refusal: status_pb2.Status | None = None
            try:
                self._enter(method, context)
                answers: AsyncIterator[Any] | Awaitable[None] = behaviour(request, context)
                if isinstance(answers, AsyncIterator):
                    async for answer in answers:
                        await context.write(answer)
                else:
                    await answers
            except asyncio.CancelledError:
                code = "CANCELLED"
                raise
            except grpc.aio.InternalError as error:
                # A write that gRPC could not do: the reader hung up while it was under way. No defect of ours.
                code = "CANCELLED"
                raise asyncio.CancelledError from error
            except Exception as error:
                told = error is not self._overloaded
                refusal = self._status_of(method, _first(error), started)
                code = _code_name(refusal.code)
            finally:
                self._end(method, code, started, refusal, told=told)
            if refusal is not None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(REFUSAL_TAKEN_WITHIN_S):
                        await abort(context, refusal)

        return call

    def _enter(self, method: str, context: grpc.aio.ServicerContext[Any, Any]) -> Caller:
        if self.draining:
            raise Draining("the engine is shutting down; try again in a moment or at another instance")
        if self._admission.brownout.gives_up(method):
            raise self._overloaded.with_traceback(None)
        if self._open > self._max_calls * (SPARE if method in ESSENTIAL else 1):
            raise TooManyCalls(f"the engine serves {self._max_calls} calls at once already; try again in a moment")
        metadata = dict(context.invocation_metadata() or ())
        tenant = self._tenants.find(metadata, context)
        if not self._admission.lets_in(method, tenant):
            raise self._overloaded.with_traceback(None)
        remaining = context.time_remaining()
        # gRPC tells a huge number when the client set no deadline.
        asked = self._default_s if remaining is None or remaining > 1e6 else min(remaining, self._longest_s)
        caller = Caller(tenant, self._tenants.warehouses.get(tenant), max(0.0, asked - ANSWER_MARGIN_S))
        current.set(caller)
        return caller

    def _status_of(self, method: str, error: BaseException, started: float) -> status_pb2.Status:
        if error is self._overloaded:
            self._metrics.refusal_seconds().observe(time.perf_counter() - started)
            return self._overloaded_status  # made once: what is refused costs as little as can be
        return status_or_defect(method, error)

    def _begin(self, method: str) -> float:
        """One more call under way. Returns when it began."""
        self._metrics.grpc_open(method).inc()
        self._open += 1
        return time.perf_counter()

    def _end(self, method: str, code: str, started: float, refusal: status_pb2.Status | None, *, told: bool) -> None:
        """One call less, counted; in the log when `told` and refused."""
        seconds = time.perf_counter() - started
        self._open -= 1
        self._metrics.grpc_open(method).dec()
        self._metrics.grpc_calls(method, code).inc()
        self._metrics.grpc_seconds(method).observe(seconds)
        if told and code not in ("OK", "CANCELLED"):
            why = _facts_of(refusal) if refusal is not None else {}
            logger().info("call refused", method=method, code=code, **why, seconds=round(seconds, 4))


def _facts_of(refusal: status_pb2.Status) -> dict[str, Any]:
    """Whose call was refused, why, and for which fields: never what stood in them."""
    caller = current.get(None)
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in refusal.details:
        detail.Unpack(info)
        detail.Unpack(bad)
    facts: dict[str, Any] = {"tenant": caller.tenant if caller is not None else "", "reason": info.reason}
    if bad.field_violations:
        facts["fields"] = [_MAP_KEY.sub("[*]", v.field) for v in bad.field_violations[:MOST_FIELDS_TOLD]]
    return facts


def _reader(handler: Any) -> Callable[[bytes], Any]:
    deserialize = handler.request_deserializer

    def read(data: bytes) -> Any:
        try:
            return deserialize(data)
        except DecodeError as error:
            remedy = "use stubs generated from the contract; texts must be UTF-8"
            raise RequestInvalid([FieldViolation("request", "is no message of this method", remedy)]) from error

    return read


async def _all_read(read: Callable[[bytes], Any], requests: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    async for request in requests:
        yield read(request)


def status_or_defect(method: str, error: BaseException) -> status_pb2.Status:
    """The status of an error; one that is not in the table is logged and told as an incident."""
    status = status_of(error)
    if status is None:
        incident = str(uuid_utils.uuid7())
        logger().error("defect", method=method, incident=incident, exc_info=error)
        status = defect(incident)
    return status


def _first(error: BaseException) -> BaseException:
    """What a task group failed of; other errors as they are."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _code_name(code: int) -> str:
    return next(c.name for c in grpc.StatusCode if c.value[0] == code)
