"""The bare read: a grpc.aio server that answers GetTrack with one message it was given. The limit for the store's.

python -m benchmarks.bare_tracks      reads the answer from standard input, as hex in a line,
                                      prints {"grpc_port": …}, serves until its stdin closes
"""

from __future__ import annotations

import asyncio
import sys

import grpc
import uvloop

from crossdock.v1 import track_service_pb2, track_service_pb2_grpc


class Bare(track_service_pb2_grpc.TrackServiceServicer):
    """Says the same to everybody."""

    def __init__(self, answer: track_service_pb2.GetTrackResponse) -> None:
        self._answer = answer

    async def GetTrack(
        self, request: track_service_pb2.GetTrackRequest, context: object
    ) -> track_service_pb2.GetTrackResponse:
        """Reads the question, writes the answer."""
        return self._answer


async def _serve() -> None:
    answer = track_service_pb2.GetTrackResponse.FromString(bytes.fromhex(sys.stdin.readline()))
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    bare = Bare(answer)  # type: ignore[abstract]  # one method is all it serves
    track_service_pb2_grpc.add_TrackServiceServicer_to_server(bare, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f'{{"grpc_port":{port}}}', flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop(1)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())
