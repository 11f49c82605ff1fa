"""`crossdock config`: settings checked before they cost anything."""

from __future__ import annotations

import hashlib
import secrets
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from engine.cli.common import BAD_USAGE, config_option, json_option, output, print_json, stop_with
from engine.config import ConfigError, Settings, load

if TYPE_CHECKING:
    from engine.core.registry import Registry


@click.group()
def config() -> None:
    """Check settings, hash API keys."""


@config.command()
@config_option
@json_option
def check(config_path: Path | None, as_json: bool) -> None:
    """Check the whole configuration as `serve` would: keys, accounts, rules, addresses, secrets, certificates, fonts.

    Exit codes: 0 sound, 2 problems (each names the key and the remedy).
    """
    try:
        settings = load(config_path)
    except ConfigError as error:
        _end(error.problems, as_json)
    from engine.core.registry import load_carriers

    registry = load_carriers()
    problems = startup_problems(config_path, settings, registry) + _deep_problems(settings, registry)
    if problems:
        _end(problems, as_json)
    if as_json:
        print_json({"sound": True, "accounts": [a.id for a in settings.account], "rules": len(settings.rule)})
        return
    output.print(
        f"The configuration is sound: {len(settings.account)} accounts, {len(settings.rule)} rules, "
        f"{len(settings.tenant) or 'no'} tenants."
    )
    for plugin in registry.plugins:
        if plugin.problem:
            output.print(f"Not used, and not loaded: plug-in {plugin.name} ({plugin.problem})", markup=False)


@config.command("hash-key")
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


def startup_problems(config_path: Path | None, settings: Settings, registry: Registry) -> list[str]:
    """What `serve` looks at before it starts anything: open secrets, rules to nowhere, files it will need."""
    from engine.wiring import read_master_key, rule_problems, secrecy_problems

    problems = secrecy_problems(config_path, settings, registry) + rule_problems(settings, registry)
    problems += _certificate_problems(settings)
    if settings.store.master_key_file:
        try:
            read_master_key(Path(settings.store.master_key_file))
        except ConfigError as error:
            problems += error.problems
    return problems


def _certificate_problems(settings: Settings) -> list[str]:
    """Files of the TLS listener that cannot be read, or do not hold what they shall."""
    server, problems = settings.server, []
    for key in ("tls_certificate_file", "tls_key_file", "client_ca_file"):
        name = getattr(server, key)
        try:
            if name:
                Path(name).read_bytes()
        except OSError as error:
            problems.append(f"server.{key}: {name} cannot be read ({error.strerror}); name an existing file")
    if problems or not server.tls_certificate_file:
        return problems
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # An encrypted key would ask a person for its password; nobody is there.
        context.load_cert_chain(server.tls_certificate_file, server.tls_key_file, password=lambda: "")
    except (ssl.SSLError, ValueError):
        problems.append(
            "server.tls_certificate_file, server.tls_key_file: are no PEM certificate and its unencrypted key; "
            "name the two files that belong together"
        )
    try:
        if server.client_ca_file:
            context.load_verify_locations(server.client_ca_file)
    except ssl.SSLError:
        problems.append(f"server.client_ca_file: {server.client_ca_file} holds no PEM certificate; name the CA's file")
    return problems


def _deep_problems(settings: Settings, registry: Registry) -> list[str]:
    """What `serve` finds out while it puts the engine together."""
    from engine.api.convert.rules import CelRules
    from engine.api.convert.stall_rules import CelStallRules
    from engine.labels import FontSet, LabelError
    from engine.wiring import accounts_of, stall_rules_of, tenants_of

    problems: list[str] = []
    for step in (
        lambda: accounts_of(settings, registry),
        lambda: tenants_of(settings),
        lambda: CelRules(settings.rule),
        lambda: CelStallRules(stall_rules_of(settings)),
    ):
        try:
            step()
        except ConfigError as error:
            problems += error.problems
    try:
        FontSet.load([Path(font) for font in settings.labels.extra_fonts])
    except LabelError as error:
        problems.append(f"labels.extra_fonts: {error}")
    return problems


def _end(problems: Sequence[str], as_json: bool) -> NoReturn:
    if as_json:
        print_json({"sound": False, "problems": problems})
    stop_with(problems, BAD_USAGE)
