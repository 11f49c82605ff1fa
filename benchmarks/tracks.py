"""Questions about parcels: CPU of GetTrack from the store over a bare echo, and how many calls a crowd costs a carrier.

    python -m benchmarks.tracks [--questions 4000] [--rounds 5] [--crowd 10000] [--numbers 500]

First parcels with ten events each, asked for as known (no `max_age`), 64 at a time; `bare_tracks` answers the same
question with a message of the same size, alternating round by round. CPU is user + system time of the whole server
process from /proc. Then a crowd wants many new numbers as they are now (`max_age` 0), of 顺丰, which takes ten a call,
and of a carrier that takes fifty (`bulk`): all at once in batches, and one by one with 500 under way. The simulators
count the calls; the least is numbers / batch. Prints tables and a JSON line, ratios first.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import grpc
import uvloop
from google.protobuf.duration_pb2 import Duration

from benchmarks import bulk
from benchmarks.bare_process import bare_echo
from benchmarks.measure import cpu_s, medians, over
from benchmarks.open_load import connections
from benchmarks.pushes import booked, ingest, pushes
from crossdock.v1 import track_service_pb2, track_service_pb2_grpc
from engine.cli.sandbox import Sandbox, running_sandbox

pb = track_service_pb2
PARCELS = 300
IN_FLIGHT = 64
CROWD_IN_FLIGHT = 500
A_CONNECTION = 50
BATCH = 500
NUMBERS = {"sf": "SF7444500{:06d}", "bulk": "BK{:010d}"}
CARRIER_BATCHES = {"sf": 10, "bulk": bulk.BATCH}
GOAL_RATIO = 1.3
GOAL_CALLS = 10
"""Of a carrier that takes fifty a call, for 500 numbers; beside calls that could not be filled, the misses."""
NOW = Duration()


def question(carrier: str, number: str, *, now: bool = False) -> pb.GetTrackRequest:
    """About a number, as known or as it is now."""
    key = pb.TrackKey(carrier=carrier, waybill_number=number)
    return pb.GetTrackRequest(key=key, max_age=NOW) if now else pb.GetTrackRequest(key=key)


async def ask(target: str, requests: Sequence[pb.GetTrackRequest], in_flight: int) -> None:
    """All of them, so many at a time, over so many connections that none nears the server's 128 streams."""
    pending = iter(requests)

    async def work(channel: grpc.aio.Channel) -> None:
        stub = track_service_pb2_grpc.TrackServiceStub(channel)
        for request in pending:
            try:
                await stub.GetTrack(request, timeout=60)
            except grpc.aio.AioRpcError as error:
                raise SystemExit(f"a question was not answered: {error.code().name}, {error.details()}") from None

    count = -(-in_flight // A_CONNECTION)
    async with connections(target, count) as channels:
        await asyncio.gather(*[work(channels[index % count]) for index in range(in_flight)])


async def read(target: str, pid: int, requests: Sequence[pb.GetTrackRequest]) -> dict[str, float]:
    """CPU per question in microseconds, questions per second."""
    await ask(target, requests[:200], IN_FLIGHT)
    before, started = cpu_s(pid), time.perf_counter()
    await ask(target, requests, IN_FLIGHT)
    seconds, cpu = time.perf_counter() - started, cpu_s(pid) - before
    return {"cpu_us": cpu / len(requests) * 1e6, "per_s": len(requests) / seconds}


async def reads(sandbox: Sandbox, count: int, rounds: int) -> tuple[float, dict[str, dict[str, float]], int]:
    """The ratio, medians of engine and bare echo, and the size of the answer."""
    numbers = await booked(sandbox.server, PARCELS)
    await ingest(int(sandbox.http.rpartition(":")[2]), sandbox.engine_pid, pushes(numbers))
    async with grpc.aio.insecure_channel(sandbox.server) as channel:
        answer = await track_service_pb2_grpc.TrackServiceStub(channel).GetTrack(question("zto", numbers[0]))
    requests = [question("zto", numbers[index % PARCELS]) for index in range(count)]
    rows: dict[str, list[dict[str, float]]] = {"bare": [], "engine": []}
    async with bare_echo(answer) as bare:
        for _ in range(rounds):
            rows["bare"].append(await read(bare.address, bare.pid, requests))
            rows["engine"].append(await read(sandbox.server, sandbox.engine_pid, requests))
    return over(rows["engine"], rows["bare"]), medians(rows), answer.ByteSize()


async def crowd(
    sandbox: Sandbox, carrier: str, numbers: Sequence[str], count: int, *, batched: bool
) -> dict[str, float]:
    """Calls that the carrier got while so many wanted to know now."""
    requests = [question(carrier, numbers[index % len(numbers)], now=True) for index in range(count)]
    before, started = await _asked(sandbox, carrier), time.perf_counter()
    if batched:
        async with grpc.aio.insecure_channel(sandbox.server) as channel:
            stub = track_service_pb2_grpc.TrackServiceStub(channel)
            batches = [pb.BatchGetTracksRequest(requests=requests[at : at + BATCH]) for at in range(0, count, BATCH)]
            answers = await asyncio.gather(*[stub.BatchGetTracks(batch, timeout=60) for batch in batches])
            failed = [r.status for answer in answers for r in answer.results if not r.HasField("track")]
            if failed:
                raise SystemExit(f"{len(failed)} questions were not answered; the first: {failed[0]}")
    else:
        await ask(sandbox.server, requests, CROWD_IN_FLIGHT)
    seconds = time.perf_counter() - started
    least = -(-len(numbers) // CARRIER_BATCHES[carrier])
    return {"calls": await _asked(sandbox, carrier) - before, "least": least, "seconds": round(seconds, 2)}


async def run(count: int, rounds: int, crowd_size: int, numbers: int) -> dict[str, object]:
    """Both measurements."""
    crowds: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        bulk.install(Path(scratch) / "plugin")
        async with running_sandbox(Path(scratch) / "engine", carriers=("sf", "zto", "bulk")) as sandbox:
            ratio, rows, size = await reads(sandbox, count, rounds)
            for carrier in CARRIER_BATCHES:
                for series, way in enumerate(("in batches", "one by one")):
                    wanted = [NUMBERS[carrier].format(series * numbers + n) for n in range(numbers)]
                    crowds[f"{carrier}, {way}"] = await crowd(
                        sandbox, carrier, wanted, crowd_size, batched=way == "in batches"
                    )
    return {
        "ratio": ratio,
        "calls_over_least": {name: round(found["calls"] / found["least"], 2) for name, found in crowds.items()},
        "benchmark": "tracks",
        "rows": rows,
        "answer_bytes": size,
        "crowd": crowd_size,
        "numbers": numbers,
        "crowds": crowds,
    }


async def _asked(sandbox: Sandbox, carrier: str) -> int:
    stats = await sandbox.simulators[carrier].stats()
    return int(stats["calls"].get("track", 0))


def main() -> None:
    """Print the tables and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--crowd", type=int, default=10_000)
    parser.add_argument("--numbers", type=int, default=500)
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(run(options.questions, options.rounds, options.crowd, options.numbers))
    rows, crowds = found["rows"], found["crowds"]
    assert isinstance(rows, dict)
    assert isinstance(crowds, dict)
    print(f"{'':16}{'CPU us/question':>16}{'per s':>8}{'over bare':>11}   answer {found['answer_bytes']} bytes")
    for name, figures in rows.items():
        over = f"{found['ratio']}" if name == "engine" else ""
        print(f"{name:16}{figures['cpu_us']:>16.0f}{figures['per_s']:>8.0f}{over:>11}")
    print(f"\n{options.crowd} questions want {options.numbers} new numbers now")
    for name, figures in crowds.items():
        print(f"{name:20}{figures['calls']:>6.0f} calls, at least {figures['least']:.0f}{figures['seconds']:>8.1f} s")
    print(f"goals: ratio <= {GOAL_RATIO}, 500 numbers of a carrier that takes {bulk.BATCH} a call: {GOAL_CALLS} calls")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
