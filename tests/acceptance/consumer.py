"""A consumer of both watch streams that can be killed: a process that keeps nothing but two files it appends to.

One line a message, written in one call before the next message is read: `CURSOR<TAB>MESSAGE in hex`. The last whole
line is the cursor a successor resumes from; the lines are what the consumer has seen in all its lives.

`python -m tests.acceptance.consumer` forks one for each line `SERVER FOLDER` on its standard input and answers with
its process id, so that a life costs a fork and not the loading of gRPC. It opens no channel itself, and its children
end with it, when its standard input closes.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import grpc

from crossdock.v1 import (
    order_service_pb2,
    order_service_pb2_grpc,
    track_service_pb2,
    track_service_pb2_grpc,
)

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


class Nursery:
    """Begets consumers and kills them."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def beget(self, server: str, folder: Path) -> int:
        """A consumer that goes on where its files in `folder` end; its process id."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{server} {folder}\n".encode())
        return int(await self._process.stdout.readline())

    @staticmethod
    def kill(pid: int) -> None:
        """SIGKILL: whatever it had not written is gone."""
        os.kill(pid, signal.SIGKILL)


@asynccontextmanager
async def nursery(log: Path) -> AsyncIterator[Nursery]:
    """A process that begets consumers; all of them end with the block."""
    with log.open("ab") as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.acceptance.consumer",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
        )
    try:
        yield Nursery(process)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


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


def _live(server: str, folder: Path) -> None:
    """Both watches, until one of them fails."""
    failed = threading.Event()

    def run(kind: str) -> None:
        try:
            consume(kind, server, seen_file(folder, kind))
        except BaseException:
            traceback.print_exc()
            failed.set()

    for kind in KINDS:
        threading.Thread(target=run, args=(kind,), daemon=True).start()
    failed.wait()


def main() -> None:
    """Fork a consumer for each line of standard input; on its end, end the whole session."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        server, folder = line.split()
        pid = os.fork()
        if not pid:
            _live(server, Path(folder))
            os._exit(1)
        print(pid, flush=True)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
