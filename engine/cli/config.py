"""`crossdock config`: settings checked before they cost anything."""

from __future__ import annotations

import hashlib
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click

from engine.cli.common import BAD_USAGE, config_option, json_option, output, print_json, stop_with
from engine.config import ConfigError


@click.group()
def config() -> None:
    """Check settings, hash API keys."""


@config.command(short_help="Check the whole configuration as `serve` would.")
@config_option
@json_option
def check(config_path: Path | None, as_json: bool) -> None:
    """Check the whole configuration as `serve` would: keys, accounts, rules, addresses, secrets, certificates, fonts.

    Exit codes: 0 sound, 2 problems (each names the key and the remedy).
    """
    from engine.core.registry import load_carriers
    from engine.startup import examine, font_problems, warnings_of

    registry = load_carriers()
    try:
        reading = examine(config_path, registry)
    except ConfigError as error:
        _end(error.problems, as_json)
    settings = reading.settings
    if problems := reading.problems + font_problems(settings):
        _end(problems, as_json)
    warnings = warnings_of(settings)
    if as_json:
        file = str(config_path) if config_path else None
        accounts = [account.id for account in settings.account]
        facts = {"sound": True, "file": file, "accounts": accounts, "rules": len(settings.rule), "warnings": warnings}
        print_json(facts)
        return
    kinds = (("account", settings.account), ("rule", settings.rule), ("tenant", settings.tenant))
    counts = ", ".join(f"{len(found) or 'no'} {kind}{'s' * (len(found) != 1)}" for kind, found in kinds)
    source = config_path or "no file, the defaults and the environment alone"
    output.print(f"The configuration is sound ({source}): {counts}.", soft_wrap=True, markup=False)
    for warning in warnings:
        output.print(f"warning: {warning}", soft_wrap=True, markup=False)
    for plugin in registry.plugins:
        if plugin.problem:
            output.print(f"Not used, and not loaded: plug-in {plugin.name} ({plugin.problem})", markup=False)


@config.command("hash-key", short_help="Print the api_key_sha256 of an API key.")
@click.option("--new", is_flag=True, help="Make a new random key and print it too.")
def hash_key(new: bool) -> None:
    """Print the api_key_sha256 of an API key, asked for or read from a pipe (it is not echoed into any file)."""
    if new:
        key = secrets.token_urlsafe(32)
        output.print(f"key:            {key}")
    elif sys.stdin.isatty():
        key = click.prompt("API key", hide_input=True)
    else:
        key = sys.stdin.readline().strip()
    if not key:
        stop_with(["standard input: holds no key; pipe one line into the command, or use --new"], BAD_USAGE)
    output.print(f"api_key_sha256: {hashlib.sha256(key.encode()).hexdigest()}", soft_wrap=True)


def _end(problems: Sequence[str], as_json: bool) -> NoReturn:
    if as_json:
        print_json({"sound": False, "problems": problems})
    stop_with(problems, BAD_USAGE)
