"""Settings: one TOML file with an environment overlay, checked as a whole before anything starts.

Every key may be overridden by `CROSSDOCK_<SECTION>__<KEY>` (an account's by `CROSSDOCK_ACCOUNT__<ID>__<KEY>`).
Unknown keys are errors, all of them are reported at once, and each message names the key and the remedy. Wrong keys
do not keep the others from being checked: see `Reading`.
Secrets are read from files (`check_word_file = "…"`) or from the environment; a settings file that holds one
itself must not be readable by others. `docs` of every key stand in engine/README.md; a test holds it to that.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin

import msgspec

from engine.config_checks import cross_checks


class ConfigError(Exception):
    """The configuration is wrong. `problems` has one line per key, each with its remedy."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all sections: values are fixed and unknown keys refused."""


class ServerSettings(_Section, frozen=True):
    """The gRPC listener."""

    listen: str = "127.0.0.1:50051"
    allow_plaintext: bool = False
    tls_certificate_file: str = ""
    tls_key_file: str = ""
    client_ca_file: str = ""
    reflection: bool = True
    max_concurrent_calls: int = 4096
    max_open_bookings: int = 20_000
    default_deadline_s: float = 30.0
    longest_deadline_s: float = 120.0
    drain_s: float = 25.0
    stream_window: int = 256
    slow_watcher_s: float = 60.0


class IngressSettings(_Section, frozen=True):
    """The HTTP listener: carrier pushes, /metrics, /healthz, /readyz."""

    listen: str = "127.0.0.1:8080"
    allow_public_metrics: bool = False
    max_body_bytes: int = 1_048_576


class StoreSettings(_Section, frozen=True):
    """Where orders are kept."""

    path: str = "crossdock.db"
    master_key_file: str = ""
    keep_keys_days: int = 35
    keep_events_days: int = 35
    cache_mib: int = 16


class BookingSettings(_Section, frozen=True):
    """How bookings are retried and resolved. Times in seconds."""

    review_after_s: float = 240.0
    give_up_after_s: float = 86_400.0
    retry_base_s: float = 1.0
    retry_cap_s: float = 60.0
    unavailable_retry_s: float = 2.0
    live_prices: bool = False
    price_cache_s: float = 3600.0


class OutboundSettings(_Section, frozen=True):
    """Lanes to the carriers."""

    breaker_open_s: float = 5.0
    connect_timeout_s: float = 2.0
    allow_plaintext: bool = False
    queue_size: int = 20_000
    divert_wait_s: float = 5.0
    failback_step_s: float = 60.0
    prove_accounts: bool = True


class OverloadSettings(_Section, frozen=True):
    """What is given up first when there is too much to do, and from when on. Times in seconds, shares of 1."""

    enabled: bool = True
    loop_lag_s: float = 0.5
    door_wait_s: float = 0.15
    store_share: float = 0.5
    open_share: float = 0.8
    calls_share: float = 0.7
    calm_s: float = 5.0


class ReturnSettings(_Section, frozen=True):
    """How returns are run."""

    hand_over_days: float = 14.0


class LabelSettings(_Section, frozen=True):
    """Printing."""

    extra_fonts: tuple[str, ...] = ()


class LogSettings(_Section, frozen=True):
    """What is logged; always JSON lines on standard error."""

    level: str = "info"


class PartySettings(_Section, frozen=True):
    """A shipper's address as it stands in the file."""

    name: str
    phone: str
    province: str
    city: str
    street: str
    district: str = ""
    company: str = ""
    country_code: str = "CN"
    postal_code: str = ""

    def __repr__(self) -> str:
        return "PartySettings(***)"


class TenantSettings(_Section, frozen=True):
    """Who may call: SHA-256 hex digests of its API keys, names in its client certificates."""

    name: str
    api_key_sha256: tuple[str, ...] = ()
    certificate_names: tuple[str, ...] = ()
    weight: int = 1
    shipper: PartySettings | None = None


class TariffStep(_Section, frozen=True):
    """Contract price to some provinces ("*" = all others), in minor units of CNY."""

    provinces: tuple[str, ...]
    first_weight_g: int
    first_price_fen: int
    step_weight_g: int
    step_price_fen: int


class AccountSettings(_Section, frozen=True):
    """A merchant's contract with a carrier. `settings` holds the plug-in's own keys."""

    id: str
    carrier: str
    base_url: str = ""
    priority: int = 100
    enabled: bool = True
    daily_cap: int = 0
    share_percent: int = 0
    time_zone: str = "Asia/Shanghai"
    settings: dict[str, str] = {}
    tariff: tuple[TariffStep, ...] = ()

    def __repr__(self) -> str:  # `settings` holds secrets
        return f"AccountSettings({self.id}, {self.carrier}, ***)"


class RuleSettings(_Section, frozen=True):
    """A routing rule: when the CEL expression over `order` is true, its effects apply."""

    name: str
    when: str
    only: tuple[str, ...] = ()
    prefer: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    services: tuple[str, ...] = ()


class ReturnRuleSettings(_Section, frozen=True):
    """A return rule: the first whose CEL expression is true decides."""

    name: str
    when: str
    decision: Literal["approve", "review", "reject"]
    explanation: str = ""


class StallSettings(_Section, frozen=True):
    """Whether parcels that stand still raise alerts."""

    enabled: bool = True


class StallRuleSettings(_Section, frozen=True):
    """When a parcel stands still: so long on a clock, in one of the statuses, while the CEL expression is true."""

    name: str
    since: str
    after_h: float
    statuses: tuple[str, ...] = ()
    when: str = ""
    reason: str = ""


class Settings(_Section, frozen=True):
    """The whole file."""

    server: ServerSettings = ServerSettings()
    ingress: IngressSettings = IngressSettings()
    store: StoreSettings = StoreSettings()
    booking: BookingSettings = BookingSettings()
    outbound: OutboundSettings = OutboundSettings()
    overload: OverloadSettings = OverloadSettings()
    labels: LabelSettings = LabelSettings()
    returns: ReturnSettings = ReturnSettings()
    log: LogSettings = LogSettings()
    tenant: tuple[TenantSettings, ...] = ()
    account: tuple[AccountSettings, ...] = ()
    rule: tuple[RuleSettings, ...] = ()
    return_rule: tuple[ReturnRuleSettings, ...] = ()
    stalls: StallSettings = StallSettings()
    stall_rule: tuple[StallRuleSettings, ...] = ()


ENV_PREFIX = "CROSSDOCK_"
NOT_READ = "?"
"""Stands for a secret whose file is named as a problem, so that it does not count as missing besides."""
# Variables that begin like settings but are none.
NOT_SETTINGS = (
    "CROSSDOCK_CONFIG",
    "CROSSDOCK_API_KEY",
    "CROSSDOCK_CRASH_AT",
    "CROSSDOCK_SERVER",
    "CROSSDOCK_ZPL_RENDERER",
)


class Reading(msgspec.Struct, frozen=True):
    """What can be read of the settings. While there is a problem they only serve to look for more.

    A wrong key has its default and a wrong entry (`[[account]]`) is left out. What is said across keys of the
    `doubtful` sections, which lack something, might follow from that alone.
    """

    settings: Settings
    problems: list[str] = []
    doubtful: frozenset[str] = frozenset()


def load(path: Path | None, environment: Mapping[str, str] | None = None) -> Settings:
    """Read and check the settings. Raises ConfigError with every problem found."""
    reading = read(path, environment)
    if reading.problems:
        raise ConfigError(reading.problems)
    return reading.settings


def read(path: Path | None, environment: Mapping[str, str] | None = None) -> Reading:
    """Read what can be read, and what is wrong with the rest. Raises ConfigError when the file is no TOML."""
    raw: dict[str, Any] = {}
    if path is not None:
        try:
            raw = tomllib.loads(path.read_text("utf-8"))
        except OSError as error:
            raise ConfigError([f"{path}: cannot be read ({error.strerror}); name an existing file"]) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError([f"{path}: is not TOML in UTF-8: {error}; correct the line"]) from error
    problems = _overlay(raw, os.environ if environment is None else environment)
    _secret_files(raw, problems, path)
    wrong: list[str] = []
    sound = _readable(raw, Settings, "", wrong)
    problems += [f"{problem}; see engine/README.md for its keys" for problem in wrong]
    settings = msgspec.convert(sound, Settings)
    doubtful = frozenset(name for name in raw if sound.get(name) != raw[name])
    return Reading(settings, problems + cross_checks(settings, doubtful), doubtful)


def _overlay(raw: dict[str, Any], environment: Mapping[str, str]) -> list[str]:
    problems = []
    for name, value in sorted(environment.items()):
        if not name.startswith(ENV_PREFIX) or name in NOT_SETTINGS:
            continue
        parts = [part.lower() for part in name[len(ENV_PREFIX) :].split("__")]
        if len(parts) == 3 and parts[0] == "account":
            account = next(
                (a for a in _accounts(raw) if str(a.get("id", "")).lower().replace("-", "_") == parts[1]), None
            )
            if account is None:
                problems.append(f"environment {name}: no [[account]] with id {parts[1]!r}; check the id")
            elif isinstance(account.setdefault("settings", {}), dict):
                account["settings"][parts[2]] = value
        elif len(parts) == 2 and isinstance(raw.setdefault(parts[0], {}), dict):
            raw[parts[0]][parts[1]] = _typed(parts[0], parts[1], value)
        else:
            problems.append(f"environment {name}: is not CROSSDOCK_<SECTION>__<KEY>; remove it or correct the name")
    return problems


def _typed(section: str, key: str, text: str) -> Any:
    """The overlay's text as TOML would give it, where the key is not a string."""
    fields = {f.name: f.type for f in msgspec.structs.fields(Settings)}
    section_type = fields.get(section)
    if not isinstance(section_type, type):
        return text
    wanted = {f.name: f.type for f in msgspec.structs.fields(section_type)}.get(key)
    if wanted in (str, None):
        return text
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text  # the conversion names the key and what it expected


def _accounts(raw: dict[str, Any]) -> list[dict[str, Any]]:
    """The accounts that look like accounts; `_readable` names the others."""
    accounts = raw.get("account", [])
    return [a for a in accounts if isinstance(a, dict)] if isinstance(accounts, list) else []


def is_open_to_others(file: Path) -> bool:
    """Whether anybody but its owner may do anything with it. Raises OSError."""
    return bool(file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def _secret_files(raw: dict[str, Any], problems: list[str], path: Path | None) -> None:
    """Replace `<key>_file` in accounts' settings by the file's content."""
    base = path.parent if path else Path()
    for account in _accounts(raw):
        settings = account.get("settings", {})
        for key in [k for k in settings if k.endswith("_file")] if isinstance(settings, dict) else []:
            file = base / str(settings.pop(key))
            where, secret = f"account {account.get('id', '?')}: settings.{key}", key.removesuffix("_file")
            try:
                if is_open_to_others(file):
                    problems.append(f"{where}: {file} can be read by others; run chmod 600 on it")
                settings[secret] = file.read_text("utf-8").strip()
                if not settings[secret]:
                    problems.append(f"{where}: {file} is empty; store the secret in it")
            except OSError as error:
                problems.append(f"{where}: {file} cannot be read ({error.strerror}); name an existing file")
            except UnicodeDecodeError:
                problems.append(f"{where}: {file} is not text in UTF-8; store the secret as plain text")
            settings[secret] = settings.get(secret) or NOT_READ


def _readable(value: Any, wanted: Any, path: str, wrong: list[str]) -> Any:
    """The part of a value that can be read, UNSET if none can; the rest is added to `wrong`, a line each key."""
    if isinstance(value, dict) and (section := _section(wanted)) is not None:
        fields = {f.name: f for f in msgspec.structs.fields(section)}
        where = f"{path}." if path else ""
        kind = "key" if path else "section"
        unknown = [key for key in value if key not in fields]
        missing = [name for name, field in fields.items() if field.required and name not in value]
        wrong += [f"{where}{key}: no such {kind}; known: {', '.join(fields)}" for key in unknown]
        # `carier` is one mistake, not two.
        misspelt = {name for key in unknown for name in get_close_matches(key, missing, n=1)}
        wrong += [f"{where}{name}: is missing; add it" for name in missing if name not in misspelt]
        parts = {n: _readable(value[n], f.type, where + n, wrong) for n, f in fields.items() if n in value}
        return {name: part for name, part in parts.items() if part is not msgspec.UNSET}
    if isinstance(value, list) and get_origin(wanted) is tuple and _section(get_args(wanted)[0]) is not None:
        entries = []
        for index, item in enumerate(value):
            before = len(wrong)
            entry = _readable(item, get_args(wanted)[0], f"{path}[{index}]", wrong)
            # Half an entry would be found wanting what it has: all of it or nothing.
            entries += [entry] if len(wrong) == before else []
        return entries
    try:
        msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        wrong.append(f"{path}: {str(error).replace('`$', f'`{path}')}")
        return msgspec.UNSET
    return value


def _section(wanted: Any) -> type[_Section] | None:
    """The section that a type is, alone or beside None; None for other types."""
    choices = get_args(wanted) if isinstance(wanted, UnionType) else (wanted,)
    return next((c for c in choices if isinstance(c, type) and issubclass(c, _Section)), None)
