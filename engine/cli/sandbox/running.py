"""A whole Crossdock on this machine for a while: simulated carriers and an engine, each its own process.

State lies in one folder and survives: started again there, the engine resumes what was open and the simulators
remember what they booked. Everything listens on loopback only and ends with the block, also when it fails; should
the process that holds the block be killed, its children see their standard input close and end too.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import msgspec
import tomli_w

from crossdock_sdk.simulator import CarrierSimulator, Entry, Faults, read_ledger
from engine import crash
from engine.cli.nursery import Child, spawn
from engine.cli.sandbox.rules import RETURN_RULES, RULES, WAREHOUSE

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
CARRIERS = ("sf", "zto")
SERIALS = 1_000_000  # waybill numbers that each simulator may issue: several of a carrier must not issue the same


class SimulatorProcess:
    """One running simulator: where it listens, what it believes, how it misbehaves."""

    def __init__(self, code: str, url: str, control_url: str, ledger_path: Path, process: Child) -> None:
        self.code = code
        self.url = url
        self.control_url = control_url
        self.ledger_path = ledger_path
        self.process = process

    async def set_faults(self, faults: Faults) -> None:
        """Misbehave so from now on."""
        import httpx

        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.put(f"{self.control_url}/faults", content=msgspec.json.encode(faults))
            answer.raise_for_status()

    async def stats(self) -> dict[str, Any]:
        """Calls, bookings, refusals so far."""
        import httpx

        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"{self.control_url}/stats")
            stats: dict[str, Any] = answer.raise_for_status().json()
            return stats

    def entries(self) -> list[Entry]:
        """The ledger as it lies on disk."""
        return list(read_ledger(self.ledger_path))

    def live_waybills(self) -> dict[str, str]:
        """Waybill number -> reference of every booking that is not cancelled."""
        live = {}
        for entry in self.entries():
            if entry.kind == "BOOKED":
                live[entry.waybill_number] = entry.reference
            else:
                live.pop(entry.waybill_number, None)
        return live


class Sandbox:
    """The running whole."""

    def __init__(self, folder: Path, simulators: Mapping[str, SimulatorProcess]) -> None:
        self.folder = folder
        self.simulators = simulators
        self.server = ""
        self.http = ""
        self.config_path = folder / "crossdock.toml"
        self.engines_started = 0
        self._engine: Child | None = None

    @property
    def accounts(self) -> dict[str, str]:
        """Simulator's name -> its account's id."""
        return {name: account_of(name) for name in self.simulators}

    @property
    def engine_pid(self) -> int:
        """Process id of the running engine."""
        assert self._engine is not None, "start_engine first"
        return self._engine.pid

    async def start_engine(self, environment: Mapping[str, str] | None = None) -> None:
        """Start (or start again) the engine on the same state; its ports stay the same.

        environment: variables laid over our own, for this process only. Raises RuntimeError when it does not
        start, or when one still runs.
        """
        try:
            await self.wait_engine()
        except TimeoutError as error:
            raise RuntimeError("the sandbox's engine still runs; stop or kill it first") from error
        variables = {"CROSSDOCK_CONFIG": str(self.config_path), **(environment or {})}
        log = self.folder / "engine.log"
        self._engine = await _spawn(f"{__name__}:serve_while_held", (), log, variables)
        self.engines_started += 1
        ports = await _facts(self._engine, "engine", log)
        self.server = f"127.0.0.1:{ports['grpc_port']}"
        self.http = f"http://127.0.0.1:{ports['http_port']}"

    async def wait_engine(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Wait until the engine has ended; its exit code, minus the signal's number if one killed it.

        Raises TimeoutError.
        """
        if self._engine is None:
            return 0
        async with asyncio.timeout(timeout_s):
            return await self._engine.wait()

    async def engine_ended(self) -> int:
        """Wait for the running engine's end, however long it lives; its exit code."""
        assert self._engine is not None, "start_engine first"
        return await self._engine.wait()

    def terminate_engine(self) -> None:
        """SIGTERM, once each call: the second one makes it hurry."""
        if self._engine is not None:
            self._engine.terminate()

    def kill_engine(self) -> None:
        """SIGKILL: no goodbye."""
        if self._engine is not None:
            self._engine.kill()

    async def stop_engine(self) -> int:
        """SIGTERM and wait; returns the exit code."""
        return await _stop(self._engine)


@asynccontextmanager
async def running_sandbox(
    folder: Path,
    *,
    carriers: Sequence[str] = CARRIERS,
    settings: Mapping[str, Any] | None = None,
    with_engine: bool = True,
    speed: float = 1.0,
) -> AsyncIterator[Sandbox]:
    """Start simulators, then the engine, in `folder`; stop everything at the end.

    carriers: a simulator and an account each, named by the carrier's code or CODE-NAME. settings: sections laid over
    the sandbox's own; of `account` by these names. speed: how many times faster than the clock parcels live.
    """
    simulators: dict[str, SimulatorProcess] = {}
    sandbox = Sandbox(folder, simulators)
    async with AsyncExitStack() as stack:
        ports = stack.enter_context(closing(_Ports(folder)))
        stack.push_async_callback(sandbox.stop_engine)
        made = [_simulator(name, folder, ports, speed, n * SERIALS) for n, name in enumerate(carriers)]
        starting = [await stack.enter_async_context(simulator) for simulator in made]
        for name, ready in zip(carriers, starting, strict=True):
            simulators[name] = await ready
        _write_settings(sandbox, ports, settings or {})
        if with_engine:
            await sandbox.start_engine()
        ports.save()
        yield sandbox


class _Ports:
    """Ports chosen once per folder, so that a restarted engine finds its carriers and watchers the engine.

    Each stays bound, never listening, until `close`: a process of ours may listen on it (both sides set
    SO_REUSEADDR), nobody else gets it while that process is down.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = path = folder / "ports.json"
        self._known: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
        self._held: dict[str, socket.socket] = {}

    def get(self, name: str) -> int:
        """The port kept for `name`, else a free one."""
        if name not in self._held:
            self._held[name] = held = socket.socket()
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                held.bind(("127.0.0.1", self._known.get(name, 0)))
            except OSError:
                held.bind(("127.0.0.1", 0))
            self._known[name] = held.getsockname()[1]
        return self._known[name]

    def close(self) -> None:
        """Let go of the ports."""
        for held in self._held.values():
            held.close()

    def save(self) -> None:
        """Keep them for the next start."""
        self._path.write_text(json.dumps(self._known))


@asynccontextmanager
async def _simulator(
    name: str, folder: Path, ports: _Ports, speed: float, first_serial: int
) -> AsyncIterator[Awaitable[SimulatorProcess]]:
    """Yields at once; what it yields is ready when the simulator listens."""
    ledger = folder / f"{name}-ledger.jsonl"
    options = {
        "port": ports.get(name),
        "control-port": ports.get(f"{name}-control"),
        "ledger": ledger,
        "push-url": f"http://127.0.0.1:{ports.get('http')}/push/{account_of(name)}",
        "speed": speed,
        "first-serial": first_serial,
    }
    words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    log = folder / f"{name}-simulator.log"
    arguments = (code_of(name), "--exit-with-parent", *words)
    process = await _spawn("crossdock_sdk.simulator.__main__:main", arguments, log, {})

    async def ready() -> SimulatorProcess:
        facts = await _facts(process, f"{name} simulator", log)
        return SimulatorProcess(name, facts["url"], facts["control_url"], ledger, process)

    waiting = ready()
    try:
        yield waiting
    finally:
        waiting.close()
        await _stop(process)


def _write_settings(sandbox: Sandbox, ports: _Ports, overlay: Mapping[str, Any]) -> None:
    sections: dict[str, Any] = {
        "server": {"listen": f"127.0.0.1:{ports.get('grpc')}"},
        "ingress": {"listen": f"127.0.0.1:{ports.get('http')}"},
        "store": {"path": str(sandbox.folder / "crossdock.db")},
        "log": {"level": "warning"},
        # Simulators count their calls: nobody reads there what nobody ordered.
        "outbound": {"prove_accounts": False},
        "tenant": [{"name": "sandbox", "shipper": WAREHOUSE}],
        "account": [_account(s) | overlay.get("account", {}).get(s.code, {}) for s in sandbox.simulators.values()],
        "rule": list(RULES),
        "return_rule": list(RETURN_RULES),
    }
    for section, values in {**overlay, "account": sections["account"]}.items():
        sections[section] = {**sections.get(section, {}), **values} if isinstance(values, Mapping) else values
    sandbox.config_path.touch(mode=0o600)
    sandbox.config_path.write_text(tomli_w.dumps(sections), "utf-8")


def code_of(name: str) -> str:
    """The carrier of a simulator by its name."""
    return name.partition("-")[0]


def account_of(name: str) -> str:
    """The id of a simulator's account."""
    return f"{name}-sandbox"


def _account(simulator: SimulatorProcess) -> dict[str, Any]:
    from engine.core.registry import load_simulator

    code = code_of(simulator.code)
    kind: type[CarrierSimulator] = load_simulator(code)
    account = kind.account(simulator.url)
    secrets = {key: secret.reveal() for key, secret in account.secrets.items()}
    return {
        "id": account_of(simulator.code),
        "carrier": code,
        "base_url": account.base_url,
        "priority": 10 if code == "sf" else 20,
        "settings": {**account.settings, **secrets},
    }


async def _spawn(entry: str, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> Child:
    # Settings of whoever starts us are not the sandbox's.
    ours = {name: value for name, value in os.environ.items() if not name.startswith("CROSSDOCK_")}
    return await spawn(entry, arguments, {**ours, **environment}, log)


async def _facts(process: Child, what: str, log: Path) -> dict[str, Any]:
    """What it prints once it is ready. Raises RuntimeError."""
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            line = await process.first_line()
    except TimeoutError:
        line = b""
    if not line.endswith(b"\n"):
        await _stop(process)
        raise RuntimeError(f"the {what} did not start; its log {log} ends with:\n{_tail(log)}")
    facts: dict[str, Any] = json.loads(line)
    return facts


def _tail(log: Path) -> str:
    return "\n".join(log.read_text("utf-8", "replace").strip().splitlines()[-5:])


async def _stop(process: Child | None) -> int:
    if process is None:
        return 0
    process.terminate()
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            return await process.wait()
    except TimeoutError:
        process.kill()
        return await process.wait()


def serve_while_held(_arguments: Sequence[str]) -> int:
    """An engine as a child: ends when its standard input closes, as when told to."""
    from engine.cli.serve import serve

    crash.arm()
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    serve.main(["--ready-json"], prog_name="crossdock serve")
    return 0


def _end_with_parent() -> None:
    # os.read holds no lock of the interpreter's that would trouble its end.
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_TIMEOUT_S)
    os._exit(1)
