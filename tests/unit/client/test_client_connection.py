"""Connecting: what is refused before anything is sent, and who the client says it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from crossdock import Client, ConfigurationError
from crossdock.v1 import core_pb2 as core
from crossdock.v1 import order_service_pb2 as pb
from crossdock.v1.order_service_pb2_grpc import add_OrderServiceServicer_to_server
from tests.unit.client.twin import Twin

FOUND = pb.GetOrderResponse(order=core.Order(order_id="o-1"))


@pytest.mark.parametrize(
    "server",
    [
        "localhost:50051",
        "127.0.0.1:1",
        "127.9.9.9:1",
        "[::1]:50051",
        "dns:///localhost:1",
        "unix:/s",
    ],
)
def test_plaintext_is_allowed_on_this_machine(server: str) -> None:
    """Loopback and unix sockets need no TLS."""
    client = Client(server)

    assert repr(client) == f"Client({server!r}, tls=False)"


@pytest.mark.parametrize(
    "server",
    ["engine:50051", "10.0.0.7:1", "[2001:db8::1]:1", "localhost.example.com:1", "0.0.0.0:1"],
)
def test_plaintext_off_loopback_is_refused(server: str) -> None:
    """Without TLS nothing leaves the machine unless the caller insists."""
    with pytest.raises(ConfigurationError, match="insecure=True"):
        Client(server)

    assert repr(Client(server, insecure=True)) == f"Client({server!r}, tls=False)"


@pytest.mark.parametrize(
    ("server", "arguments", "message"),
    [
        (None, {}, "CROSSDOCK_SERVER"),
        ("https://engine:1", {}, "server: is not an address"),
        ("engine", {}, "server: is not an address"),
        ("127.0.0.1:99999", {}, "server: is not an address"),
        ("localhost:1@engine:1", {}, "server: is not an address"),
        ("ipv4:127.0.0.1:1,10.0.0.1:1", {}, "server: is not an address"),
        ("localhost:1", {"tls": True, "insecure": True}, "insecure: contradicts"),
        ("localhost:1", {"client_certificate": ("c", "k")}, "client_certificate: is only"),
        ("localhost:1", {"api_key": "secret-7 x"}, "api_key: holds a blank"),
    ],
)
def test_wrong_arguments_name_the_remedy(server: str | None, arguments: dict[str, Any], message: str) -> None:
    """Each refusal names the argument and never the key."""
    with pytest.raises(ConfigurationError, match=message) as caught:
        Client(server, **arguments)

    assert "secret-7" not in str(caught.value)


@pytest.mark.anyio
async def test_missing_ca_file_is_named(tmp_path: Path) -> None:
    """A path that cannot be read is refused on opening, with the path."""
    client = Client("engine:1", tls=tmp_path / "none.pem")

    with pytest.raises(ConfigurationError, match=r"tls: cannot read .*none\.pem"):
        await client.__aenter__()


@pytest.mark.anyio
async def test_api_key_is_sent_as_bearer(client: Client, twin: Twin) -> None:
    """Every call says who calls, in the header the engine reads."""
    twin.will(FOUND)

    await client.get_order(order_id="o-1")

    assert twin.calls[0].metadata["authorization"] == "Bearer key-1"


@pytest.mark.anyio
async def test_environment_fills_server_and_key(server: str, twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without arguments the two variables are taken."""
    monkeypatch.setenv("CROSSDOCK_SERVER", server)
    monkeypatch.setenv("CROSSDOCK_API_KEY", "key-2")
    twin.will(FOUND)

    async with Client() as client:
        await client.get_order(reference="R-1")

    assert twin.calls[0].metadata["authorization"] == "Bearer key-2"


@pytest.mark.anyio
async def test_loopback_ignores_a_proxy(server: str, twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plaintext for this machine is not handed to a proxy of the environment."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    twin.will(FOUND)

    async with Client(server) as client:
        found = await client.get_order(order_id="o-1")

    assert found == FOUND.order
    assert "authorization" not in twin.calls[0].metadata


@pytest.mark.anyio
async def test_tls_with_own_ca_and_client_certificate(twin: Twin, tmp_path: Path) -> None:
    """The CA file verifies the engine, and the engine sees the client's certificate."""
    ca = trustme.CA()
    ours, theirs = ca.issue_cert("client.shop"), ca.issue_cert("localhost")
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    ours.private_key_pem.write_to_path(tmp_path / "key.pem")
    ours.cert_chain_pems[0].write_to_path(tmp_path / "chain.pem")
    chain = theirs.cert_chain_pems[0].bytes()
    credentials = grpc.ssl_server_credentials([(theirs.private_key_pem.bytes(), chain)], ca.cert_pem.bytes(), True)
    running = grpc.aio.server()
    add_OrderServiceServicer_to_server(twin, running)
    port = running.add_secure_port("127.0.0.1:0", credentials)
    await running.start()
    twin.will(FOUND)

    client = Client(
        f"localhost:{port}",
        tls=tmp_path / "ca.pem",
        client_certificate=(tmp_path / "chain.pem", tmp_path / "key.pem"),
    )
    async with client:
        found = await client.get_order(order_id="o-1")
    await running.stop(None)

    assert found == FOUND.order


@pytest.mark.anyio
async def test_closed_client_says_how_to_open_it(client: Client) -> None:
    """Calls outside `async with`, and opening twice, are told apart from network trouble."""
    with pytest.raises(RuntimeError, match="async with"):
        await Client("localhost:1").get_order(order_id="o-1")

    with pytest.raises(RuntimeError, match="open already"):
        await client.__aenter__()
