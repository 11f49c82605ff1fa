"""The conformance check: every rule the engine relies on, run against a carrier and its simulator.

Runs in the caller's process without sockets, threads or sleeping; a carrier takes a second or two.
"""

from __future__ import annotations

import sys
from pathlib import Path

from crossdock_sdk.carrier import Carrier
from crossdock_sdk.simulator.base import CarrierSimulator
from crossdock_sdk.testing.bench import Bench
from crossdock_sdk.testing.determinism import check_determinism
from crossdock_sdk.testing.finding import Finding
from crossdock_sdk.testing.fuzz import check_fuzz
from crossdock_sdk.testing.manifest_rules import check_manifest
from crossdock_sdk.testing.purity import check_purity
from crossdock_sdk.testing.pushes import check_pushes
from crossdock_sdk.testing.refusals import check_refusals
from crossdock_sdk.testing.roundtrip import check_round_trips
from crossdock_sdk.testing.tracking import check_tracking

_CHECKS = (check_round_trips, check_refusals, check_determinism, check_fuzz, check_pushes, check_tracking)


def check_carrier(
    carrier: Carrier, simulator_cls: type[CarrierSimulator], *, package: Path | None = None
) -> list[Finding]:
    """All findings of a carrier; an empty list means that the engine can rely on it.

    package: folder of the carrier's source; by default that of the module its class is in. Each
    part gets a fresh simulator, so one broken part does not spoil the next.
    """
    first = Bench(carrier, simulator_cls)
    findings = check_manifest(carrier.manifest, first.account, simulator_cls.code)
    findings += check_purity(package or package_folder(carrier))
    for check in _CHECKS:
        bench = Bench(carrier, simulator_cls)
        bench.sign_in()
        check(bench)
        findings += bench.findings
    return list(dict.fromkeys(findings))


def package_folder(carrier: Carrier) -> Path:
    """The folder of the top-level package (or the module's own) that a carrier's class lives in."""
    top = type(carrier).__module__.split(".", 1)[0]
    file = sys.modules[top].__file__
    if file is None:
        raise ValueError(f"{top} has no file; pass package= to check_carrier")
    return Path(file).parent
