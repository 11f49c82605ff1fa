"""`crossdock plugins`: which carriers are here, what they can do, and why one is not loaded."""

from __future__ import annotations

import sys

import click

from engine.cli.common import FAILED, json_option, output, print_json, print_table


@click.command()
@json_option
def plugins(as_json: bool) -> None:
    """Show loaded carriers and plug-ins that failed to load (exit code 1 when one failed)."""
    from engine.core.registry import load_carriers

    registry = load_carriers()
    if as_json:
        print_json(
            [
                {
                    "name": p.name,
                    "package": p.package,
                    "version": p.version,
                    "loaded": not p.problem,
                    "problem": p.problem,
                    "operations": list(registry.carriers[p.name].manifest.operations)
                    if p.name in registry.carriers
                    else [],
                }
                for p in registry.plugins
            ]
        )
    else:
        rows = []
        for plugin in registry.plugins:
            manifest = registry.carriers[plugin.name].manifest if not plugin.problem else None
            names = f"{manifest.names.en} {manifest.names.zh}" if manifest else ""
            what = ", ".join(manifest.operations) if manifest else f"not loaded: {plugin.problem}"
            rows.append((plugin.name, names, plugin.package, plugin.version, what))
        print_table("Carriers", ("code", "name", "package", "version", "operations"), rows)
        if not rows:
            output.print("No plug-in is installed; carriers register under the entry point crossdock.carriers.")
    sys.exit(FAILED if any(p.problem for p in registry.plugins) else 0)
