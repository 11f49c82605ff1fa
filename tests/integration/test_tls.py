"""TLS on the gRPC listener: who is believed, who is refused, and certificates that change while it runs."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
import trustme

from crossdock.v1 import order_service_pb2
from engine.config import ConfigError, load
from tests.integration.kit import answered
from tests.integration.world import API_KEYS, Caller, Overlay, World, open_channel, running_world

pytestmark = pytest.mark.anyio
pb = order_service_pb2
QUESTION = pb.ListOrdersRequest(page_size=1)


class Files:
    """The certificate files an engine is configured with. `ca` signs servers, `client_ca` clients."""

    def __init__(self, folder: Path) -> None:
        self.ca, self.client_ca = trustme.CA(), trustme.CA()
        self.certificate, self.key, self.client = (folder / n for n in ("server.pem", "server.key", "clients.pem"))
        self._stamp_s = 1_000_000_000
        self.renew(self.ca)
        self.client_ca.cert_pem.write_to_path(str(self.client))

    def renew(self, ca: trustme.CA) -> None:
        """Write a fresh certificate of `ca`, later than the last one by the file system's time."""
        issued = ca.issue_cert("localhost", "127.0.0.1")
        issued.private_key_pem.write_to_path(str(self.key))
        self.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        self._stamp_s += 10
        for file in (self.key, self.certificate):
            os.utime(file, (self._stamp_s, self._stamp_s))

    def server(self, *, mutual: bool) -> dict[str, str]:
        """The [server] settings."""
        tls = {"tls_certificate_file": str(self.certificate), "tls_key_file": str(self.key)}
        return tls | ({"client_ca_file": str(self.client)} if mutual else {})

    def trusting(self, ca: trustme.CA, client: trustme.LeafCert | None = None) -> grpc.ChannelCredentials:
        """A client's side: the authority it trusts and, if it has one, its own certificate."""
        if client is None:
            return grpc.ssl_channel_credentials(ca.cert_pem.bytes())
        chain = b"".join(blob.bytes() for blob in client.cert_chain_pems)
        return grpc.ssl_channel_credentials(ca.cert_pem.bytes(), client.private_key_pem.bytes(), chain)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """One set of authorities for the file: making keys takes time."""
    return Files(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
async def tls(anyio_backend: str, files: Files, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """An engine with TLS; tenants have API keys."""
    folder = tmp_path_factory.mktemp("tls-world")
    settings = {"server": files.server(mutual=False)}
    async with running_world(folder, settings=settings, carriers=(), credentials=files.trusting(files.ca)) as world:
        yield world


@pytest.fixture(scope="module")
async def mutual(anyio_backend: str, files: Files, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """An engine that demands client certificates; `amber` has a name in one and no key."""
    settings: Overlay = {
        "server": files.server(mutual=True),
        "tenant": [{"name": "amber", "certificate_names": ["erp.amber.internal"]}],
    }
    folder = tmp_path_factory.mktemp("mutual-world")
    async with running_world(folder, settings=settings, carriers=(), credentials=files.trusting(files.ca)) as world:
        yield world


@asynccontextmanager
async def connected(world: World, credentials: grpc.ChannelCredentials | None, key: str = "") -> AsyncIterator[Caller]:
    """A caller on a connection of its own."""
    async with open_channel(world.server, credentials) as channel:
        yield Caller(channel, key)


async def _code(caller: Caller) -> grpc.StatusCode:
    """How a plain question ends; a refused handshake is UNAVAILABLE."""
    try:
        await caller.ListOrders(QUESTION, timeout=5.0)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def test_a_call_over_tls_is_served(tls: World) -> None:
    """A client that trusts the authority calls as over plaintext."""
    answer = await tls.caller().ListOrders(QUESTION)

    assert list(answer.orders) == []


async def test_a_server_of_another_authority_is_not_believed(tls: World, files: Files) -> None:
    """A client that trusts somebody else never sends its key."""
    async with connected(tls, files.trusting(trustme.CA()), API_KEYS["amber"]) as stranger:
        assert await _code(stranger) == grpc.StatusCode.UNAVAILABLE


async def test_plaintext_is_not_answered_on_a_tls_port(tls: World) -> None:
    """A client without TLS gets no answer from a TLS listener."""
    async with connected(tls, None, API_KEYS["amber"]) as careless:
        assert await _code(careless) == grpc.StatusCode.UNAVAILABLE


async def test_a_key_is_needed_over_tls_too(tls: World, files: Files) -> None:
    """Encryption alone makes nobody a tenant."""
    async with connected(tls, files.trusting(files.ca)) as keyless:
        assert await _code(keyless) == grpc.StatusCode.UNAUTHENTICATED


async def test_a_client_certificate_names_the_tenant(mutual: World, files: Files) -> None:
    """A certificate with the configured name is the tenant, without any key."""
    erp = files.client_ca.issue_cert("erp.amber.internal")

    async with connected(mutual, files.trusting(files.ca, erp)) as caller:
        assert await _code(caller) == grpc.StatusCode.OK


async def test_a_certificate_with_an_unknown_name_is_nobody(mutual: World, files: Files) -> None:
    """A genuine certificate whose name no tenant has is UNAUTHENTICATED."""
    other = files.client_ca.issue_cert("erp.birch.internal")

    async with connected(mutual, files.trusting(files.ca, other)) as caller:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await caller.ListOrders(QUESTION)

    assert answered(caught.value).reason == "UNAUTHENTICATED"


async def test_a_name_of_the_transport_is_no_tenant(files: Files, tmp_path: Path) -> None:
    """Only names inside the certificate count, not what gRPC says about the connection itself."""
    settings: Overlay = {
        "server": files.server(mutual=True),
        "tenant": [{"name": "amber", "certificate_names": ["ssl", "TSI_PRIVACY_AND_INTEGRITY"]}],
    }
    anybody = files.trusting(files.ca, files.client_ca.issue_cert("anybody.internal"))
    async with running_world(tmp_path, settings=settings, carriers=(), credentials=anybody) as world:
        assert await _code(world.caller("")) == grpc.StatusCode.UNAUTHENTICATED


async def test_a_client_certificate_of_another_authority_is_refused(mutual: World, files: Files) -> None:
    """The right name signed by the wrong authority does not get through the handshake."""
    forged = trustme.CA().issue_cert("erp.amber.internal")

    async with connected(mutual, files.trusting(files.ca, forged)) as caller:
        assert await _code(caller) == grpc.StatusCode.UNAVAILABLE


async def test_a_client_without_a_certificate_is_refused(mutual: World, files: Files) -> None:
    """When an authority for clients is configured, a certificate is required."""
    async with connected(mutual, files.trusting(files.ca)) as caller:
        assert await _code(caller) == grpc.StatusCode.UNAVAILABLE


async def test_a_renewed_certificate_serves_new_connections(tmp_path: Path) -> None:
    """After the files changed, new connections see the new certificate and old ones go on."""
    files, successor = Files(tmp_path), trustme.CA()
    settings = {"server": files.server(mutual=False)}
    before, after = files.trusting(files.ca), files.trusting(successor)
    async with running_world(tmp_path, settings=settings, carriers=(), credentials=before) as world:
        assert await _code(world.caller()) == grpc.StatusCode.OK

        files.renew(successor)

        async with connected(world, after, API_KEYS["amber"]) as fresh:
            assert await _code(fresh) == grpc.StatusCode.OK
        async with connected(world, before, API_KEYS["amber"]) as stale:
            assert await _code(stale) == grpc.StatusCode.UNAVAILABLE
        assert await _code(world.caller()) == grpc.StatusCode.OK


async def test_a_certificate_that_cannot_be_read_keeps_the_old_one(tmp_path: Path) -> None:
    """While a file is gone in mid-renewal, connections get the former certificate; then the new one."""
    files = Files(tmp_path)
    settings = {"server": files.server(mutual=False)}
    credentials = files.trusting(files.ca)
    async with running_world(tmp_path, settings=settings, carriers=(), credentials=credentials) as world:
        kept = files.key.read_bytes()
        files.key.unlink()
        async with connected(world, credentials, API_KEYS["amber"]) as meanwhile:
            assert await _code(meanwhile) == grpc.StatusCode.OK

        files.key.write_bytes(kept)
        files.renew(files.ca)

        async with connected(world, credentials, API_KEYS["amber"]) as afterwards:
            assert await _code(afterwards) == grpc.StatusCode.OK


@pytest.mark.parametrize("listen", ["0.0.0.0:50051", "10.1.2.3:50051", "[::]:50051"])
def test_plaintext_off_loopback_is_refused(tmp_path: Path, listen: str) -> None:
    """An address others can reach needs TLS or an explicit switch; the message names both."""
    config = tmp_path / "crossdock.toml"
    config.write_text(f'[server]\nlisten = "{listen}"\n')

    with pytest.raises(ConfigError) as caught:
        load(config, {})

    assert "server.listen" in str(caught.value)
    assert "tls_certificate_file" in str(caught.value)
    assert "allow_plaintext" in str(caught.value)


def test_plaintext_off_loopback_can_be_allowed(tmp_path: Path) -> None:
    """Behind a proxy that has TLS the switch makes it a decision."""
    config = tmp_path / "crossdock.toml"
    config.write_text(
        '[server]\nlisten = "0.0.0.0:50051"\nallow_plaintext = true\n'
        f'[[tenant]]\nname = "shop"\napi_key_sha256 = ["{"0" * 64}"]\n'
    )

    settings = load(config, {})

    assert settings.server.allow_plaintext
