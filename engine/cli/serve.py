"""`crossdock serve`: the engine as a process."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import click

from engine.cli.common import BAD_USAGE, FAILED, config_option, stop_with
from engine.config import ConfigError

YOUNG_OBJECTS = 50_000
"""New objects between two sweeps of the young generation; a sweep of so many takes a few milliseconds.

It is also how many may lie about in rings of references before anybody frees them. gRPC leaves a ring of five small
objects for each call; whatever of ours ties a ring, an error kept as a value above all, adds its whole order to that.
"""


@click.command()
@config_option
@click.option("--ready-json", is_flag=True, help="Print one JSON line with the ports once it serves.")
def serve(config_path: Path | None, ready_json: bool) -> None:
    """Run the engine until SIGTERM or SIGINT (a second one stops at once).

    Settings come from --config, CROSSDOCK_CONFIG or a crossdock.toml in the current folder, the first that is there.

    Exit codes: 0 stopped as asked, 1 cannot start, 2 bad configuration, 75 the store cannot write any more.
    """
    try:
        run(config_path, ready_json=ready_json)
    except ConfigError as error:
        stop_with(error.problems, BAD_USAGE)


def settle_collector() -> None:
    """Tell the garbage collector what a serving engine is like.

    What start-up made stays (modules, tables of divisions, messages' descriptors), so no pass need look at it again.
    Bookings make hundreds of objects each, almost none in cycles: with CPython's threshold of 700 the young generation
    was swept several times a booking, with each sweep finding the same hundreds of bookings under way alive.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)


def run(config_path: Path | None, *, ready_json: bool) -> None:
    """Serve until stopped. Raises ConfigError; ends the process when it cannot start."""
    import uvloop

    from engine import log
    from engine.app import Engine, EngineFailed
    from engine.app import serve as serve_engine
    from engine.core.registry import load_carriers
    from engine.startup import examine, warnings_of
    from engine.store.port import StoreError

    registry = load_carriers()
    reading = examine(config_path, registry)
    if reading.problems:
        raise ConfigError(reading.problems)
    settings = reading.settings
    log.configure(settings.log.level)
    for plugin in registry.plugins:
        if plugin.problem:
            log.logger().error("plug-in left out", plugin=plugin.name, problem=plugin.problem)

    for warning in warnings_of(settings):
        log.logger().warning(warning)

    def ready(engine: Engine) -> None:
        settle_collector()
        if ready_json:
            click.echo(f'{{"grpc_port":{engine.grpc_port},"http_port":{engine.http_port}}}')

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve_engine(settings, registry, ready, settings_file=str(config_path or "")))
    except (OSError, StoreError, EngineFailed) as error:
        stop_with([str(error)], FAILED)
