"""The gRPC listener: services, health, reflection, limits, TLS, and a shutdown in two stages."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection

from crossdock.v1 import (
    label_service_pb2,
    label_service_pb2_grpc,
    order_service_pb2,
    order_service_pb2_grpc,
    return_service_pb2,
    return_service_pb2_grpc,
    track_service_pb2,
    track_service_pb2_grpc,
)
from engine.api.gate import Gate
from engine.api.knock import OWN_QUEUE, Knock
from engine.api.labels import LabelServicer
from engine.api.orders import OrderServicer
from engine.api.reflection import SymbolPool
from engine.api.returns import ReturnServicer
from engine.api.tracks import TrackServicer
from engine.config import ServerSettings
from engine.log import logger

LARGEST_REQUEST = 8 * 1024 * 1024
"""A batch of 500 orders of 16 KiB each. gRPC holds a request whole before anything of ours sees it, so this times the
calls that may be under way is what senders could make it hold, if all of them sent so much."""

LARGEST_ANSWER = 16 * 1024 * 1024
"""What was asked for comes back with what became of it: the answer to the largest batch is larger than the batch."""

CALL_HEADROOM = 64
"""Calls above the limit that still get a proper RESOURCE_EXHAUSTED instead of a full queue."""

MOST_WAITING = 4096
"""Calls of one queue that gRPC keeps until we see them. Beyond its own limit, a thousand, it would cut some at random:
whose they are it does not know, and they would get CANCELLED instead of a refusal that says when to come back. These
are seen within two seconds, also when they are dead, as after a flood of resets (CVE-2023-44487)."""

MOST_STREAMS = 128
"""Calls at once on one connection; a client that has more keeps them until others end.

So many, or else a tenant that floods puts all its calls before everybody's. And gRPC must not refuse what is over it by
its own count ("overload protection"), in which calls stand that were answered and not taken down yet: two hundred
callers on one connection then had four of five bookings refused, as UNAVAILABLE and without a word of ours, when the
engine had room for all."""

CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", LARGEST_REQUEST),
    ("grpc.max_send_message_length", LARGEST_ANSWER),
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.max_concurrent_streams", MOST_STREAMS),
    ("grpc.server.max_pending_requests", MOST_WAITING),
    ("grpc.server.max_pending_requests_hard_limit", MOST_WAITING),
    ("grpc.http.overload_protection", 0),
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 30_000),
    ("grpc.http2.max_ping_strikes", 2),
    ("grpc.max_connection_idle_ms", 15 * 60_000),
    ("grpc.max_connection_age_ms", 30 * 60_000),
    ("grpc.max_connection_age_grace_ms", 5 * 60_000),
)


class _ByName:
    """Gives a server its handlers for look-up by name, all but those with a queue of their own.

    grpc.aio waits for each registered method with a task of its own and, at every call, for all these tasks anew:
    with our two dozen methods a twenty-fifth of a booking's whole CPU.
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server
        self.add_generic_rpc_handlers = server.add_generic_rpc_handlers

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        """Register what must not wait behind others; the rest is known by name."""
        own = {name: handler for name, handler in handlers.items() if f"/{service}/{name}" in OWN_QUEUE}
        if own:
            self._server.add_registered_method_handlers(service, own)


class GrpcServer:
    """One listener. `start`, then `stop` once."""

    def __init__(
        self,
        settings: ServerSettings,
        gate: Gate,
        orders: OrderServicer,
        labels: LabelServicer,
        tracks: TrackServicer,
        returns: ReturnServicer,
    ) -> None:
        self._settings = settings
        self._gate = gate
        self._orders = orders
        self._health = health_aio.HealthServicer()
        self._server = grpc.aio.server(
            interceptors=(gate,),
            options=CHANNEL_OPTIONS,
            maximum_concurrent_rpcs=settings.max_concurrent_calls + CALL_HEADROOM,
        )
        by_name = cast(grpc.aio.Server, _ByName(self._server))
        order_service_pb2_grpc.add_OrderServiceServicer_to_server(orders, by_name)
        label_service_pb2_grpc.add_LabelServiceServicer_to_server(labels, by_name)
        track_service_pb2_grpc.add_TrackServiceServicer_to_server(tracks, by_name)
        return_service_pb2_grpc.add_ReturnServiceServicer_to_server(returns, by_name)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, by_name)
        self._services = tuple(
            service.full_name
            for file in (
                order_service_pb2.DESCRIPTOR,
                label_service_pb2.DESCRIPTOR,
                track_service_pb2.DESCRIPTOR,
                return_service_pb2.DESCRIPTOR,
            )
            for service in file.services_by_name.values()
        )
        if settings.reflection:
            names = (*self._services, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name)
            reflection.enable_server_reflection((*names, reflection.SERVICE_NAME), by_name, SymbolPool())
        self.port = 0

    async def start(self) -> None:
        """Listen. Raises OSError when the address cannot be had."""
        listen = self._settings.listen
        try:
            if self._settings.tls_certificate_file:
                self.port = self._server.add_secure_port(listen, _credentials(self._settings))
            else:
                self.port = self._server.add_insecure_port(listen)
        except RuntimeError as error:
            raise OSError(f"server.listen: cannot listen on {listen}; is another engine running there?") from error
        if self._gate.knock is not None:
            self._open_for_knocks(self._gate.knock)
        await self._server.start()
        await self._set_health(health_pb2.HealthCheckResponse.SERVING)

    async def drain(self) -> None:
        """First stage: health says NOT_SERVING, new calls are refused with UNAVAILABLE."""
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        self._gate.draining = True

    async def stop(self, grace_s: float) -> None:
        """Second stage: let calls under way end for `grace_s`, then cut them."""
        await self._server.stop(grace_s)
        await self._orders.aclose()

    def _open_for_knocks(self, knock: Knock) -> None:
        try:
            self._server.add_insecure_port(knock.open())
        except (OSError, RuntimeError) as error:
            logger().warning(
                "no socket to knock at", remedy="make the folder of temporary files writable", cause=str(error)
            )

    async def _set_health(self, status: health_pb2.HealthCheckResponse.ServingStatus.ValueType) -> None:
        await asyncio.gather(*[self._health.set(name, status) for name in ("", *self._services)])


def _credentials(settings: ServerSettings) -> grpc.ServerCredentials:
    """TLS from files, read again when they change; client certificates are required when a CA is named."""

    def read() -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration(
            [(Path(settings.tls_key_file).read_bytes(), Path(settings.tls_certificate_file).read_bytes())],
            Path(settings.client_ca_file).read_bytes() if settings.client_ca_file else None,
        )

    seen = [_stamp(settings)]

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        stamp = _stamp(settings)
        if stamp == seen[0]:
            return None
        try:
            fresh = read()
        except OSError:
            return None  # half-written files: keep the old certificate, the next connection looks again
        seen[0] = stamp
        return fresh

    return grpc.dynamic_ssl_server_credentials(
        read(),
        fetch,  # type: ignore[arg-type]  # None means "unchanged", which the stubs do not know
        require_client_authentication=bool(settings.client_ca_file),
    )


def _stamp(settings: ServerSettings) -> tuple[int, ...]:
    files = (settings.tls_certificate_file, settings.tls_key_file, settings.client_ca_file)
    return tuple(Path(f).stat().st_mtime_ns for f in files if f and Path(f).exists())
