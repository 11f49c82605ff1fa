"""Which carriers are here: plug-ins found through entry points, loaded one by one.

A plug-in that fails to load is named with its reason and left out; the others and the engine go on.
Built-in carriers come through the same door. Nothing is imported before `load_carriers` is called.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING

import msgspec
import pluggy

from crossdock_sdk import Carrier, Manifest
from crossdock_sdk.hookspecs import PROJECT

if TYPE_CHECKING:
    from crossdock_sdk.simulator import CarrierSimulator

GROUP = "crossdock.carriers"


class Plugin(msgspec.Struct, frozen=True):
    """One entry point and what became of it. `problem` is empty when it is loaded."""

    name: str
    package: str
    version: str
    problem: str = ""


class Registry(msgspec.Struct, frozen=True):
    """Loaded carriers by code, and every plug-in that was seen."""

    carriers: Mapping[str, Carrier]
    plugins: tuple[Plugin, ...]

    @property
    def manifests(self) -> dict[str, Manifest]:
        """Manifests by carrier code."""
        return {code: carrier.manifest for code, carrier in self.carriers.items()}


def load_carriers(entry_points: Iterable[EntryPoint] | None = None) -> Registry:
    """Load every plug-in of the group (or the given ones)."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(importlib.import_module("crossdock_sdk.hookspecs"))
    carriers: dict[str, Carrier] = {}
    plugins: list[Plugin] = []
    found = importlib.metadata.entry_points(group=GROUP) if entry_points is None else entry_points
    for entry_point in sorted(found, key=lambda e: e.name):
        plugin = Plugin(entry_point.name, entry_point.value, entry_point.dist.version if entry_point.dist else "")
        try:
            carrier = _load(manager, entry_point, carriers)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            # pluggy keeps a plug-in registered although its check failed.
            if entry_point.name not in carriers and manager.has_plugin(entry_point.name):
                manager.unregister(name=entry_point.name)
            plugins.append(msgspec.structs.replace(plugin, problem=f"{type(error).__name__}: {error}"))
        else:
            carriers[carrier.manifest.code] = carrier
            plugins.append(plugin)
    return Registry(carriers, tuple(plugins))


def load_simulator(code: str) -> type[CarrierSimulator]:
    """The simulator class of an installed carrier. Raises LookupError when there is none."""
    for entry_point in importlib.metadata.entry_points(group=GROUP, name=code):
        hook = getattr(entry_point.load(), "crossdock_simulator", None)
        if hook is not None:
            simulator: type[CarrierSimulator] = hook()
            return simulator
    raise LookupError(f"carrier {code!r} is not installed or ships no simulator")


def _load(manager: pluggy.PluginManager, entry_point: EntryPoint, taken: Mapping[str, Carrier]) -> Carrier:
    if entry_point.name in taken:
        raise ValueError(f"carrier {entry_point.name!r} is already loaded from another package; remove one")
    module = entry_point.load()
    manager.register(module, name=entry_point.name)
    manager.check_pending()
    callers = [h for h in manager.hook.crossdock_carrier.get_hookimpls() if h.plugin is module]
    if not callers:
        raise TypeError(f"{entry_point.value} has no hook crossdock_carrier; add it with @hookimpl")
    carrier = callers[0].function()
    if not isinstance(carrier, Carrier):
        raise TypeError(f"crossdock_carrier returned {type(carrier).__name__}; return a crossdock_sdk.Carrier")
    if carrier.manifest.code != entry_point.name:
        raise ValueError(
            f"entry point {entry_point.name!r} holds carrier {carrier.manifest.code!r}; give them the same name"
        )
    return carrier
