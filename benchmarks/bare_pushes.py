"""The bare ingress: only what no engine can avoid for a push. The limit that push ingest is measured against.

Starlette on uvicorn as in the engine, 中通's form read and its digest verified, its event parsed, one group-committed
insert at synchronous=FULL, the acknowledgement. No accounts, matching, deduplication, status, news or metrics.

    python -m benchmarks.bare_pushes --db FILE     prints {"http_port": …}, serves until its stdin closes
"""

from __future__ import annotations

import argparse
import asyncio
import hmac
import socket
import sys
from base64 import b64encode
from hashlib import md5
from urllib.parse import parse_qsl

import msgspec
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.bare import Writer
from crossdock_zto.push import ACKNOWLEDGEMENT, Trace
from crossdock_zto.simulator_wire import APP_SECRET


def application(writer: Writer) -> Starlette:
    """One route."""

    async def push(request: Request) -> Response:
        fields = dict(parse_qsl((await request.body()).decode("ascii"), keep_blank_values=True))
        data = fields["data"].encode()
        digest = b64encode(md5(data + APP_SECRET.encode(), usedforsecurity=False).digest()).decode()
        if not hmac.compare_digest(digest, fields["data_digest"]):
            return Response(status_code=403)
        trace = msgspec.json.decode(data, type=Trace)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        writer.queue.put((str(trace.bill_code).encode(), data, future))
        await future
        return Response(ACKNOWLEDGEMENT.body, ACKNOWLEDGEMENT.status, dict(ACKNOWLEDGEMENT.headers))

    return Starlette(routes=[Route("/push/{account}", push, methods=["POST"])])


async def _serve(db: str) -> None:
    writer = Writer(db, asyncio.get_running_loop())
    writer.start()
    config = uvicorn.Config(application(writer), log_config=None, access_log=False, http="httptools", lifespan="off")
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    # As the engine's ingress: without it the body of an answer waits for the acknowledgement of its head.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    print(f'{{"http_port":{listener.getsockname()[1]}}}', flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.should_exit = True
    await serving


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--db", required=True)
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(arguments.db))
