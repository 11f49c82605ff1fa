"""Reads a phone number as people type it and says in which form carriers can dial it.

Rules:
- China: a number must be a valid mobile, landline with area code or 400/800 number. Abroad a
  possible number suffices, for numbering plans change faster than our data.
- A Chinese mobile, nine tenths of all numbers, is decided by a prefix table and not by the library;
  a test holds both to the same answer.
- Numbers are personal data: no repr shows one, and a message shows three digits at most.
"""

from __future__ import annotations

import re
import unicodedata

import msgspec
import phonenumbers
from phonenumbers import (
    NumberParseException,
    PhoneNumber,
    PhoneNumberFormat,
    PhoneNumberType,
)

from engine.core.policy.data.countries import COUNTRY_CODES
from engine.core.policy.fields import FieldViolation, without_invisible

_FIELD = "phone"
_EMPTY_REMEDY = "give the recipient's mobile (11 digits) or landline with area code"
_REMEDY_CN = "give a mobile (11 digits) or a landline with area code, such as 0755-12345678"
_REMEDY_ABROAD = "give it with + and the country calling code"

_COUNTRIES = frozenset(COUNTRY_CODES)
_PUNCTUATION = str.maketrans("", "", " \t\r\n-()./·‐‑‒–—−")
# Prefixes in use, as the library's mobile pattern for CN has them; 1610 and 1740 to 1745 are left
# to the library, for there a fourth digit decides.
_CN_MOBILE = re.compile(r"(?:\+86|0086|86)?(1(?:[38][0-9]|4[57]|[59][0-35-9]|6[25-7]|7[0-35-8])[0-9]{8})")
# 0755-86010515-123, 0755-86010515转123, 19912345678转1234 (a shop platform's privacy number).
_EXTENSION = re.compile(
    r"(?P<number>.+?)(?:\s*(?:转|分机|ext\.?|x|#|,)\s*:?\s*|(?<=[0-9]{7})\s*-\s*)"
    r"(?P<extension>[0-9]{1,6})",
    re.IGNORECASE,
)
_LETTERS = re.compile(r"[^\W\d_]")
_MOBILE_TYPES = frozenset((PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE))


class PhoneResult(msgspec.Struct, frozen=True, kw_only=True):
    """A number in its forms, or what is wrong with it; the field path is `phone`.

    e164: +8619900000000. national: as dialled inside the country (19900000000,
    0755-86010515, 400-820-8820). extension: digits after the number, "" if none.
    """

    e164: str = ""
    national: str = ""
    extension: str = ""
    country_calling_code: int = 0
    is_mobile: bool = False
    violations: tuple[FieldViolation, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the number can be dialled."""
        return not self.violations

    def __repr__(self) -> str:
        return f"PhoneResult(***, is_mobile={self.is_mobile}, violations={self.violations})"


def check_phone(text: str, country_code: str = "CN") -> PhoneResult:
    """Read one number; `country_code` (ISO 3166-1 alpha-2) says whose a number without + is."""
    written = without_invisible(unicodedata.normalize("NFKC", text)).strip()
    if not written:
        return _refused("is empty", _EMPTY_REMEDY)
    if country_code == "CN" or written.startswith(("+86", "0086")):
        mobile = _CN_MOBILE.fullmatch(written.translate(_PUNCTUATION))
        if mobile:
            return _cn_mobile(mobile.group(1), "")
    number, extension = _split_extension(written)
    if extension:
        mobile = _CN_MOBILE.fullmatch(number.translate(_PUNCTUATION))
        if mobile and country_code == "CN":
            return _cn_mobile(mobile.group(1), extension)
    return _read_by_library(number, extension, country_code)


def carrier_phone(result: PhoneResult) -> str:
    """The form Chinese carriers take: 11 digits, or landline with dash; E.164 for foreign numbers.

    An extension follows after a dash, for without it a privacy number or switchboard is useless.
    Raises ValueError when the number was refused.
    """
    if not result.ok:
        raise ValueError("the phone number was refused; correct it before asking for a carrier form")
    number = result.national if result.country_calling_code == 86 else result.e164
    return f"{number}-{result.extension}" if result.extension else number


def _cn_mobile(digits: str, extension: str) -> PhoneResult:
    return PhoneResult(
        e164="+86" + digits,
        national=digits,
        extension=extension,
        country_calling_code=86,
        is_mobile=True,
    )


def _split_extension(written: str) -> tuple[str, str]:
    match = _EXTENSION.fullmatch(written)
    return (match["number"], match["extension"]) if match else (written, "")


def _read_by_library(number: str, extension: str, country_code: str) -> PhoneResult:
    if country_code == "CN" and number.startswith("0086"):
        number = "+" + number[2:]
    if _LETTERS.search(number):
        return _refused("holds letters or words", "give digits only")
    try:
        parsed = phonenumbers.parse(number, country_code if country_code in _COUNTRIES else None)
    except NumberParseException as error:
        return _unreadable(number, country_code, error.error_type)
    if parsed.country_code == 86:
        if not phonenumbers.is_valid_number(parsed):
            return _wrong_cn(number)
    elif not phonenumbers.is_possible_number(parsed):
        return _refused(
            f"has {_digit_count(number)} digits, which no number of that country has",
            _REMEDY_ABROAD,
        )
    return PhoneResult(
        e164=phonenumbers.format_number(parsed, PhoneNumberFormat.E164),
        national=_national(parsed),
        extension=extension,
        country_calling_code=parsed.country_code or 0,
        is_mobile=phonenumbers.number_type(parsed) in _MOBILE_TYPES,
    )


def _national(parsed: PhoneNumber) -> str:
    """0755-86010515 for China (area code, dash, subscriber); the library's own form elsewhere."""
    grouped = phonenumbers.format_number(parsed, PhoneNumberFormat.NATIONAL)
    if parsed.country_code != 86:
        return grouped
    kind = phonenumbers.number_type(parsed)
    if kind in _MOBILE_TYPES:
        return grouped.replace(" ", "")
    if kind == PhoneNumberType.FIXED_LINE:
        area, _, subscriber = grouped.partition(" ")
        return f"{area}-{subscriber.replace(' ', '')}"
    return grouped.replace(" ", "-")


def _unreadable(number: str, country_code: str, kind: int) -> PhoneResult:
    if kind == NumberParseException.INVALID_COUNTRY_CODE:
        return _refused("has no known country calling code", _REMEDY_ABROAD)
    if country_code == "CN":
        return _wrong_cn(number)
    return _refused(f"has {_digit_count(number)} digits and is no phone number", _REMEDY_ABROAD)


def _wrong_cn(number: str) -> PhoneResult:
    """What is wrong with a number that should be Chinese, by first digits and length."""
    digits = re.sub(r"\D", "", number)
    if number.startswith("+") or digits.startswith("0086"):
        digits = digits.removeprefix("00").removeprefix("86")
    count = len(digits)
    if digits.startswith("1") and not digits.startswith("10"):
        if count != 11:
            return _refused(f"has {count} digits, a mobile has 11", _REMEDY_CN)
        return _refused(f"begins with {digits[:3]}, which no Chinese mobile does", _REMEDY_CN)
    if digits.startswith("0"):
        return _refused(
            f"is no landline: it has {count} digits with its area code, 10 to 12 are needed"
            if not 10 <= count <= 12
            else f"begins with {digits[:3]} and is no landline of that area",
            _REMEDY_CN,
        )
    if count in (7, 8):
        return _refused(f"has {count} digits: the area code is missing", _REMEDY_CN)
    return _refused(f"has {count} digits, a mobile has 11 and a landline 10 to 12", _REMEDY_CN)


def _digit_count(number: str) -> int:
    return sum(char.isdigit() for char in number)


def _refused(description: str, remedy: str) -> PhoneResult:
    return PhoneResult(violations=(FieldViolation(_FIELD, description, remedy),))
