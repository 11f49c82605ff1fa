"""`crossdock config`: settings checked before they cost anything."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path

import click

from engine.cli.common import BAD_USAGE, config_option, json_option, output, print_json, read_settings, stop_with
from engine.config import ConfigError


@click.group()
def config() -> None:
    """Check settings, hash API keys."""


@config.command()
@config_option
@json_option
def check(config_path: Path | None, as_json: bool) -> None:
    """Check the whole configuration as `serve` would: keys, accounts, rules, addresses, fonts.

    Exit codes: 0 sound, 2 problems (each names the key and the remedy).
    """
    settings = read_settings(config_path)
    from engine.api.convert.rules import CelRules
    from engine.core.registry import load_carriers
    from engine.labels import FontSet, LabelError
    from engine.wiring import accounts_of, rule_problems, secrecy_problems, tenants_of

    registry = load_carriers()
    problems = secrecy_problems(config_path, settings, registry) + rule_problems(settings, registry)
    for step in (
        lambda: accounts_of(settings, registry),
        lambda: tenants_of(settings),
        lambda: CelRules(settings.rule),
    ):
        try:
            step()
        except ConfigError as error:
            problems += error.problems
    try:
        FontSet.load([Path(font) for font in settings.labels.extra_fonts])
    except LabelError as error:
        problems.append(f"labels.extra_fonts: {error}")
    if problems:
        stop_with(problems, BAD_USAGE)
    if as_json:
        print_json({"sound": True, "accounts": [a.id for a in settings.account], "rules": len(settings.rule)})
    else:
        output.print(
            f"The configuration is sound: {len(settings.account)} accounts, {len(settings.rule)} rules, "
            f"{len(settings.tenant) or 'no'} tenants."
        )


@config.command("hash-key")
@click.option("--new", is_flag=True, help="Make a new random key and print it too.")
def hash_key(new: bool) -> None:
    """Print the api_key_sha256 of an API key read from standard input (it is not echoed into any file)."""
    key = secrets.token_urlsafe(32) if new else click.prompt("API key", hide_input=True)
    if new:
        output.print(f"key:            {key}")
    output.print(f"api_key_sha256: {hashlib.sha256(key.encode()).hexdigest()}", soft_wrap=True)
