"""A small world on loopback: simulated carriers, the engine in this process, a client's channel.

Everything is real but the carriers: sockets, SQLite on disk, the configured listeners. `World.caller` gives the
stubs of one tenant; `kit` builds what they send.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import grpc
import httpx
import msgspec
import structlog

from crossdock.v1 import (
    label_service_pb2_grpc,
    order_service_pb2_grpc,
    return_service_pb2_grpc,
    track_service_pb2_grpc,
)
from crossdock_sdk.simulator import CarrierSimulator, Ledger
from crossdock_sdk.simulator.server import SimulatorServer
from engine import log
from engine.app import Engine, running_engine
from engine.config import Settings
from engine.core.registry import Registry, load_carriers, load_simulator

Simulators = Mapping[str, SimulatorServer]
Overlay = Mapping[str, Mapping[str, Any] | Sequence[Any]]

CARRIERS = ("sf", "zto")
API_KEYS = {"amber": "key-of-amber-0123456789", "birch": "key-of-birch-0123456789"}
WAREHOUSE = {
    "name": "样例仓库",
    "phone": "0571-86001234",
    "province": "浙江省",
    "city": "杭州市",
    "district": "余杭区",
    "street": "样例大道1号3号仓",
}


class Caller:
    """The stubs of one tenant, its key in every call."""

    def __init__(self, channel: grpc.aio.Channel, key: str) -> None:
        self.metadata = (("authorization", f"Bearer {key}"),) if key else ()
        self.orders = order_service_pb2_grpc.OrderServiceStub(channel)
        self.labels = label_service_pb2_grpc.LabelServiceStub(channel)
        self.tracks = track_service_pb2_grpc.TrackServiceStub(channel)
        self.returns = return_service_pb2_grpc.ReturnServiceStub(channel)

    def __getattr__(self, method: str) -> Any:
        """`caller.GetOrder(request)` calls it with the key; keyword arguments go through."""
        others = (self.orders, self.labels, self.returns)
        stub = next((each for each in others if hasattr(each, method)), self.tracks)
        rpc = getattr(stub, method)

        def call(*request: object, **options: Any) -> Any:
            return rpc(*request, **{"metadata": self.metadata, "timeout": 20.0, **options})

        return call


class World:
    """The running whole."""

    def __init__(self, engine: Engine, simulators: Simulators, log: BytesIO) -> None:
        self.engine = engine
        self.simulators = simulators
        self.server = f"127.0.0.1:{engine.grpc_port}"
        self.url = f"http://127.0.0.1:{engine.http_port}"
        self.channel: grpc.aio.Channel
        self.http: httpx.AsyncClient
        self._log = log

    def caller(self, tenant: str = "amber") -> Caller:
        """One tenant's stubs; "" calls without a key."""
        return Caller(self.channel, API_KEYS[tenant] if tenant else "")

    def live_waybills(self, code: str) -> dict[str, str]:
        """What a carrier believes: waybill number -> reference of every booking not cancelled."""
        ledger = self.simulators[code].simulator.ledger
        return {n: e.reference for n, e in ledger.by_waybill.items() if n not in ledger.cancelled}

    def carrier_calls(self, code: str) -> int:
        """How often a carrier was called, whatever became of it."""
        return sum(self.simulators[code].stats.calls.values())

    def hold_back(self, seconds: float) -> None:
        """Carriers' clocks go so long behind ours: what happens to parcels later waits until this is made less."""
        for server in self.simulators.values():
            server.simulator.clock = lambda: datetime.now(UTC) - timedelta(seconds=seconds)

    def log_text(self) -> str:
        """Everything the engine has logged so far."""
        return self._log.getvalue().decode()


@asynccontextmanager
async def running_world(
    folder: Path,
    *,
    settings: Overlay | None = None,
    registry: Registry | None = None,
    carriers: Sequence[str] = CARRIERS,
    credentials: grpc.ChannelCredentials | None = None,
    speed: float = 1.0,
) -> AsyncIterator[World]:
    """Start it in `folder` and stop it at the end.

    settings: laid over the world's own, section by section. speed: how many times faster than the clock parcels live.
    """
    async with (
        simulated(folder, carriers, speed=speed) as simulators,
        running_engine_of(folder, simulators, settings or {}, registry) as world,
        open_channel(world.server, credentials) as world.channel,
        httpx.AsyncClient(base_url=world.url, trust_env=False) as world.http,
    ):
        yield world


@asynccontextmanager
async def simulated(
    folder: Path, carriers: Sequence[str] = CARRIERS, *, speed: float = 1.0
) -> AsyncIterator[Simulators]:
    """Carriers on ports of their own, their ledgers in `folder`."""
    async with AsyncExitStack() as stack:
        yield {code: await stack.enter_async_context(_simulator(code, folder, speed)) for code in carriers}


@asynccontextmanager
async def running_engine_of(
    folder: Path, simulators: Simulators, settings: Overlay, registry: Registry | None = None
) -> AsyncIterator[World]:
    """An engine for these carriers on the store in `folder`, without a client."""
    lines = BytesIO()
    log.configure("debug", lines)
    try:
        async with running_engine(_settings(folder, simulators, settings), registry or load_carriers()) as engine:
            world = World(engine, simulators, lines)
            for server in simulators.values():
                server.simulator.push_url = f"{world.url}/push/{server.simulator.code}-main"
            yield world
    finally:
        structlog.reset_defaults()


@contextmanager
def failing_on(world: World, reference: str) -> Iterator[None]:
    """The engine's router breaks for one reference, as a defect of ours would."""
    router = world.engine.parts.router
    real = router.candidates

    async def broken(draft: object, **options: object) -> object:
        if getattr(draft, "reference", "") == reference:
            raise RuntimeError("secret of the defect")
        return await real(draft, **options)  # type: ignore[arg-type]  # passed through

    router.candidates = broken  # type: ignore[method-assign,assignment]  # the fault that is injected
    try:
        yield
    finally:
        router.candidates = real  # type: ignore[method-assign]


@contextmanager
def failing_tracks(world: World, error: Exception) -> Iterator[None]:
    """The engine's store fails every commit of a track."""
    store = world.engine.parts.store

    async def broken(change: object) -> object:
        raise error

    store.commit_track = broken  # type: ignore[method-assign,assignment]  # the fault that is injected
    try:
        yield
    finally:
        del store.commit_track


@asynccontextmanager
async def open_channel(
    server: str, credentials: grpc.ChannelCredentials | None = None
) -> AsyncIterator[grpc.aio.Channel]:
    """A channel of its own connection, without retries and proxies."""
    options = (
        ("grpc.enable_http_proxy", 0),
        ("grpc.enable_retries", 0),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    )
    if credentials is None:
        channel = grpc.aio.insecure_channel(server, options)
    else:
        channel = grpc.aio.secure_channel(server, credentials, options)
    async with channel:
        yield channel


@asynccontextmanager
async def _simulator(code: str, folder: Path, speed: float) -> AsyncIterator[SimulatorServer]:
    kind: type[CarrierSimulator] = load_simulator(code)
    ledger = Ledger(folder / f"{code}-ledger.jsonl")
    simulator = kind(ledger, clock=lambda: datetime.now(UTC))
    simulator.speed = speed
    try:
        async with SimulatorServer(simulator) as server:
            yield server
    finally:
        ledger.close()


def _settings(folder: Path, simulators: Simulators, overlay: Overlay) -> Settings:
    sections: dict[str, Any] = {
        "server": {"listen": "127.0.0.1:0", "drain_s": 5.0},
        "ingress": {"listen": "127.0.0.1:0"},
        "store": {"path": str(folder / "crossdock.db")},
        # A stall of the machine that runs the tests must not refuse their calls.
        "overload": {"enabled": False},
        # Tests count carriers' calls.
        "outbound": {"prove_accounts": False},
        "tenant": [
            {"name": name, "api_key_sha256": [hashlib.sha256(key.encode()).hexdigest()], "shipper": WAREHOUSE}
            for name, key in API_KEYS.items()
        ],
        "account": [_account(server, priority) for priority, server in enumerate(simulators.values(), 1)],
    }
    for section, values in overlay.items():
        sections[section] = {**sections.get(section, {}), **values} if isinstance(values, Mapping) else values
    return msgspec.convert(sections, Settings)


def _account(server: SimulatorServer, priority: int) -> dict[str, Any]:
    code = server.simulator.code
    account = type(server.simulator).account(server.url)
    secrets = {key: secret.reveal() for key, secret in account.secrets.items()}
    return {
        "id": f"{code}-main",
        "carrier": code,
        "base_url": account.base_url,
        "priority": priority,
        "settings": {**account.settings, **secrets},
    }
