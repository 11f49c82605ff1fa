"""Whose number is this? Ranked guesses from the number patterns of the manifests. Pure.

- A guess is never proof. A number that we booked belongs to who booked it, whatever it looks like.
- Every pattern that matches counts, not the first. How much it counts is how many other numbers it refuses: a
  pattern is tried on the number's neighbours, so prefixes weigh and plain digits do not.
- Digits alone are shared by carriers we do not even know: they never make a guess certain.
- A postal number (UPU S10) whose check digit is wrong is nobody's postal number.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from math import log10

import msgspec

from crossdock_sdk.manifest import Manifest

LONGEST_NUMBER = 64

OTHERS_WEIGHT = 5.0
"""The carriers that are not installed: together as likely as five patterns that refuse nothing."""
DIGITS_AT_MOST = 0.7
"""Confidence that digits alone can reach."""
PREFIX_AT_MOST = 0.99
"""Confidence that any number can reach."""

_DIGITS = "0123456789"
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# Parts of one shipment carry index and count behind its number: JDVA00000000000-1-2-, DPK000000000000-1.
_PART = re.compile(r"(?:-[0-9]{1,3}){1,2}-?$")
_S10 = re.compile(r"[A-Z]{2}[0-9]{9}[A-Z]{2}")
_S10_WEIGHTS = (8, 6, 4, 2, 3, 5, 9, 7)


class Guess(msgspec.Struct, frozen=True):
    """A carrier a number may belong to. confidence: 0 to 1, all guesses of a number together below 1."""

    carrier: str
    reason: str
    confidence: float


class _Match(msgspec.Struct, frozen=True):
    carrier: str
    pattern: str
    decades: float
    """How rare the pattern is: of 10**decades numbers of this shape it takes one."""


def recognise(number: str, manifests: Iterable[Manifest]) -> list[Guess]:
    """Carriers the number may belong to, likeliest first, ties by code; empty when it fits none."""
    wanted = normalise(number)
    if not wanted or len(wanted) > LONGEST_NUMBER or not wanted.isascii():
        return []
    matches = [match for manifest in manifests if (match := _best_match(wanted, manifest)) is not None]
    total = sum(10**match.decades for match in matches) + OTHERS_WEIGHT
    ceiling = DIGITS_AT_MOST if wanted.isdigit() else PREFIX_AT_MOST
    guesses = [
        Guess(match.carrier, _reason(wanted, match, matches), round(min(10**match.decades / total, ceiling), 3))
        for match in matches
    ]
    return sorted(guesses, key=lambda guess: (-guess.confidence, guess.carrier))


def normalise(number: str) -> str:
    """The number as patterns expect it: half-width, upper case, no white space, without the index of a part."""
    compact = "".join(unicodedata.normalize("NFKC", number).split()).upper()
    return _PART.sub("", compact)


def _best_match(number: str, manifest: Manifest) -> _Match | None:
    broken_s10 = _is_broken_s10(number)
    found = [
        _Match(manifest.code, one.pattern, _rarity(number, re.compile(one.pattern)))
        for one in manifest.number
        if re.fullmatch(one.pattern, number) and not (broken_s10 and _takes_s10_only(one.pattern, number))
    ]
    return max(found, key=lambda match: (match.decades, match.pattern), default=None)


def _rarity(number: str, pattern: re.Pattern[str]) -> float:
    """Decades by which the pattern narrows numbers of this shape: each place is tried with every other sign."""
    decades = 0.0
    for place, sign in enumerate(number):
        alphabet = _DIGITS if sign in _DIGITS else _LETTERS
        taken = sum(pattern.fullmatch(number[:place] + other + number[place + 1 :]) is not None for other in alphabet)
        decades += log10(len(alphabet) / max(taken, 1))
    return decades


def _reason(number: str, match: _Match, matches: list[_Match]) -> str:
    rivals = [other.carrier for other in matches if other is not match]
    shape = f"{len(number)} digits" if number.isdigit() else f"{len(number)} signs of letters and digits"
    also = f", as do {', '.join(sorted(rivals))}" if rivals else ""
    if number.isdigit():
        return f"{shape} fit {match.pattern}{also}; digits alone prove nothing"
    if _S10.fullmatch(number):
        return f"postal number with a sound check digit fits {match.pattern}{also}"
    return f"{shape} fit {match.pattern}{also}"


def _takes_s10_only(pattern: str, number: str) -> bool:
    """Whether the pattern insists on the country's two letters; a wider one has its own reasons to match."""
    return re.fullmatch(pattern, number[:-2] + "00") is None


def _is_broken_s10(number: str) -> bool:
    """True for a number of the UPU S10 form whose check digit does not hold (weights 8 6 4 2 3 5 9 7, modulo 11)."""
    if not _S10.fullmatch(number):
        return False
    rest = 11 - sum(weight * int(digit) for weight, digit in zip(_S10_WEIGHTS, number[2:10], strict=True)) % 11
    return int(number[10]) != {10: 0, 11: 5}.get(rest, rest)
