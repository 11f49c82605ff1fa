"""Whose number is this: ranked guesses, never certain for digits alone."""

from __future__ import annotations

from typing import Any

import pytest

from crossdock_sdk.manifest import Manifest, Names, NumberPattern
from engine.core.policy.recognition import normalise, recognise


def carrier(code: str, *patterns: str) -> Manifest:
    numbers = tuple(NumberPattern(pattern, ()) for pattern in patterns)
    return Manifest(code, 1, Names(code, code), (), "https://example.com", number=numbers)


CARRIERS = [
    carrier("sf", "SF[0-9]{13}", "[0-9]{12}"),
    carrier("zto", r"7[3-8]\d{12}", "[0-9]{12}"),
    carrier("sto", "77[0-9]{12,13}"),
    carrier("yto", "YT[0-9]{13}"),
    carrier("yunexpress", "YT[0-9]{16}"),
    carrier("ems", "E[A-Z][0-9]{9}CN"),
    carrier("dhl", "[A-Z]{2}[0-9A-Z]{10,39}"),
    carrier("jd", "JD[A-Z]{2}[0-9]{11}"),
]


def carriers(number: str) -> list[str]:
    return [guess.carrier for guess in recognise(number, CARRIERS)]


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("SF1040275268927", ["sf", "dhl"]),
        ("YT1234567890123", ["yto", "dhl"]),
        ("YT1234567890123456", ["yunexpress", "dhl"]),
        ("JDVA00123456789", ["jd", "dhl"]),
        ("444003077898", ["sf", "zto"]),
        ("73100135377958", ["zto"]),
        ("77300135377958", ["sto", "zto"]),
        ("EA473124829CN", ["ems", "dhl"]),
        ("12345", []),
        ("", []),
        ("SF" * 40, []),
        ("٧٣١٠٠١٣٥٣٧٧٩٥٨", []),
    ],
)
def test_number_gets_every_carrier_it_fits(number: Any, expected: Any) -> None:
    """All patterns that match are named, the one that takes the fewest other numbers first."""
    assert carriers(number) == expected


@pytest.mark.parametrize("number", ["444003077898", "73100135377958", "77300135377958"])
def test_digits_alone_are_never_certain(number: Any) -> None:
    """Carriers that are not installed number alike, so plain digits stay a guess."""
    guesses = recognise(number, CARRIERS)

    assert max(guess.confidence for guess in guesses) <= 0.7
    assert all("digits alone prove nothing" in guess.reason for guess in guesses)


def test_pattern_that_refuses_nothing_says_little() -> None:
    """A rule like "any twelve digits" is weak alone and weaker when it is shared."""
    [alone] = recognise("444003077898", CARRIERS[:1])
    shared = recognise("444003077898", CARRIERS[:2])

    assert alone.confidence < 0.2
    assert [guess.confidence < alone.confidence for guess in shared] == [True, True]
    assert "as do zto" in shared[0].reason


def test_prefix_is_near_certain_and_never_proof() -> None:
    """A carrier's own letters decide between patterns, and all confidences together stay below one."""
    guesses = recognise("JDVA00123456789", CARRIERS)

    assert guesses[0].confidence > 0.9
    assert sum(guess.confidence for guess in guesses) < 1


def test_wrong_check_digit_is_no_postal_number() -> None:
    """The S10 pattern is out; a pattern that does not care for the country's letters stands."""
    assert carriers("EA473124828CN") == ["dhl"]
    assert carriers("EA200000011CN") == ["dhl"]


@pytest.mark.parametrize("number", ["EA473124829CN", "EA200000045CN", "EA200000010CN"])
def test_sound_check_digit_is_told(number: Any) -> None:
    """Worked numbers of the UPU standard pass, remainders 0 and 1 included."""
    [first, *_] = recognise(number, CARRIERS)

    assert first.carrier == "ems"
    assert "sound check digit" in first.reason


@pytest.mark.parametrize(
    ("written", "number"),
    [
        (" sf 1040 2752 68927\n", "SF1040275268927"),
        ("７３１００１３５３７７９５８", "73100135377958"),  # as pasted from a full-width input method
        ("JDVA00123456789-1-2-", "JDVA00123456789"),
        ("DPK000000000001-1", "DPK000000000001"),
        ("A-B", "A-B"),
    ],
)
def test_number_is_read_as_people_write_it(written: Any, number: Any) -> None:
    """White space, case, width and the index of a part make no difference."""
    assert normalise(written) == number


def test_order_of_manifests_does_not_matter() -> None:
    """The same number gets the same answer, however the plug-ins were found."""
    assert recognise("77300135377958", CARRIERS) == recognise("77300135377958", CARRIERS[::-1])
