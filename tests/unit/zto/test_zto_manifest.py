"""The manifest and the two hooks."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import crossdock_zto
from crossdock_sdk import Account, Manifest, Repeat, ServiceLevel
from crossdock_sdk.hookspecs import PROJECT
from crossdock_zto import terms
from crossdock_zto.carrier import Zto
from crossdock_zto.simulator import ZtoSimulator


def test_manifest_states_what_recovery_may_rely_on() -> None:
    """No look-up by our reference, no safe repeat: only the order push settles an unknown."""
    manifest = Manifest.load("crossdock_zto")

    assert "find" not in manifest.operations
    assert manifest.booking.repeat is Repeat.BOOKS_AGAIN
    assert manifest.booking.confirmed_by_push
    assert manifest.max_parcels == 1


def test_manifest_makes_no_promise_zto_does_not() -> None:
    """Rates of booking are unpublished, and there is one standard service."""
    manifest = Manifest.load("crossdock_zto")

    assert manifest.limit("book").rate_per_s is None
    assert [service.level for service in manifest.service] == [ServiceLevel.STANDARD]


def test_tracking_stays_below_the_quota_a_survey_tells() -> None:
    """Track queries keep under 100 a minute, one number each, and a number is left alone for a minute."""
    manifest = Manifest.load("crossdock_zto")
    limit = manifest.limit("track")

    assert {"track", "subscribe", "push"} <= set(manifest.operations)
    assert limit.rate_per_s is not None
    assert limit.rate_per_s * 60 < 100
    assert (limit.batch, limit.min_interval_s, limit.timeout_s) == (1, 60.0, 5.0)


def test_defaults_of_code_and_manifest_agree(account: Account) -> None:
    """An account without optional keys behaves as the manifest's defaults say."""
    defaults = {s.key: s.default for s in Manifest.load("crossdock_zto").setting}

    assert terms.partner_type(account) == defaults["partner_type"]
    assert terms.order_type(account) == defaults["order_type"]


def test_secrets_are_marked_and_every_key_is_known(account: Account) -> None:
    """The sample account uses only keys the manifest names, secrets among the secrets."""
    settings = Manifest.load("crossdock_zto").setting
    secret = {s.key for s in settings if s.secret}

    assert set(account.secrets) == secret
    assert set(account.settings) <= {s.key for s in settings} - secret


def test_hooks_hand_out_carrier_and_simulator() -> None:
    """The package answers both hooks."""
    hooks: Any = crossdock_zto

    assert isinstance(hooks.crossdock_carrier(), Zto)
    assert hooks.crossdock_simulator() is ZtoSimulator
    assert hasattr(hooks.crossdock_carrier, f"{PROJECT}_impl")


def test_serving_loads_no_simulator() -> None:
    """Making the carrier imports nothing of the simulator."""
    program = (
        "import sys, crossdock_zto; crossdock_zto.crossdock_carrier();"
        "print([m for m in sys.modules if 'simulator' in m])"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)

    assert done.stdout.strip() == "[]"
