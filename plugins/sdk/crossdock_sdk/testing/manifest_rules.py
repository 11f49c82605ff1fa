"""Rules of a manifest that no single key can break: its parts agree with each other."""

from __future__ import annotations

import typing
from collections import Counter
from collections.abc import Iterator
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from crossdock_sdk.carrier import Account
from crossdock_sdk.manifest import Manifest
from crossdock_sdk.models import Booking, Option, Temperature
from crossdock_sdk.testing.finding import Finding

_NEEDS_TEMPERATURE = {
    Option.CHILLED: Temperature.CHILLED,
    Option.FROZEN: Temperature.FROZEN,
}


def check_manifest(manifest: Manifest, account: Account, simulator_code: str) -> list[Finding]:
    """All rules; `account` is the simulator's test account."""
    return [
        *_identity(manifest, account, simulator_code),
        *_numbers(manifest),
        *_settings(manifest, account),
        *_services(manifest),
        *_limits(manifest),
        *_required_fields(manifest),
    ]


def _identity(manifest: Manifest, account: Account, simulator_code: str) -> Iterator[Finding]:
    rule = "one code everywhere"
    if simulator_code != manifest.code:
        yield Finding(rule, f"the simulator says {simulator_code!r}", f"write {manifest.code!r}")
    if account.carrier != manifest.code:
        yield Finding(rule, f"the test account says {account.carrier!r}", f"write {manifest.code!r}")
    for key in ("base_url", "sandbox_url"):
        url = getattr(manifest, key)
        if url and not url.startswith("https://"):
            yield Finding("carriers are called over TLS", f"{key} = {url}", "write an https:// URL")
    try:
        ZoneInfo(manifest.time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        zone = f"time_zone = {manifest.time_zone!r}"
        yield Finding("the time zone exists", zone, 'write an IANA name such as "Asia/Shanghai"')


def _numbers(manifest: Manifest) -> Iterator[Finding]:
    if "book" in manifest.operations and not manifest.number:
        yield Finding(
            "waybill numbers can be recognised",
            "there is no [[number]]",
            "add the pattern of the carrier's waybill numbers with good and bad examples",
        )
    for number in manifest.number:
        for kind, examples in (("good", number.good), ("bad", number.bad)):
            if not examples:
                yield Finding(
                    "a number pattern is proved by examples",
                    f"number {number.pattern} has no {kind} ones",
                    f"list at least one under {kind}",
                )


def _settings(manifest: Manifest, account: Account) -> Iterator[Finding]:
    known = {setting.key: setting for setting in manifest.setting}
    for key in (k for k, n in Counter(s.key for s in manifest.setting).items() if n > 1):
        yield Finding("a setting is described once", f"setting {key}", "remove the second one")
    for key, setting in known.items():
        given = account.secrets if setting.secret else account.settings
        if setting.required and key not in given:
            kind = "secrets" if setting.secret else "settings"
            yield Finding(
                "the test account is complete",
                f"{kind} lack {key}",
                "give it in the simulator's account(), or mark the setting required = false",
            )
        if setting.default and setting.choices and setting.default not in setting.choices:
            where = f"setting {key}: default {setting.default!r}"
            yield Finding("a default is one of the choices", where, "add it to choices")
    for key in (*account.settings, *account.secrets):
        if key not in known:
            yield Finding(
                "accounts have described keys only",
                f"the test account has {key}",
                "describe it as a [[setting]]",
            )


def _services(manifest: Manifest) -> Iterator[Finding]:
    for (code, level), count in Counter((s.code, s.level) for s in manifest.service).items():
        if count > 1:
            where = f"service {code} at level {level}"
            yield Finding("a service is listed once per level", where, "merge the entries")
    for service in manifest.service:
        if service.max_weight_g <= 0 or not service.temperatures:
            where = f"service {service.code}"
            remedy = "give max_weight_g above 0 and at least one temperature"
            yield Finding("a service can carry something", where, remedy)
    carried = {t for service in manifest.service for t in service.temperatures}
    for option, temperature in _NEEDS_TEMPERATURE.items():
        if (option in manifest.options) != (temperature in carried):
            yield Finding(
                "cold chain options and services agree",
                f"option {option.value}",
                f"list the option exactly when a [[service]] has temperature {temperature.value}",
            )
    if (Option.MULTI_PARCEL in manifest.options) != (manifest.max_parcels > 1):
        yield Finding(
            "multi_parcel and max_parcels agree",
            f"max_parcels = {manifest.max_parcels}",
            "list the option multi_parcel exactly when max_parcels is above 1",
        )


def _limits(manifest: Manifest) -> Iterator[Finding]:
    for operation, limit in manifest.limits.items():
        for key in ("batch", "burst", "concurrency", "timeout_s", "rate_per_s"):
            value = getattr(limit, key)
            if value is not None and value <= 0:
                where = f"limits.{operation}.{key} = {value}"
                yield Finding("limits are above 0", where, "write the carrier's limit or leave it out")


def _required_fields(manifest: Manifest) -> Iterator[Finding]:
    for path in manifest.required_fields:
        if not is_field(Booking, path):
            yield Finding(
                "required fields are fields of a booking",
                f"required_fields has {path!r}",
                "write a path such as recipient.address.district or parcels.weight_g",
            )


def is_field(shape: type, path: str) -> bool:
    """Whether a dotted path leads to a field below a struct; tuples are passed through."""
    current: typing.Any = shape
    for name in path.split("."):
        current = _element(current)
        if not (isinstance(current, type) and issubclass(current, msgspec.Struct)):
            return False
        hints = typing.get_type_hints(current)
        if name not in hints:
            return False
        current = hints[name]
    return True


def _element(hint: typing.Any) -> typing.Any:
    """The struct inside `tuple[X, ...]` or `X | None`."""
    arguments = [a for a in typing.get_args(hint) if a not in (type(None), ...)]
    return arguments[0] if arguments else hint
