"""The same calls sent by a load generator that is not ours: ghz (github.com/bojand/ghz), in Go.

    go install github.com/bojand/ghz/cmd/ghz@latest
    python -m benchmarks.ghz [--calls 4000] [--rounds 3]

CreateOrder with a reference of its own each, and GetTrack from the store, at the engine and at the bare pipeline or
echo in turn. First 64 calls under way all the time, then an open loop at half of the rate that the engine reached,
whether or not answers come. Rates and times are ghz's; CPU is user + system time of the whole server process from
/proc. Prints a table and a JSON line, ratios first. Without ghz it says how to get it and exits with 2.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import grpc
import msgspec
import uvloop
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import Message
from google.protobuf.proto import serialize_length_prefixed

from benchmarks import tracks
from benchmarks.bare_process import bare_echo, bare_pipeline
from benchmarks.measure import cpu_s
from benchmarks.orders import order
from benchmarks.pushes import booked, ingest, pushes
from crossdock.v1 import order_service_pb2, track_service_pb2, track_service_pb2_grpc
from engine.cli.sandbox import Sandbox, running_sandbox

GET_IT = "ghz is not here: go install github.com/bojand/ghz/cmd/ghz@latest, which puts it into ~/go/bin"
IN_FLIGHT = 64
CONNECTIONS = 4
OPEN_SHARE = 0.5
"""Of the rate that the engine reached with a closed loop; an open loop beyond what a server can do measures a queue."""
PARCELS = 300


class Target(msgspec.Struct, frozen=True):
    """A server under load."""

    name: str
    address: str
    pid: int


class Load(msgspec.Struct, frozen=True):
    """An RPC and how its requests are made."""

    name: str
    method: str
    requests: Callable[[int], Sequence[Message]]
    targets: tuple[Target, Target]


class Figures(msgspec.Struct, frozen=True):
    """What one run of ghz found."""

    per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


def find() -> str | None:
    """Where ghz is."""
    beside_go = Path.home() / "go/bin/ghz"
    return shutil.which("ghz") or (str(beside_go) if beside_go.exists() else None)


def write_protoset(path: Path) -> None:
    """The contract with all it imports, as protoc would write it."""
    files: dict[str, FileDescriptor] = {}

    def add(file: FileDescriptor) -> None:
        for imported in file.dependencies:
            add(imported)
        files.setdefault(file.name, file)

    add(order_service_pb2.DESCRIPTOR)
    add(track_service_pb2.DESCRIPTOR)
    found = FileDescriptorSet()
    for file in files.values():
        file.CopyToProto(found.file.add())
    path.write_bytes(found.SerializeToString())


def write_requests(path: Path, requests: Sequence[Message]) -> None:
    """One after the other, each behind its length; ghz sends them in turn."""
    written = BytesIO()
    for request in requests:
        serialize_length_prefixed(request, written)
    path.write_bytes(written.getbuffer())


class Ghz:
    """Runs it in a folder."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        self._folder = folder
        write_protoset(folder / "contract.protoset")

    async def start(
        self,
        address: str,
        method: str,
        requests: Sequence[Message],
        *,
        rate: float = 0.0,
        key: str = "",
        connections: int = CONNECTIONS,
    ) -> asyncio.subprocess.Process:
        """Begin to send them, 64 under way; with a `rate` so many a second, whether or not answers come."""
        data = self._folder / f"{uuid.uuid4().hex}.bin"
        write_requests(data, requests)
        pace = ["--rps", f"{rate:.0f}", "--async"] if rate else []
        who = ["--metadata", json.dumps({"authorization": f"Bearer {key}"})] if key else []
        return await asyncio.create_subprocess_exec(
            *(self._program, "--insecure", "--protoset", str(self._folder / "contract.protoset"), "--call", method),
            *("--binary-file", str(data), "--total", str(len(requests)), "--timeout", "60s", "--format", "json"),
            *("--concurrency", str(IN_FLIGHT), "--connections", str(connections), *pace, *who, address),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def report(self, process: asyncio.subprocess.Process) -> dict[str, Any]:
        """What it found, once it is done."""
        out, err = await process.communicate()
        if process.returncode:
            raise SystemExit(f"ghz: {err.decode().strip()}")
        found: dict[str, Any] = json.loads(out)
        return found

    async def run(self, load: Load, target: Target, count: int, *, rate: float = 0.0) -> Figures:
        """`count` calls, all served."""
        before = cpu_s(target.pid)
        report = await self.report(await self.start(target.address, load.method, load.requests(count), rate=rate))
        cpu = cpu_s(target.pid) - before
        if report["statusCodeDistribution"] != {"OK": count}:
            raise SystemExit(f"{load.name} at {target.name}: not all served: {report['statusCodeDistribution']}")
        latency = {row["percentage"]: row["latency"] / 1e6 for row in report["latencyDistribution"]}
        return Figures(round(report["rps"], 1), round(latency[50], 2), round(latency[99], 2), round(cpu / count * 1e6))


async def measure(ghz: Ghz, load: Load, count: int, rounds: int) -> dict[str, Figures]:
    """Medians over the rounds, by mode and target."""
    found: dict[str, list[Figures]] = {}
    for target in load.targets:
        await ghz.run(load, target, max(count // 10, IN_FLIGHT))
    for _ in range(rounds):
        for target in load.targets:
            found.setdefault(f"closed {target.name}", []).append(await ghz.run(load, target, count))
        rate = found["closed engine"][-1].per_s * OPEN_SHARE
        for target in load.targets:
            found.setdefault(f"open {target.name}", []).append(await ghz.run(load, target, count, rate=rate))
    return {
        name: Figures(*(statistics.median(getattr(row, field) for row in rows) for field in Figures.__struct_fields__))
        for name, rows in found.items()
    }


def creations(count: int) -> list[Message]:
    """Orders nobody sent before."""
    run = uuid.uuid4().hex
    return [order_service_pb2.CreateOrderRequest(order=order(run, index)) for index in range(count)]


@asynccontextmanager
async def loads(sandbox: Sandbox, folder: Path) -> AsyncIterator[list[Load]]:
    """Both loads, while the bare servers run."""
    numbers = await booked(sandbox.server, PARCELS)
    await ingest(int(sandbox.http.rpartition(":")[2]), sandbox.engine_pid, pushes(numbers))
    async with grpc.aio.insecure_channel(sandbox.server) as channel:
        answer = await track_service_pb2_grpc.TrackServiceStub(channel).GetTrack(tracks.question("zto", numbers[0]))

    def questions(count: int) -> list[Message]:
        return [tracks.question("zto", numbers[index % PARCELS]) for index in range(count)]

    engine = Target("engine", sandbox.server, sandbox.engine_pid)
    async with bare_pipeline(sandbox, folder) as pipeline, bare_echo(answer) as echo:
        bare = [Target("bare", one.address, one.pid) for one in (pipeline, echo)]
        yield [
            Load("CreateOrder", "crossdock.v1.OrderService.CreateOrder", creations, (bare[0], engine)),
            Load("GetTrack", "crossdock.v1.TrackService.GetTrack", questions, (bare[1], engine)),
        ]


async def run(program: str, count: int, rounds: int) -> dict[str, dict[str, Figures]]:
    """Start all, load each in turn."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        async with running_sandbox(folder / "engine") as sandbox, loads(sandbox, folder) as found:
            return {load.name: await measure(Ghz(program, folder), load, count, rounds) for load in found}


def main() -> int:
    """Print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    program = find()
    if program is None:
        print(GET_IT, file=sys.stderr)
        return 2
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(run(program, options.calls, options.rounds))
    print(f"{'':24}{'calls/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'CPU us/call':>13}{'over bare':>11}")
    ratios: dict[str, float] = {}
    for load, rows in found.items():
        for name, row in rows.items():
            mode, target = name.split()
            over = ""
            if target == "engine":
                ratios[f"{load} {mode}"] = round(row.cpu_us / rows[f"{mode} bare"].cpu_us, 2)
                over = f"{ratios[f'{load} {mode}']}"
            print(
                f"{load:12}{name:12}{row.per_s:>9.0f}{row.p50_ms:>9.1f}{row.p99_ms:>9.1f}{row.cpu_us:>13.0f}{over:>11}"
            )
    print(json.dumps({"ratios": ratios, "benchmark": "ghz", "rows": msgspec.to_builtins(found)}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
