"""A made-up carrier, complete and small: what the kit's own tests check it with."""

from __future__ import annotations

from acme.carrier import Acme
from crossdock_sdk import Carrier, Manifest, hookimpl
from crossdock_sdk.simulator import CarrierSimulator


@hookimpl
def crossdock_carrier() -> Carrier:
    return Acme(Manifest.load("acme"))


@hookimpl
def crossdock_simulator() -> type[CarrierSimulator]:
    from acme.simulator import AcmeSimulator

    return AcmeSimulator
