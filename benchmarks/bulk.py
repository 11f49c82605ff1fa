"""A carrier for benchmarks: it answers questions about fifty parcels a call, as none of those shipped here does.

No package of its own: `install` makes it known as one to this process and its children, through a folder on their
path that holds nothing but the entry point.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from crossdock_sdk import Account, CallContext, Carrier, Flow, HttpRequest, HttpResponse, Manifest
from crossdock_sdk.hookspecs import hookimpl
from crossdock_sdk.simulator import CarrierSimulator
from crossdock_sdk.tracking import Tracked, TrackOutcome, TrackRequest

BATCH = 50
MANIFEST = f"""
code = "bulk"
sdk = 1
operations = ["track"]
base_url = "https://bulk.invalid/"

[names]
en = "Bulk"
zh = "大批"

[[number]]
pattern = 'BK[0-9]{{10}}'
good = ["BK0000000001"]
bad = ["BK1"]

[limits.track]
batch = {BATCH}
min_interval_s = 60.0
timeout_s = 5.0
"""


class Bulk(Carrier):
    """Asks for all numbers in one JSON list; nothing is known of any."""

    def track(self, ctx: CallContext, requests: Sequence[TrackRequest]) -> Flow[list[TrackOutcome]]:
        """One request."""
        body = msgspec.json.encode([request.waybill_number for request in requests])
        response = yield HttpRequest("POST", ctx.account.base_url, {"content-type": "application/json"}, body)
        return [Tracked(number, ()) for number in msgspec.json.decode(response.body, type=list[str])]


class BulkSimulator(CarrierSimulator):
    """Says which numbers it was asked for."""

    code = "bulk"

    @classmethod
    def account(cls, base_url: str) -> Account:
        """There is nothing to sign with."""
        return Account("bulk", "bulk", base_url)

    def operation(self, request: HttpRequest) -> str:
        """It has one."""
        return "track"

    def handle(self, request: HttpRequest) -> HttpResponse:
        """The numbers as they came, as long as they are not too many."""
        if len(msgspec.json.decode(request.body, type=list[str])) > BATCH:
            return HttpResponse(400)
        return HttpResponse(200, {"content-type": "application/json"}, request.body)

    def failing(self) -> HttpResponse:
        """A fault of its own."""
        return HttpResponse(500)

    def busy(self) -> HttpResponse:
        """Too many calls."""
        return HttpResponse(429)


@hookimpl
def crossdock_carrier() -> Carrier:
    """See the sdk."""
    return Bulk(Manifest.parse(MANIFEST))


@hookimpl
def crossdock_simulator() -> type[CarrierSimulator]:
    """See the sdk."""
    return BulkSimulator


def install(folder: Path) -> None:
    """Make it a plug-in of this process and of those it starts. Once a process."""
    info = folder / "crossdock_bulk-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: crossdock-bulk\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[crossdock.carriers]\nbulk = {__name__}\n")
    sys.path.append(str(folder))
    here = [str(Path(__file__).parents[1]), str(folder), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in here if path)
