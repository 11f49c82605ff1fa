"""A consumer of both watch streams that can be killed: a process that keeps nothing but two files it appends to.

One line a message, written in one call before the next message is read: `CURSOR<TAB>MESSAGE in hex`. The last whole
line is the cursor a successor resumes from; the lines are what the consumer has seen in all its lives.

It is a child of the nursery, so that a life costs a fork and not the loading of gRPC.
"""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import grpc

from crossdock.v1 import (
    order_service_pb2,
    order_service_pb2_grpc,
    track_service_pb2,
    track_service_pb2_grpc,
)
from engine.cli.nursery import Child, spawn

KINDS = ("tracks", "orders")
PAUSE_S = 0.02
CHANNEL = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
)


def seen_file(folder: Path, kind: str) -> Path:
    """What a consumer keeps of one stream."""
    return folder / f"{kind}.seen"


def read_seen(path: Path) -> list[tuple[int, bytes]]:
    """Every whole line: cursor and message, checkpoints too. A line cut by a kill is none."""
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    return [
        (int(cursor), bytes.fromhex(message.decode())) for cursor, _, message in (x.partition(b"\t") for x in lines)
    ]


async def begin(server: str, folder: Path) -> Child:
    """A consumer that goes on where its files in `folder` end; it ends with whoever began it."""
    return await spawn(f"{live.__module__}:live", (server, str(folder)), os.environ, folder / "consumer.log")


def consume(kind: str, server: str, path: Path) -> None:
    """Watch for ever, resuming from the last line. Ends with an exception for an answer that is no interruption."""
    _cut_torn_line(path)
    with path.open("ab", buffering=0) as out:
        while True:
            seen = read_seen(path)
            cursor = str(seen[-1][0]) if seen else "0"
            try:
                for told, message in _stream(kind, server, cursor):
                    out.write(f"{told}\t{message.hex()}\n".encode())
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
            time.sleep(PAUSE_S)


def _stream(kind: str, server: str, cursor: str) -> Iterator[tuple[str, bytes]]:
    """Cursor and content of every message of one stream; a checkpoint has no content."""
    with grpc.insecure_channel(server, options=CHANNEL) as channel:
        if kind == "tracks":
            tracks = track_service_pb2_grpc.TrackServiceStub(channel)
            for news in tracks.WatchTracks(track_service_pb2.WatchTracksRequest(cursor=cursor)):
                yield news.cursor, news.news.SerializeToString(deterministic=True)
        else:
            orders = order_service_pb2_grpc.OrderServiceStub(channel)
            for event in orders.WatchOrders(order_service_pb2.WatchOrdersRequest(cursor=cursor)):
                yield event.cursor, event.event.SerializeToString(deterministic=True)


def _cut_torn_line(path: Path) -> None:
    data = path.read_bytes() if path.exists() else b""
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(path, whole)


def live(arguments: Sequence[str]) -> int:
    """Be a consumer of SERVER that writes into FOLDER: both watches, until one fails or standard input closes."""
    server, folder = arguments
    ended = threading.Event()

    def run(kind: str) -> None:
        try:
            consume(kind, server, seen_file(Path(folder), kind))
        except BaseException:
            traceback.print_exc()
            ended.set()

    def until_closed() -> None:
        while os.read(0, 64):
            pass
        ended.set()

    jobs = (partial(run, "tracks"), partial(run, "orders"), until_closed)
    for job in jobs:
        threading.Thread(target=job, daemon=True).start()
    ended.wait()
    os._exit(1)  # gRPC's threads would keep the interpreter from ending
