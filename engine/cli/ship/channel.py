"""The connection to an engine: TLS unless it is on this machine, and an API key that never shows."""

from __future__ import annotations

import ipaddress
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import msgspec

from crossdock.v1.label_service_pb2_grpc import LabelServiceStub
from crossdock.v1.order_service_pb2_grpc import OrderServiceStub
from engine.cli.ship.problems import ShipError

if TYPE_CHECKING:
    # Known to type checkers only: the generated modules have no such names at run time.
    from crossdock.v1.label_service_pb2_grpc import LabelServiceAsyncStub
    from crossdock.v1.order_service_pb2_grpc import OrderServiceAsyncStub

LARGEST_ANSWER_BYTES = 10 * 1024 * 1024

OPTIONS = (
    ("grpc.max_receive_message_length", LARGEST_ANSWER_BYTES),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # gRPC's own pause between connection attempts grows to two minutes; ours decides here.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


class Endpoint(msgspec.Struct, frozen=True):
    """Where the engine listens and how to speak to it."""

    server: str
    api_key: str = ""
    ca_file: Path | None = None
    is_plaintext: bool = False

    def __repr__(self) -> str:
        return f"Endpoint({self.server!r}, api_key=***)"

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Headers of every call."""
        return (("authorization", f"Bearer {self.api_key}"),) if self.api_key else ()


class Stubs(msgspec.Struct, frozen=True):
    """The services this command calls."""

    orders: OrderServiceAsyncStub
    labels: LabelServiceAsyncStub


def endpoint(server: str, *, api_key: str, ca_file: Path | None, insecure: bool) -> Endpoint:
    """Check how the engine is to be reached. Raises ShipError for plaintext over a network and for a bad key."""
    host, _, port = server.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ShipError(f"--server {server}: is no HOST:PORT; write for example 127.0.0.1:50051")
    if not api_key.isascii() or not (api_key.isprintable() and api_key == api_key.strip()):
        raise ShipError("CROSSDOCK_API_KEY: holds characters no key has; copy the key again, without spaces and breaks")
    plaintext = ca_file is None and (insecure or _is_loopback(host))
    return Endpoint(server, api_key, ca_file, plaintext)


def open_channel(to: Endpoint) -> grpc.aio.Channel:
    """A channel; the caller closes it. Nothing is sent yet."""
    if to.is_plaintext:
        return grpc.aio.insecure_channel(to.server, options=OPTIONS)
    root = None
    if to.ca_file is not None:
        try:
            root = to.ca_file.read_bytes()
        except OSError as error:
            raise ShipError(f"--tls-ca {to.ca_file}: {error.strerror}; name a PEM file that can be read") from error
    return grpc.aio.secure_channel(to.server, grpc.ssl_channel_credentials(root), options=OPTIONS)


def stubs(channel: grpc.aio.Channel) -> Stubs:
    """The services over a channel."""
    return Stubs(OrderServiceStub(channel), LabelServiceStub(channel))


def _is_loopback(host: str) -> bool:
    host = host.strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def run_loop_factory() -> type | None:
    """uvloop's loop where it exists; it halves the cost of a row."""
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.Loop
