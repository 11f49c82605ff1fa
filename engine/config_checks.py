"""What no single key can show: sections that contradict each other, numbers that would break a promise."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec.structs import replace

from engine.core.policy.stalls import NOTHING_KNOWN, Since
from engine.core.policy.track_machine import NEXT, TERMINAL

if TYPE_CHECKING:
    from engine.config import ServerSettings, Settings, StallRuleSettings, TenantSettings

LONGEST_STALL_H = 2160.0
"""90 days: after so long without an event a parcel is followed no more."""
MOST_STALL_RULES = 100
MOST_WEIGHT = 100
"""A tenant's turn is as many items as its weight: more would make the others wait too long."""
_STALL_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,64}")
_ACCOUNT_ID = re.compile(r"[^\s/?#%\x00-\x1f\x7f]{1,64}")
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")


def cross_checks(settings: Settings, doubtful: Collection[str] = ()) -> list[str]:
    """Everything wrong, one line each, with its key and the remedy.

    doubtful: sections of which something could not be read; what their keys say together is not looked at.
    """
    found: list[str] = []
    for section, listen in (("server", settings.server.listen), ("ingress", settings.ingress.listen)):
        if not is_host_port(listen):
            found.append(f"{section}.listen: {listen!r} is not HOST:PORT; write for example 127.0.0.1:50051")
    if "server" not in doubtful:
        found += _listener_problems(settings.server)
        if "tenant" not in doubtful:
            found += _tenant_problems(settings)
    if settings.log.level not in ("debug", "info", "warning", "error"):
        found.append(f"log.level: {settings.log.level!r}; use debug, info, warning or error")
    found += _number_problems(settings)
    found += _duplicates("account", [a.id for a in settings.account])
    found += _duplicates("tenant", [t.name for t in settings.tenant])
    found += _duplicates("rule", [r.name for r in settings.rule])
    found += _duplicates("return_rule", [r.name for r in settings.return_rule])
    for tenant in settings.tenant:
        found += [
            f"tenant {tenant.name}: api_key_sha256 holds what is no SHA-256 digest of 64 hex digits "
            "(crossdock config hash-key prints one)"
            for digest in tenant.api_key_sha256
            if not _DIGEST.fullmatch(digest)
        ]
    found += [
        f"tenant {tenant.name}: weight: {tenant.weight}; use 1 to {MOST_WEIGHT}"
        for tenant in settings.tenant
        if not 1 <= tenant.weight <= MOST_WEIGHT
    ]
    found += _shared_credentials(settings.tenant)
    found += _account_problems(settings)
    for key in ("store_share", "open_share", "calls_share"):
        share = getattr(settings.overload, key)
        if not 0.0 < share < 0.95:
            found.append(f"overload.{key}: {share:g}; use more than 0 and less than 0.95, where the last level begins")
    found += _stall_problems(settings)
    return found


def _listener_problems(server: ServerSettings) -> list[str]:
    """What the keys of the gRPC listener contradict each other in."""
    found = []
    if bool(server.tls_certificate_file) != bool(server.tls_key_file):
        found.append("server.tls_certificate_file, server.tls_key_file: one is missing; give both or none")
    if server.client_ca_file and not server.tls_certificate_file:
        found.append("server.client_ca_file: client certificates need TLS; set tls_certificate_file and tls_key_file")
    open_to_others = is_host_port(server.listen) and not is_loopback(server.listen)
    if open_to_others and not server.tls_certificate_file and not server.allow_plaintext:
        found.append(
            f"server.listen: {server.listen} is not loopback and there is no TLS; "
            "set tls_certificate_file and tls_key_file, or allow_plaintext = true behind a proxy that has TLS"
        )
    if server.longest_deadline_s < server.default_deadline_s:
        found.append(_too_little("server.longest_deadline_s", server.longest_deadline_s, server.default_deadline_s))
    return found


def _account_problems(settings: Settings) -> list[str]:
    """Ids that nobody could push to, caps and shares that mean nothing."""
    found = []
    for account in settings.account:
        where = f"account {account.id}"
        if not _ACCOUNT_ID.fullmatch(account.id):
            found.append(
                f"account {account.id!r}: id: use 1 to 64 characters without blanks and / ? # %; "
                "it is part of the push address"
            )
        if account.daily_cap < 0:
            found.append(f"{where}: daily_cap: {account.daily_cap}; use the most orders a day, or 0 for no cap")
        if not 0 <= account.share_percent <= 100:
            found.append(f"{where}: share_percent: {account.share_percent}; use 1 to 100, or 0 for no target")
        try:
            ZoneInfo(account.time_zone)
        except (ValueError, OSError, ZoneInfoNotFoundError):
            found.append(f"{where}: time_zone: {account.time_zone!r} is no zone; use an IANA name like Asia/Shanghai")
    return found


def _stall_problems(settings: Settings) -> list[str]:
    """Stall rules that could never be true, or would be nobody's."""
    rules = settings.stall_rule
    found = _duplicates("stall_rule", [r.name for r in rules])
    if len(rules) > MOST_STALL_RULES:
        found.append(f"stall_rule: {len(rules)} rules; at most {MOST_STALL_RULES} are allowed")
    clocks = [since.value for since in Since]
    statuses = [NOTHING_KNOWN, *(s.value for s in NEXT if s not in TERMINAL)]
    for rule in rules:
        where = f"stall_rule {rule.name}"
        if not _STALL_NAME.fullmatch(rule.name):
            found.append(
                f"stall_rule {rule.name!r}: name: use 1 to 64 characters without line feeds; metrics and alerts show it"
            )
        if rule.since not in clocks:
            found.append(f"{where}: since: {rule.since!r} is no clock; use one of {', '.join(clocks)}")
        if not 0 < rule.after_h <= LONGEST_STALL_H:
            found.append(f"{where}: after_h: {rule.after_h:g} h; use more than 0 and at most {LONGEST_STALL_H:g}")
        found += [
            f"{where}: statuses: {status!r} is no status in which a parcel can stall; use {', '.join(statuses)}"
            for status in rule.statuses
            if status not in statuses
        ]
    return found


def compilable(rule: StallRuleSettings) -> StallRuleSettings:
    """The rule with a clock and statuses that exist, so that its condition can be looked at whatever else is wrong."""
    known = [since.value for since in Since]
    return replace(rule, since=rule.since if rule.since in known else known[0], statuses=())


def _shared_credentials(tenants: Sequence[TenantSettings]) -> list[str]:
    """One key or certificate must not open two tenants: nobody could say whose call it is."""
    found = []
    for index, tenant in enumerate(tenants):
        for other in tenants[:index]:
            shared = f"is also tenant {other.name}'s; give each its own"
            if {d.lower() for d in tenant.api_key_sha256} & {d.lower() for d in other.api_key_sha256}:
                found.append(f"tenant {tenant.name}: api_key_sha256 {shared}")
            if set(tenant.certificate_names) & set(other.certificate_names):
                found.append(f"tenant {tenant.name}: certificate_names {shared}")
    return found


def _tenant_problems(settings: Settings) -> list[str]:
    """Callers from elsewhere must show who they are."""
    server = settings.server
    if is_loopback(server.listen) or not (server.tls_certificate_file or server.allow_plaintext):
        return []  # on this machine only, or refused for being open without TLS
    how = "give each tenant api_key_sha256 (crossdock config hash-key --new) or certificate_names"
    if not settings.tenant:
        return [f"tenant: none is configured, yet {settings.server.listen} is open to others; {how}"]
    return [
        f"tenant {tenant.name}: has neither key nor certificate, so everybody who reaches {settings.server.listen} "
        f"would be it; {how}"
        for tenant in settings.tenant
        if not tenant.api_key_sha256 and not tenant.certificate_names
    ]


def _number_problems(settings: Settings) -> list[str]:
    """Numbers that would stop the engine from working, or break a promise."""
    least = (
        ("server.max_concurrent_calls", settings.server.max_concurrent_calls, 1),
        ("server.max_open_bookings", settings.server.max_open_bookings, 1),
        ("server.stream_window", settings.server.stream_window, 1),
        ("server.slow_watcher_s", settings.server.slow_watcher_s, 1),
        ("server.drain_s", settings.server.drain_s, 0),
        ("server.default_deadline_s", settings.server.default_deadline_s, 1),
        ("ingress.max_body_bytes", settings.ingress.max_body_bytes, 1024),
        ("store.keep_keys_days", settings.store.keep_keys_days, 30),
        ("store.keep_events_days", settings.store.keep_events_days, 30),
        ("store.cache_mib", settings.store.cache_mib, 1),
        ("returns.hand_over_days", settings.returns.hand_over_days, 1 / 24),
        ("overload.loop_lag_s", settings.overload.loop_lag_s, 0.01),
        ("overload.door_wait_s", settings.overload.door_wait_s, 0.01),
        ("overload.calm_s", settings.overload.calm_s, 0.1),
        ("outbound.divert_wait_s", settings.outbound.divert_wait_s, 0.1),
        ("outbound.failback_step_s", settings.outbound.failback_step_s, 0),
        ("outbound.queue_size", settings.outbound.queue_size, 1),
        ("outbound.connect_timeout_s", settings.outbound.connect_timeout_s, 0.1),
    )
    return [_too_little(key, value, floor) for key, value, floor in least if value < floor]


def _too_little(key: str, value: float, floor: float) -> str:
    return f"{key}: {value} is too little; the least is {floor}"


def _duplicates(section: str, names: list[str]) -> list[str]:
    return [
        f"{section} {name}: stands {names.count(name)} times; names must be unique"
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]


def is_host_port(listen: str) -> bool:
    """True for HOST:PORT with a port that exists."""
    host, _, port = listen.rpartition(":")
    return bool(host) and port.isdecimal() and int(port) <= 65_535


def is_loopback(listen: str) -> bool:
    """True for HOST:PORT on this machine only."""
    host = listen.rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
