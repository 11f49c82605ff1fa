"""Checks of single values, and the one shape in which every check says what is wrong.

Rules: a violation names the field, what is wrong with it and the remedy; all violations of a value
are reported at once; personal data (names, streets, phone numbers) is never quoted in one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

import msgspec

from engine.core.policy.data.countries import COUNTRY_CODES

NAME_LENGTH_MAX = 100

_COUNTRIES = frozenset(COUNTRY_CODES)
_CN_POSTAL_CODE = re.compile(r"[0-9]{6}")
# Zero-width marks and byte-order marks that spreadsheets leave behind; they print as nothing.
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"))


_BREAKS = re.compile(r"[\r\n\t\v\f]+")
_BROKEN_NUMBER = re.compile(r"[0-9A-Za-z]\s*[\r\n\t\v\f]\s*[0-9A-Za-z]")


class FieldViolation(msgspec.Struct, frozen=True):
    """One thing wrong with one field: path, what is wrong, what to do about it."""

    field: str
    description: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.field}: {self.description}; {self.remedy}"


def prefixed(violations: Iterable[FieldViolation], path: str) -> tuple[FieldViolation, ...]:
    """The same violations seen from further out: `city` under `recipient.address`."""
    return tuple(
        [
            FieldViolation(f"{path}.{found.field}" if found.field else path, found.description, found.remedy)
            for found in violations
        ]
    )


def without_invisible(text: str) -> str:
    """The text without zero-width marks, which would make equal names differ."""
    # None of them is printable to Python, and asking that is far cheaper than looking each character up.
    return text if text.isprintable() else text.translate(_INVISIBLE)


def has_control_characters(text: str) -> bool:
    """Whether line breaks, tabs or other control characters stand in the text (Unicode Cc)."""
    return not text.isprintable() and any(unicodedata.category(char) == "Cc" for char in text)


def check_country_code(code: str, field: str = "country_code") -> tuple[FieldViolation, ...]:
    """ISO 3166-1 alpha-2 in capitals, as every carrier wants it."""
    if code in _COUNTRIES:
        return ()
    if not code.strip():
        return (FieldViolation(field, "is empty", "give two letters of ISO 3166-1, such as CN"),)
    if code.strip().upper() in _COUNTRIES:
        return (FieldViolation(field, "is not in capitals", f"write {code.strip().upper()}"),)
    return (FieldViolation(field, "is no country of ISO 3166-1", "give its alpha-2 code, such as CN, US or JP"),)


def check_postal_code(postal_code: str, country_code: str, field: str = "postal_code") -> tuple[FieldViolation, ...]:
    """Six digits in China when given; other countries' codes are the carrier's to judge."""
    if not postal_code or country_code != "CN" or _CN_POSTAL_CODE.fullmatch(postal_code):
        return ()
    return (FieldViolation(field, "is no Chinese postal code", "give six digits, or leave it empty"),)


def check_name(name: str, field: str = "name") -> tuple[FieldViolation, ...]:
    """A person or company name: not blank, at most 100 characters, no control characters."""
    found = []
    if not without_invisible(name).strip():
        found.append(FieldViolation(field, "is empty", "give the name of the person or company"))
    if len(name) > NAME_LENGTH_MAX:
        found.append(
            FieldViolation(
                field,
                f"has {len(name)} characters, {NAME_LENGTH_MAX} are allowed",
                "shorten it",
            )
        )
    if has_control_characters(name):
        found.append(FieldViolation(field, "holds line breaks, tabs or other control characters", "remove them"))
    return tuple(found)


def clean_street(street: str) -> tuple[str, list[str], list[FieldViolation]]:
    """One line without odd characters, with warnings; a break inside a number or word is refused.

    文化东路77<line break>2号 may be 772号 or 77 and 2号, and a parcel at the wrong house is
    worse than an error.
    """
    text = without_invisible(street).strip()
    if not has_control_characters(text):
        return text, [], []
    if _BROKEN_NUMBER.search(text):
        broken = FieldViolation(
            "street",
            "has a line break or tab inside a number or word",
            "write the street on one line",
        )
        return _BREAKS.sub(" ", text), [], [broken]
    # Chinese needs no space where the line broke, other scripts do.
    text = _BREAKS.sub(" " if text.isascii() else "", text)
    text = "".join(char for char in text if not has_control_characters(char))
    return text, ["street: line breaks and control characters were removed"], []


def check_foreign(country_code: str, city: str, street: str) -> list[FieldViolation]:
    """What an address outside China needs: a known country, a city and a street."""
    found = list(check_country_code(country_code))
    for field, value in (("city", city), ("street", street)):
        if not value.strip():
            found.append(FieldViolation(field, "is empty", f"give the {field} of the address"))
        elif has_control_characters(value):
            found.append(FieldViolation(field, "holds control characters", "remove line breaks and tabs"))
    return found
