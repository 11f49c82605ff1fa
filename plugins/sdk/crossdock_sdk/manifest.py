"""`carrier.toml`: what a carrier is and can do, as data the engine reads before it loads any of
the code's ideas.

    code = "sf"
    sdk = 1
    operations = ["quote", "book", "find", "cancel", "label"]
    options = ["insured_value", "cash_on_delivery"]
    countries = ["CN"]

    [names]
    en = "SF Express"
    zh = "顺丰速运"

    [[setting]]
    key = "check_word"
    secret = true
    help = "校验码 of the application, from the console"

Unknown keys are errors: a misspelt limit must not be silently ignored.
"""

from __future__ import annotations

import re
import tomllib
from enum import StrEnum
from importlib import resources
from typing import Literal, TypeAlias

import msgspec

from crossdock_sdk.errors import ManifestError
from crossdock_sdk.limits import Limit
from crossdock_sdk.models import Option, ServiceLevel, Temperature

SDK_VERSION = 1

Operation: TypeAlias = Literal[
    "sign_in",
    "quote",
    "book",
    "find",
    "find_by_carrier_order",
    "cancel",
    "label",
    "sort_code",
    "track",
    "subscribe",
    "push",
]


class Repeat(StrEnum):
    """What the carrier does with a second booking under a reference it already knows."""

    REPLAYS = "REPLAYS"
    """Answers the first booking again."""
    REFUSES = "REFUSES"
    """Refuses it as a duplicate: the first stays the only one."""
    BOOKS_AGAIN = "BOOKS_AGAIN"
    """Books twice, or nobody knows. Never repeat blindly."""


class Names(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Display names."""

    en: str
    zh: str


class NumberPattern(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A waybill number format, with examples that prove the pattern."""

    pattern: str
    good: tuple[str, ...]
    bad: tuple[str, ...] = ()
    note: str = ""


class Setting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One key an account of this carrier is configured with."""

    key: str
    help: str
    secret: bool = False
    required: bool = True
    choices: tuple[str, ...] = ()
    default: str = ""


class Service(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A product of the carrier.

    The first that fits a booking's level, temperature and weight is taken.
    """

    code: str
    name: str
    level: ServiceLevel = ServiceLevel.STANDARD
    temperatures: tuple[Temperature, ...] = (Temperature.AMBIENT,)
    max_weight_g: int = 50_000
    freight: bool = False


class BookingFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How bookings behave at this carrier: what recovery may rely on.

    lookup_settles_s: a look-up that finds nothing is proof only when the booking is at least this
    old. lookup_shows_cancelled: false when a look-up cannot tell a cancelled booking from a live
    one, so that only the cancel call itself is proof. confirmed_by_push: an order push may settle
    an unknown outcome.
    """

    repeat: Repeat = Repeat.BOOKS_AGAIN
    lookup_settles_s: float = 30.0
    lookup_shows_cancelled: bool = True
    confirmed_by_push: bool = False


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole `carrier.toml`. See the module's docstring for its shape."""

    code: str
    sdk: int
    names: Names
    operations: tuple[Operation, ...]
    base_url: str
    sandbox_url: str = ""
    countries: tuple[str, ...] = ("CN",)
    options: tuple[Option, ...] = ()
    max_parcels: int = 1
    time_zone: str = "Asia/Shanghai"
    required_fields: tuple[str, ...] = ()
    booking: BookingFacts = BookingFacts()
    number: tuple[NumberPattern, ...] = ()
    setting: tuple[Setting, ...] = ()
    service: tuple[Service, ...] = ()
    limits: dict[str, Limit] = {}

    @classmethod
    def load(cls, package: str) -> Manifest:
        """Read `carrier.toml` beside `package` and check it.

        Raises ManifestError naming the key.
        """
        text = resources.files(package).joinpath("carrier.toml").read_text("utf-8")
        return cls.parse(text, source=f"{package}/carrier.toml")

    @classmethod
    def parse(cls, text: str, *, source: str = "carrier.toml") -> Manifest:
        """Check a manifest's text. Raises ManifestError naming the key and the remedy."""
        try:
            manifest = msgspec.convert(tomllib.loads(text), cls)
        except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
            raise ManifestError(f"{source}: {error}") from error
        problems = list(_problems(manifest))
        if problems:
            raise ManifestError(f"{source}: " + "; ".join(problems))
        return manifest

    def limit(self, operation: str) -> Limit:
        """The operation's limit; the default when the manifest is silent."""
        return self.limits.get(operation, Limit())

    def owns_number(self, number: str) -> bool:
        """True when any of the carrier's number patterns matches the whole of `number`."""
        return any(re.fullmatch(n.pattern, number) for n in self.number)


def _problems(manifest: Manifest) -> list[str]:
    found: list[str] = []
    if manifest.sdk != SDK_VERSION:
        found.append(f"sdk = {manifest.sdk} is not supported; write sdk = {SDK_VERSION}")
    if not re.fullmatch(r"[a-z][a-z0-9_]{1,31}", manifest.code):
        found.append(f"code {manifest.code!r} must be 2 to 32 characters of a-z, 0-9, _")
    for number in manifest.number:
        found += [f"number {n!r} is listed as good but does not match {number.pattern}"
                  for n in number.good if not re.fullmatch(number.pattern, n)]  # fmt: skip
        found += [f"number {n!r} is listed as bad but matches {number.pattern}"
                  for n in number.bad if re.fullmatch(number.pattern, n)]  # fmt: skip
    found += [f"limits.{key} names no operation of this carrier"
              for key in manifest.limits if key not in manifest.operations]  # fmt: skip
    if "book" in manifest.operations and not manifest.service:
        found.append("a carrier that books needs at least one [[service]]")
    return found
