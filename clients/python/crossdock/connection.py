"""Where the engine is and how the way to it is protected: from arguments to a channel.

Rule of this file: plaintext leaves the machine only when the caller said `insecure=True`; neither
the API key nor a file's content ever stands in an error or a repr.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from crossdock.errors import ConfigurationError

LARGEST_ANSWER = 16 * 1024 * 1024
"""Bytes; a merged label file comes in chunks, a single label or the answer to a batch in one message."""

_OPTIONS: tuple[tuple[str, int | str], ...] = (
    # Its own connection: one that failed elsewhere in this process must not make this one wait.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", LARGEST_ANSWER),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 0),
    # 0 = no limit: a watch on which nothing happens must still notice that its peer is gone.
    ("grpc.http2.max_pings_without_data", 0),
    # gRPC's own reconnect back-off grows to two minutes, far beyond a restart of an engine.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # Retries are ours (retry.py); a service config found in DNS must not add others.
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.primary_user_agent", "crossdock-python"),
)

# Narrow on purpose: what this pattern takes, gRPC reads the same way,
# so that the loopback check cannot be talked round.
_ADDRESS = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<host>[\w.-]+)):(?P<port>[0-9]{1,5})", re.ASCII)

TlsChoice = bool | str | os.PathLike[str] | None
CertificateFiles = tuple[str | os.PathLike[str], str | os.PathLike[str]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A checked set of connection arguments."""

    server: str
    api_key: str = field(repr=False)
    tls: TlsChoice
    client_certificate: CertificateFiles | None
    loopback: bool


def endpoint(
    server: str | None,
    api_key: str | None,
    *,
    tls: TlsChoice,
    client_certificate: CertificateFiles | None,
    insecure: bool,
    environment: Mapping[str, str],
) -> Endpoint:
    """Check the arguments and fill them from the environment. Raises ConfigurationError."""
    target = server or environment.get("CROSSDOCK_SERVER", "")
    if not target:
        raise ConfigurationError('server: none given; pass "host:port" or set CROSSDOCK_SERVER')
    loopback = _is_loopback(target)
    tls = tls if tls else None
    if tls and insecure:
        raise ConfigurationError("insecure: contradicts tls; drop one of the two")
    if not tls and client_certificate:
        raise ConfigurationError("client_certificate: is only shown over TLS; add tls=True or tls=<path of the CA>")
    if not tls and not loopback and not insecure:
        raise ConfigurationError(
            f"tls: {target} is not on this machine, and without TLS the API key and the "
            "recipients' data could be read on the way; pass tls=True, tls=<path of the CA>, "
            "or insecure=True in a network you trust"
        )
    key = environment.get("CROSSDOCK_API_KEY", "") if api_key is None else api_key
    _check_key(key)
    return Endpoint(target, key, tls, client_certificate, loopback)


def open_channel(where: Endpoint) -> grpc.aio.Channel:
    """A channel to the endpoint; nothing is sent yet.

    Raises ConfigurationError for files that cannot be read.
    """
    if not where.tls:
        # A proxy of the environment would carry plaintext off the machine.
        direct: tuple[tuple[str, int | str], ...] = (("grpc.enable_http_proxy", 0),) if where.loopback else ()
        return grpc.aio.insecure_channel(where.server, options=(*_OPTIONS, *direct))
    roots = None if isinstance(where.tls, bool) else _read(where.tls, "tls")
    chain = key = None
    if where.client_certificate:
        chain = _read(where.client_certificate[0], "client_certificate")
        key = _read(where.client_certificate[1], "client_certificate")
    credentials = grpc.ssl_channel_credentials(roots, key, chain)
    return grpc.aio.secure_channel(where.server, credentials, options=_OPTIONS)


def call_metadata(where: Endpoint) -> tuple[tuple[str, str], ...]:
    """What every call says about its caller."""
    return (("authorization", f"Bearer {where.api_key}"),) if where.api_key else ()


def _is_loopback(target: str) -> bool:
    """Whether the target is on this machine. Raises ConfigurationError for no address."""
    if target.startswith("unix:"):
        return True
    address = _ADDRESS.fullmatch(target.removeprefix("dns:///"))
    if address is None or int(address["port"]) > 65535:
        raise ConfigurationError(
            "server: is not an address (and is no URL); write host:port, [ipv6]:port, dns:///host:port or unix:/path"
        )
    host = address["ipv6"] or address["host"].lower()
    if host == "localhost":  # RFC 6761 section 6.3: always this machine
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_key(key: str) -> None:
    if not all("!" <= character <= "~" for character in key):
        raise ConfigurationError(
            "api_key: holds a blank, a line break or a character outside ASCII; copy the key again without it"
        )


def _read(path: str | os.PathLike[str], argument: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{argument}: cannot read {path}: {error.strerror}; check the path") from error
