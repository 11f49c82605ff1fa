"""The same call twice makes the same request: nothing comes from a clock, a die or a counter.

The engine repeats and records calls, and a signature test is only worth something if this holds.
"""

from __future__ import annotations

from typing import Any

from crossdock_sdk.errors import CarrierError
from crossdock_sdk.flow import HttpRequest
from crossdock_sdk.testing.bench import Bench
from crossdock_sdk.testing.builders import booking, lane
from crossdock_sdk.tracking import TrackRequest


def check_determinism(bench: Bench) -> None:
    """Build the first request of each operation twice from equal input."""
    service = bench.manifest.service[0].code if bench.manifest.service else ""
    items: dict[str, Any] = {
        "book": booking(service=service),
        "quote": lane(),
        "find": "CHECK-000001-1",
        "track": TrackRequest(_number(bench), "2222"),
        "subscribe": TrackRequest(_number(bench), "2222"),
    }
    for operation, item in items.items():
        if not bench.has(operation):
            continue
        first, second = (_first_request(bench, operation, item) for _ in range(2))
        bench.expect(
            first == second,
            "equal input makes equal requests",
            f"{operation} asked twice",
            "take time and randomness from the context, and keep no state in the carrier",
        )


def _number(bench: Bench) -> str:
    return next((good for number in bench.manifest.number for good in number.good), "")


def _first_request(bench: Bench, operation: str, item: Any) -> HttpRequest | None:
    flow = getattr(bench.carrier, operation)(bench.context(), [item])
    try:
        request: HttpRequest = next(flow)
    except (StopIteration, CarrierError):
        return None
    except Exception as error:
        bench.escaped(operation, error)
        return None
    finally:
        flow.close()
    return request
