"""Phone numbers as people write them, in the forms carriers take, refused without being shown."""

from __future__ import annotations

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.policy.phone import PhoneResult, carrier_phone, check_phone


@pytest.mark.parametrize(
    "written",
    [
        "19900000000",
        " 199-0000-0000 ",
        "+86 199-0000 0000",
        "0086 199 0000 0000",
        "8619900000000",
        "１９９００００００００",
        "＋86　199　0000　0000",
        "\u200b19900000000\ufeff",
    ],
)
def test_mobile_in_any_dress_is_one_number(written: str) -> None:
    """Full-width digits, calling code, spaces, dashes and invisible marks change nothing."""
    result = check_phone(written, "CN")

    assert (result.e164, result.national) == ("+8619900000000", "19900000000")
    assert result.is_mobile


@pytest.mark.parametrize(
    ("written", "form"),
    [
        ("0755-86010515", "0755-86010515"),
        ("075586010515", "0755-86010515"),
        ("(0755) 8601 0515", "0755-86010515"),
        ("010-62000000", "010-62000000"),
        ("+86 755 8601 0515", "0755-86010515"),
        ("0755-86010515-123", "0755-86010515-123"),
        ("0755-86010515转123", "0755-86010515-123"),
        ("0755-86010515 分机 123", "0755-86010515-123"),
        ("0755-86010515 ext. 123", "0755-86010515-123"),
        ("19912345678转1234", "19912345678-1234"),
        ("19912345678-1234", "19912345678-1234"),
        ("400-820-8820", "400-820-8820"),
        ("4008208820", "400-820-8820"),
    ],
)
def test_carrier_form_of_chinese_numbers(written: str, form: str) -> None:
    """Carriers get mobiles bare, landlines with a dash, and extensions after a dash."""
    result = check_phone(written, "CN")

    assert carrier_phone(result) == form


@pytest.mark.parametrize(
    ("written", "country"),
    [
        ("+12135550027", "US"),
        ("+81355550596", "JP"),
        ("+49305550326", "DE"),
        ("+61255500647", "AU"),
        ("+85291234567", "CN"),
    ],
)
def test_foreign_number_passes_when_possible(written: str, country: str) -> None:
    """Abroad a possible number suffices, and carriers get it in E.164."""
    result = check_phone(written, country)

    assert result.ok
    assert carrier_phone(result) == written


def test_number_without_plus_belongs_to_the_country() -> None:
    """A national number is read by the recipient's country."""
    result = check_phone("03-5555-0596", "JP")

    assert result.e164 == "+81355550596"


@pytest.mark.parametrize("tail", ["0000000", "1234567", "9999999"])
def test_mobile_table_agrees_with_the_library(tail: str) -> None:
    """For every four digits a mobile may begin with, the fast path says what the library says."""
    different = []
    for prefix in range(1300, 2000):
        digits = f"{prefix}{tail}"
        valid = phonenumbers.is_valid_number(phonenumbers.parse(digits, "CN"))
        if check_phone(digits, "CN").ok is not valid:
            different.append(prefix)

    assert different == []


@pytest.mark.parametrize(
    ("written", "description"),
    [
        ("", "is empty"),
        ("   ", "is empty"),
        ("1990000", "has 7 digits, a mobile has 11"),
        ("199000000000", "has 12 digits, a mobile has 11"),
        ("+86 1990000000", "has 10 digits, a mobile has 11"),
        ("15400000000", "begins with 154, which no Chinese mobile does"),
        ("86010515", "has 8 digits: the area code is missing"),
        ("95338", "has 5 digits, a mobile has 11 and a landline 10 to 12"),
        ("张三19900000000", "holds letters or words"),
        ("+999123456", "has no known country calling code"),
    ],
)
def test_refusal_says_what_is_wrong(written: str, description: str) -> None:
    """A refused number is told by its length or first digits, with a remedy."""
    (violation,) = check_phone(written, "CN").violations

    assert (violation.field, violation.description) == ("phone", description)
    assert violation.remedy


@pytest.mark.parametrize("written", ["1996903872", "0571-9387", "19969038724466", "15469038724"])
def test_refusal_never_shows_the_number(written: str) -> None:
    """No more than three digits in a row of the number stand in a message or a repr."""
    result = check_phone(written, "CN")

    shown = repr(result)
    digits = written.replace("-", "")
    assert not result.ok
    assert not any(digits[at : at + 4] in shown for at in range(len(digits) - 3))


def test_accepted_number_stays_out_of_repr() -> None:
    """A result may be logged: its repr holds no digit of the number."""
    shown = repr(check_phone("19912345678", "CN"))

    assert "199" not in shown


@given(text=st.text(max_size=30), country=st.sampled_from(["CN", "US", "HK", "", "xx"]))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_any_text_is_answered(text: str, country: str) -> None:
    """No text raises: it is a number with a carrier form, or it is refused."""
    result = check_phone(text, country)

    assert bool(result.violations) is (result.e164 == "")


def test_refused_number_has_no_carrier_form() -> None:
    """Asking for the form of a refused number is an error of the caller."""
    refused: PhoneResult = check_phone("", "CN")

    with pytest.raises(ValueError, match="refused"):
        carrier_phone(refused)
