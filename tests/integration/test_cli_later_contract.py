"""Commands that ask an engine of a later contract: values they have no name for are shown by their number."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf import json_format, message

from crossdock.v1 import order_service_pb2, return_service_pb2, track_service_pb2
from tests.integration.terminal import crossdock

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]
ORDER = {"orderId": "o-1", "reference": "SO-1", "state": 96, "attempts": [{"number": 1, "carrier": "sf", "state": 97}]}
RETURN = {"returnId": "r-1", "orderId": "o-1", "state": 96, "reason": 97, "decision": {"verdict": 98}}
TRACK = {
    "carrier": "sf",
    "waybillNumber": "SF1",
    "status": 96,
    "events": [{"status": 97, "milestone": 98}],
    "freshness": {"source": 99, "observedTime": "2026-11-21T08:00:00Z"},
}


def answer(filled: message.Message, fields: dict[str, Any]) -> grpc.RpcMethodHandler[bytes, bytes]:
    """A method that answers whatever it is asked with `filled`, with these fields."""
    content = json_format.ParseDict(fields, filled).SerializeToString()

    async def method(_request: bytes, _context: object) -> bytes:
        return content

    return grpc.unary_unary_rpc_method_handler(method)


METHODS = {
    "OrderService": {"GetOrder": answer(order_service_pb2.GetOrderResponse(), {"order": ORDER})},
    "ReturnService": {"GetReturn": answer(return_service_pb2.GetReturnResponse(), {"returnShipment": RETURN})},
    "TrackService": {"GetTrack": answer(track_service_pb2.GetTrackResponse(), {"track": TRACK})},
}


@pytest.fixture
async def server() -> AsyncIterator[str]:
    """The address of an engine of a later contract."""
    engine = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    for service, methods in METHODS.items():
        handler = grpc.method_handlers_generic_handler(f"crossdock.v1.{service}", methods)
        engine.add_generic_rpc_handlers((handler,))
    port = engine.add_insecure_port("127.0.0.1:0")
    await engine.start()
    yield f"127.0.0.1:{port}"
    await engine.stop(None)


@pytest.mark.parametrize(
    ("command", "numbers"),
    [
        (("order", "get", "SO-1"), ("SO-1  96", "97")),
        (("return", "get", "r-1"), ("r-1  96", ": 97  order o-1", "98 (no rule)")),
        (("track", "SF1", "--carrier", "sf"), ("sf SF1 96", "97, 98", "ago, no next question")),
    ],
)
async def test_a_value_of_a_later_contract_is_shown(
    server: str, command: tuple[str, ...], numbers: tuple[str, ...]
) -> None:
    """By its number, among all that can be named; as JSON too."""
    shown = await crossdock(None, *command, "--server", server)
    as_json = await crossdock(None, *command, "--server", server, "--json")

    assert (shown.code, as_json.code) == (0, 0), (shown.err, as_json.err)
    assert not [number for number in numbers if number not in shown.out], shown.out
    assert 96 in as_json.json().values()
