"""The whole plug-in contract: two hooks, called once at start. No carrier call ever goes through a
hook.

Declare the package under the entry-point group `crossdock.carriers`; name = the carrier's code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

from crossdock_sdk.carrier import Carrier

if TYPE_CHECKING:
    from crossdock_sdk.simulator import CarrierSimulator

PROJECT = "crossdock"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def crossdock_carrier() -> Carrier:  # type: ignore[empty-body]  # pluggy specs have no body
    """Return the carrier, built from its manifest."""


@hookspec
def crossdock_simulator() -> type[CarrierSimulator]:  # type: ignore[empty-body]  # as above
    """Return the simulator class; import it inside the hook, so that serving never loads it."""
