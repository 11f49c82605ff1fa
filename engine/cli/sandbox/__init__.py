"""`crossdock sandbox`: an engine with simulated carriers to develop against. Demo, `ship` and tests run theirs so."""

from engine.cli.sandbox.command import sandbox
from engine.cli.sandbox.running import CARRIERS, Sandbox, SimulatorProcess, running_sandbox

__all__ = ["CARRIERS", "Sandbox", "SimulatorProcess", "running_sandbox", "sandbox"]
