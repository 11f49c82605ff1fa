"""SF Express (顺丰速运) for Crossdock: book, look up, cancel, label and track on the Fengqiao wire.

This module is the entry point of the group `crossdock.carriers`: the two hooks and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossdock_sdk import Carrier, Manifest, hookimpl
from crossdock_sf.carrier import Sf

if TYPE_CHECKING:
    from crossdock_sdk.simulator import CarrierSimulator

__all__ = ["Sf", "crossdock_carrier", "crossdock_simulator"]


@hookimpl
def crossdock_carrier() -> Carrier:
    """SF Express, as its carrier.toml describes it."""
    return Sf(Manifest.load(__name__))


@hookimpl
def crossdock_simulator() -> type[CarrierSimulator]:
    """Fengqiao's side of the wire; imported here so that serving never loads it."""
    from crossdock_sf.simulator import SfSimulator

    return SfSimulator
