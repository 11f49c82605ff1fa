"""Questions about parcels: CPU of GetTrack from the store over a bare echo, and how many calls a crowd costs a carrier.

    python -m benchmarks.tracks [--questions 4000] [--rounds 3] [--crowd 10000] [--numbers 500]

First parcels with ten events each, asked for as known (no `max_age`), 64 at a time; `bare_tracks` answers the same
question with a message of the same size, alternating round by round. CPU is user + system time of the whole server
process from /proc. Then a crowd wants many numbers as they are now (`max_age` 0): all at once in batches, and one by
one with 500 under way. The simulator counts the calls; the least is numbers / batch of the carrier (顺丰 takes ten).
Prints tables and a JSON line, ratios first.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import uvloop
from google.protobuf.duration_pb2 import Duration

from benchmarks.booking import cpu_s
from benchmarks.pushes import booked, ingest, pushes
from crossdock.v1 import track_service_pb2, track_service_pb2_grpc
from engine.cli.sandbox import Sandbox, running_sandbox

pb = track_service_pb2
PARCELS = 300
IN_FLIGHT = 64
CROWD_IN_FLIGHT = 500
A_CONNECTION = 50
BATCH = 500
CARRIER_BATCH = 10
GOAL_RATIO = 1.3
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
            await stub.GetTrack(request, timeout=60)

    async with AsyncExitStack() as stack:
        apart = (("grpc.use_local_subchannel_pool", 1),)
        count = -(-in_flight // A_CONNECTION)
        channels = [grpc.aio.insecure_channel(target, options=apart) for _ in range(count)]
        for channel in channels:
            await stack.enter_async_context(channel)
        await asyncio.gather(*[work(channels[index % count]) for index in range(in_flight)])


async def read(target: str, pid: int, requests: Sequence[pb.GetTrackRequest]) -> dict[str, float]:
    """CPU per question in microseconds, questions per second."""
    await ask(target, requests[:200], IN_FLIGHT)
    before, started = cpu_s(pid), time.perf_counter()
    await ask(target, requests, IN_FLIGHT)
    seconds, cpu = time.perf_counter() - started, cpu_s(pid) - before
    return {"cpu_us": cpu / len(requests) * 1e6, "per_s": len(requests) / seconds}


async def reads(sandbox: Sandbox, count: int, rounds: int) -> tuple[dict[str, dict[str, float]], int]:
    """Medians of engine and bare echo, and the size of the answer."""
    numbers = await booked(sandbox.server, PARCELS)
    await ingest(int(sandbox.http.rpartition(":")[2]), sandbox.engine_pid, pushes(numbers))
    async with grpc.aio.insecure_channel(sandbox.server) as channel:
        answer = await track_service_pb2_grpc.TrackServiceStub(channel).GetTrack(question("zto", numbers[0]))
    requests = [question("zto", numbers[index % PARCELS]) for index in range(count)]
    rows: dict[str, list[dict[str, float]]] = {"bare": [], "engine": []}
    port, bare = await start_bare(answer)
    try:
        for _ in range(rounds):
            rows["bare"].append(await read(f"127.0.0.1:{port}", bare.pid, requests))
            rows["engine"].append(await read(sandbox.server, sandbox.engine_pid, requests))
    finally:
        bare.kill()
        await bare.wait()
    medians = {name: {key: statistics.median(r[key] for r in r_) for key in r_[0]} for name, r_ in rows.items()}
    return medians, answer.ByteSize()


async def crowd(sandbox: Sandbox, numbers: Sequence[str], count: int, *, batched: bool) -> dict[str, float]:
    """Calls that the carrier got while so many wanted to know now."""
    requests = [question("sf", numbers[index % len(numbers)], now=True) for index in range(count)]
    before, started = await _asked(sandbox), time.perf_counter()
    if batched:
        async with grpc.aio.insecure_channel(sandbox.server) as channel:
            stub = track_service_pb2_grpc.TrackServiceStub(channel)
            batches = [pb.BatchGetTracksRequest(requests=requests[at : at + BATCH]) for at in range(0, count, BATCH)]
            answers = await asyncio.gather(*[stub.BatchGetTracks(batch, timeout=60) for batch in batches])
            assert all(result.HasField("track") for answer in answers for result in answer.results)
    else:
        await ask(sandbox.server, requests, CROWD_IN_FLIGHT)
    seconds = time.perf_counter() - started
    return {"calls": await _asked(sandbox) - before, "seconds": round(seconds, 2)}


async def run(count: int, rounds: int, crowd_size: int, numbers: int) -> dict[str, object]:
    """Both measurements."""
    with tempfile.TemporaryDirectory() as scratch:
        async with running_sandbox(Path(scratch)) as sandbox:
            rows, size = await reads(sandbox, count, rounds)
            # Numbers nobody booked are asked for as any other; the first round opens their tracks.
            wanted = [f"SF{7_444_500_000_000 + n}" for n in range(numbers)]
            crowds = {
                "in batches, new numbers": await crowd(sandbox, wanted, crowd_size, batched=True),
                "in batches": await crowd(sandbox, wanted, crowd_size, batched=True),
                "one by one": await crowd(sandbox, wanted, crowd_size, batched=False),
            }
    least = -(-numbers // CARRIER_BATCH)
    return {
        "ratio": round(rows["engine"]["cpu_us"] / rows["bare"]["cpu_us"], 2),
        "calls_over_least": {name: round(found["calls"] / least, 2) for name, found in crowds.items()},
        "benchmark": "tracks",
        "rows": rows,
        "answer_bytes": size,
        "crowd": crowd_size,
        "numbers": numbers,
        "least_calls": least,
        "crowds": crowds,
    }


async def _asked(sandbox: Sandbox) -> int:
    stats = await sandbox.simulators["sf"].stats()
    return int(stats["calls"].get("track", 0))


async def start_bare(answer: pb.GetTrackResponse) -> tuple[int, asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.bare_tracks", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(answer.SerializeToString().hex().encode() + b"\n")
    return json.loads(await process.stdout.readline())["grpc_port"], process


def main() -> None:
    """Print the tables and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
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
    print(f"\n{options.crowd} want {options.numbers} numbers now; the least is {found['least_calls']} calls")
    for name, figures in crowds.items():
        print(f"{name:26}{figures['calls']:>8.0f} calls{figures['seconds']:>8.1f} s")
    print(f"goal: ratio <= {GOAL_RATIO}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
