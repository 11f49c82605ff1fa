"""The conformance kit that partners run, on this carrier and both of its order types."""

from __future__ import annotations

import msgspec
import pytest

from crossdock_sdk import Account
from crossdock_sdk.simulator import CarrierSimulator
from crossdock_sdk.testing import check_carrier
from crossdock_zto.carrier import Zto
from crossdock_zto.simulator import ZtoSimulator


class PickUpSimulator(ZtoSimulator):
    """The same server with a test account that books pick-up orders."""

    @classmethod
    def account(cls, base_url: str) -> Account:
        account = super().account(base_url)
        return msgspec.structs.replace(account, settings={**account.settings, "order_type": "2"})


@pytest.mark.parametrize("simulator", [ZtoSimulator, PickUpSimulator])
def test_carrier_conforms(zto: Zto, simulator: type[CarrierSimulator]) -> None:
    """The kit finds nothing: contract, purity, round trips, fuzzed answers, forged pushes."""
    assert check_carrier(zto, simulator) == []
