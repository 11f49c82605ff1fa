"""What can be wrong before an engine starts, all of it at once: `serve` and `config check` look at the same things.

Settings are read first (see config.py), as far as they can be; here they meet the carriers, the files they name, and
the rules' compiler.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
import tomllib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TypeVar

import msgspec

from crossdock_sdk import Account
from engine.api.convert.return_rules import CelReturnRules
from engine.api.convert.rules import CelRules
from engine.api.convert.stall_rules import CelStallRules
from engine.api.gate import Tenants
from engine.config import ConfigError, Reading, Settings, is_open_to_others, read
from engine.config_checks import compilable, is_host_port
from engine.core.policy.stalls import StallRule
from engine.core.registry import Registry
from engine.wiring import accounts_of, read_master_key, split_listen, stall_rules_of, tenants_of

T = TypeVar("T")


class Prepared(msgspec.Struct, frozen=True):
    """What settings become: accounts and tenants found, conditions compiled."""

    accounts: dict[str, Account]
    tenants: Tenants
    rules: CelRules
    return_rules: CelReturnRules
    stall_rules: tuple[StallRule, ...]
    stall_conditions: CelStallRules


def prepare(settings: Settings, registry: Registry) -> Prepared:
    """Raises ConfigError with everything that is wrong with any of it."""
    problems: list[str] = []

    def tried(make: Callable[[], T]) -> T | None:
        try:
            return make()
        except ConfigError as error:
            problems.extend(error.problems)
            return None

    stall_rules = stall_rules_of(settings)
    accounts = tried(lambda: accounts_of(settings, registry))
    tenants = tried(lambda: tenants_of(settings))
    rules = tried(lambda: CelRules(settings.rule))
    return_rules = tried(lambda: CelReturnRules(settings.return_rule))
    conditions = tried(lambda: CelStallRules(stall_rules))
    if accounts is None or tenants is None or rules is None or return_rules is None or conditions is None:
        raise ConfigError(problems)
    return Prepared(accounts, tenants, rules, return_rules, stall_rules, conditions)


def examine(path: Path | None, registry: Registry) -> Reading:
    """The settings with everything that is wrong with them. Raises ConfigError when the file is no TOML."""
    reading = read(path)
    further = startup_problems(path, reading.settings, registry, reading.doubtful)
    return msgspec.structs.replace(reading, problems=reading.problems + further)


def startup_problems(
    path: Path | None, settings: Settings, registry: Registry, doubtful: Collection[str] = ()
) -> list[str]:
    """What is wrong with settings beyond themselves, one line each, with its key and the remedy.

    path: the settings file, for who may read it. doubtful: sections of which something could not be read.
    """
    problems = secrecy_problems(path, settings, registry) + certificate_problems(settings) + place_problems(settings)
    if "account" not in doubtful:
        problems += rule_problems(settings, registry)
    rules = tuple(compilable(rule) for rule in settings.stall_rule)
    whole = msgspec.structs.replace(settings, stall_rule=rules)
    looks: tuple[Callable[[], object], ...] = (lambda: _master_key(settings), lambda: prepare(whole, registry))
    for look in looks:
        try:
            look()
        except ConfigError as error:
            problems += error.problems
    return problems


def warnings_of(settings: Settings) -> list[str]:
    """What keeps an engine from being of use, though not from starting."""
    if any(account.enabled for account in settings.account):
        return []
    what = "account: none is enabled" if settings.account else "account: none is configured"
    return [f"{what}: nothing can be booked; see engine/README.md"]


def font_problems(settings: Settings) -> list[str]:
    """Fonts that labels could not use. An engine loads them with the first label, so this costs what it saves."""
    from engine.labels import FontSet, LabelError

    try:
        FontSet.load([Path(font) for font in settings.labels.extra_fonts])
    except LabelError as error:
        return [f"labels.extra_fonts: {error}"]
    return []


def rule_problems(settings: Settings, registry: Registry) -> list[str]:
    """Rules that name carriers or products nobody has: they would send orders nowhere."""
    carriers = {a.carrier for a in settings.account if a.enabled}
    services = {s.code for code, m in registry.manifests.items() if code in carriers for s in m.service}
    found = []
    for rule in settings.rule:
        for key, codes in (("only", rule.only), ("prefer", rule.prefer), ("exclude", rule.exclude)):
            found += [
                f"rule {rule.name}: {key}: no enabled account has carrier {code!r}; "
                f"use one of {', '.join(sorted(carriers)) or '(none is configured)'}"
                for code in codes
                if code not in carriers
            ]
        found += [
            f"rule {rule.name}: services: no configured carrier has product {code!r}; "
            f"use one of {', '.join(sorted(services)) or '(none)'}"
            for code in rule.services
            # Products of a carrier that is not here, which is told of its account, are not known.
            if code not in services and carriers <= registry.manifests.keys()
        ]
    return found


def secrecy_problems(path: Path | None, settings: Settings, registry: Registry) -> list[str]:
    """A settings file that holds a secret itself must be for its owner only."""
    if path is None or not is_open_to_others(path):
        return []
    try:
        written = tomllib.loads(path.read_text("utf-8")).get("account", [])
    except (OSError, tomllib.TOMLDecodeError):
        return []
    entries = [a for a in written if isinstance(a, dict)] if isinstance(written, list) else []
    secret = {c: {s.key for s in m.setting if s.secret} for c, m in registry.manifests.items()}
    return [
        f"account {account.get('id')}: settings.{key}: stands in {path}, which others can read; "
        f"run chmod 600 on it, or write {key}_file with a file of its own"
        for account in entries
        if isinstance(given := account.get("settings"), dict)
        for key in given
        if key in secret.get(str(account.get("carrier")), ())
    ]


def certificate_problems(settings: Settings) -> list[str]:
    """Files of the TLS listener that cannot be read, or do not hold what they shall."""
    server, problems = settings.server, []
    for key in ("tls_certificate_file", "tls_key_file", "client_ca_file"):
        name = getattr(server, key)
        try:
            if name:
                Path(name).read_bytes()
        except OSError as error:
            problems.append(f"server.{key}: {name} cannot be read ({error.strerror}); name an existing file")
    if problems or not server.tls_certificate_file or not server.tls_key_file:
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


def place_problems(settings: Settings) -> list[str]:
    """Places where an engine could not be: a folder for the store that is not there, addresses of other machines."""
    folder = Path(settings.store.path).absolute().parent
    problems = []
    if not folder.is_dir():
        problems.append(f"store.path: the folder {folder} does not exist; create it or name another")
    elif not os.access(folder, os.W_OK | os.X_OK):
        problems.append(f"store.path: the folder {folder} cannot be written; make it writable or name another")
    for section, listen in (("server", settings.server.listen), ("ingress", settings.ingress.listen)):
        if is_host_port(listen) and (reason := _why_not_bound(*split_listen(listen))):
            problems.append(
                f"{section}.listen: {listen} cannot be listened on ({reason}); name an address of this machine, "
                "and a port above 1023 if the engine may not use others"
            )
    return problems


def _why_not_bound(host: str, port: int) -> str:
    """Why an address cannot be had, empty if it can; one that is taken by now may be free when an engine starts."""
    if host in ("::", "0.0.0.0"):  # noqa: S104  # every machine's own: gRPC takes what the system has of them
        return ""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return "" if error.errno == errno.EADDRINUSE else error.strerror or type(error).__name__
    return ""


def _master_key(settings: Settings) -> object:
    return read_master_key(Path(settings.store.master_key_file)) if settings.store.master_key_file else None
