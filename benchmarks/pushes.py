"""Pushes: CPU of the engine process over a bare ingress in one run, and how soon a watcher hears of them.

    python -m benchmarks.pushes [--pushes 4000] [--rounds 5] [--rate 500] [--seconds 15]

中通's signed trace pushes about parcels that the engine booked, ten events a parcel, over 64 kept connections. The
engine and `bare_pushes` alternate round by round. Then the same pushes at a fixed rate, whether or not answers come
(an open loop): the time from when each was due to when a WatchTracks client in the same process had it.
CPU is user + system time of the whole server process from /proc. Prints a table and a JSON line, ratios first.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import grpc
import msgspec
import uvloop

from benchmarks.bare_process import bare_ingress
from benchmarks.measure import cpu_s, medians, over, percentile
from benchmarks.open_load import sleep_until
from benchmarks.orders import only, order, stream
from benchmarks.sender import Sender, post
from crossdock.v1 import (
    order_service_pb2_grpc,
    track_service_pb2,
    track_service_pb2_grpc,
)
from crossdock_zto.simulator_wire import trace_push
from engine.cli.sandbox import Sandbox, running_sandbox

EVENTS = 10
"""Of a parcel's life: a scan at each end and eight on the way, as most parcels have."""
CHINA = timezone(timedelta(hours=8))
GOAL_RATIO = 1.5
GOAL_P99_MS = 50.0


class Push(msgspec.Struct, frozen=True):
    """A prepared push: what it is about, and its request's bytes for a port."""

    waybill_number: str
    time: datetime
    content_type: str
    body: bytes

    def request(self, port: int) -> bytes:
        """The whole request."""
        return post("/push/zto-sandbox", port, self.content_type, self.body)


class Latency(msgspec.Struct, frozen=True):
    """Milliseconds, and how many were measured."""

    count: int
    p50_ms: float
    p99_ms: float
    worst_ms: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Latency:
        """From single measurements."""
        at = [percentile(seconds, 0.5), percentile(seconds, 0.99), max(seconds)]
        return cls(len(seconds), *(round(value * 1e3, 2) for value in at))


async def booked(server: str, count: int) -> list[str]:
    """Waybill numbers of `count` parcels that the engine booked at 中通 and follows."""
    run = uuid.uuid4().hex
    async with grpc.aio.insecure_channel(server) as channel:
        orders = order_service_pb2_grpc.OrderServiceStub(channel)
        placed = await stream(orders, (only("zto", order(run, index)) for index in range(count)))
        tracks = track_service_pb2_grpc.TrackServiceStub(channel)
        for start in range(0, count, 500):
            # The question by order opens the track at once.
            asked = [track_service_pb2.GetTrackRequest(order_id=one.order_id) for one in placed[start : start + 500]]
            await tracks.BatchGetTracks(track_service_pb2.BatchGetTracksRequest(requests=asked), timeout=60)
    return [one.booking.waybill_number for one in placed]


def pushes(numbers: Sequence[str]) -> list[Push]:
    """EVENTS pushes of each parcel, in the order of time."""
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=EVENTS)
    made = []
    for index in range(EVENTS):
        action = "GOT" if not index else "SIGNED" if index == EVENTS - 1 else ("DEPARTURE", "ARRIVAL")[index % 2]
        for place, number in enumerate(numbers):
            when = start + timedelta(hours=index, seconds=place % 3000)
            data: dict[str, object] = {
                "billCode": number,
                "action": action,
                "actionTime": f"{when.astimezone(CHINA):%Y-%m-%d %H:%M:%S}",
                "city": "杭州市",
                "facilityCode": "57100",
                "facilityName": "杭州中转部",
                "desc": f"【杭州市】快件已经到达【杭州中转部】，第{index}站",
            }
            sent = trace_push("", data)
            made.append(Push(number, when, sent.headers["content-type"], sent.body))
    return made


async def ingest(port: int, pid: int, made: Sequence[Push]) -> dict[str, float]:
    """CPU per push in microseconds, pushes per second."""
    requests = [push.request(port) for push in made]
    async with Sender(port) as sender:
        before, started = cpu_s(pid), time.perf_counter()
        await sender.send_all(requests)
        seconds, cpu = time.perf_counter() - started, cpu_s(pid) - before
    return {"cpu_us": cpu / len(made) * 1e6, "per_s": len(made) / seconds}


async def delivery(sandbox: Sandbox, made: Sequence[Push], rate: float) -> tuple[Latency, Latency]:
    """How long until a push is acknowledged, and until a watcher has it, at `rate` pushes a second."""
    port = _port(sandbox)
    requests = [push.request(port) for push in made]
    due: dict[tuple[str, int], float] = {}
    acknowledged: list[float] = []
    heard: list[float] = []
    async with grpc.aio.insecure_channel(sandbox.server) as channel, Sender(port) as sender:
        watch = track_service_pb2_grpc.TrackServiceStub(channel).WatchTracks(track_service_pb2.WatchTracksRequest())
        await watch.read()  # where "now" is

        async def listen() -> None:
            while len(heard) < len(made):
                message = await watch.read()
                assert isinstance(message, track_service_pb2.WatchTracksResponse), "the watch has ended"
                now = time.perf_counter()
                if message.HasField("news"):
                    news = message.news
                    heard.append(now - due.pop((news.waybill_number, news.event.event_time.seconds)))

        async def one(request: bytes, at: float) -> None:
            await sender.send(request)
            acknowledged.append(time.perf_counter() - at)

        listening = asyncio.create_task(listen())
        started = time.perf_counter() + 0.1
        async with asyncio.TaskGroup() as group:
            for index, (push, request) in enumerate(zip(made, requests, strict=True)):
                at = started + index / rate
                due[push.waybill_number, int(push.time.timestamp())] = at
                await sleep_until(at)
                group.create_task(one(request, at))
        async with asyncio.timeout(30):
            await listening
        watch.cancel()
    return Latency.of(acknowledged), Latency.of(heard)


async def run(count: int, rounds: int, rate: float, seconds: float) -> dict[str, object]:
    """Both measurements."""
    rows: dict[str, list[dict[str, float]]] = {"bare": [], "engine": []}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        async with running_sandbox(folder / "engine") as sandbox:
            async with bare_ingress(folder) as bare:
                for _ in range(rounds):
                    made = pushes(await booked(sandbox.server, count // EVENTS))
                    rows["bare"].append(await ingest(bare.port, bare.pid, made))
                    rows["engine"].append(await ingest(_port(sandbox), sandbox.engine_pid, made))
            made = pushes(await booked(sandbox.server, int(rate * seconds) // EVENTS))
            acknowledged, heard = await delivery(sandbox, made, rate)
    return {
        "ratio": over(rows["engine"], rows["bare"]),
        "delivered_p99_ms": heard.p99_ms,
        "benchmark": "pushes",
        "rows": medians(rows),
        "rate_per_s": rate,
        "acknowledged": msgspec.to_builtins(acknowledged),
        "delivered": msgspec.to_builtins(heard),
    }


def _port(sandbox: Sandbox) -> int:
    return int(sandbox.http.rpartition(":")[2])


def main() -> None:
    """Print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pushes", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rate", type=float, default=500.0)
    parser.add_argument("--seconds", type=float, default=15.0)
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found: dict[str, object] = runner.run(run(options.pushes, options.rounds, options.rate, options.seconds))
    rows, ratio = found["rows"], found["ratio"]
    assert isinstance(rows, dict)
    print(f"{'':16}{'CPU us/push':>14}{'pushes/s':>10}{'over bare':>11}")
    for name, figures in rows.items():
        over = f"{ratio}" if name == "engine" else ""
        print(f"{name:16}{figures['cpu_us']:>14.0f}{figures['per_s']:>10.0f}{over:>11}")
    print(f"\n{options.rate:.0f} pushes/s, open loop {'p50 ms':>10}{'p99 ms':>10}{'worst ms':>10}")
    for name in ("acknowledged", "delivered"):
        latency = msgspec.convert(found[name], Latency)
        print(f"{name:24}{latency.p50_ms:>10.1f}{latency.p99_ms:>10.1f}{latency.worst_ms:>10.1f}")
    print(f"goals: ratio <= {GOAL_RATIO}, delivered p99 <= {GOAL_P99_MS:.0f} ms")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
