"""Toolkit for carrier simulators: the server side of a carrier's wire, its ledger, its faults."""

from crossdock_sdk.simulator.base import CarrierSimulator
from crossdock_sdk.simulator.faults import Faults
from crossdock_sdk.simulator.ledger import Entry, Ledger, read_ledger

__all__ = ["CarrierSimulator", "Entry", "Faults", "Ledger", "read_ledger"]
