"""ZTO Express (中通快递) on its open platform (中通开放平台, open.zto.com)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossdock_sdk import Carrier, Manifest, hookimpl

if TYPE_CHECKING:
    from crossdock_sdk.simulator import CarrierSimulator


@hookimpl
def crossdock_carrier() -> Carrier:
    """Return the carrier, built from carrier.toml."""
    from crossdock_zto.carrier import Zto

    return Zto(Manifest.load(__name__))


@hookimpl
def crossdock_simulator() -> type[CarrierSimulator]:
    """Return the simulator class; serving real parcels never loads it."""
    from crossdock_zto.simulator import ZtoSimulator

    return ZtoSimulator
