"""What a carrier's author tests with: flows played by hand, made-up shipments, conformance.

    from crossdock_sdk.testing import booking, context, play

    outcome = play(carrier.book(context(account), [booking()]), HttpResponse(200, body=answer))

`check_carrier(carrier, simulator_cls)` runs every rule the engine relies on and lists what is
broken. Nothing here opens a socket or sleeps.
"""

from crossdock_sdk.testing.builders import NOW, FakeClock, booking, context, lane, party
from crossdock_sdk.testing.conformance import check_carrier
from crossdock_sdk.testing.finding import Finding
from crossdock_sdk.testing.flows import drive, exchange, play, requests_of
from crossdock_sdk.testing.purity import check_purity

__all__ = [
    "NOW",
    "FakeClock",
    "Finding",
    "booking",
    "check_carrier",
    "check_purity",
    "context",
    "drive",
    "exchange",
    "lane",
    "party",
    "play",
    "requests_of",
]
