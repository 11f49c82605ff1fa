"""Our references: made of an order's id and an attempt's number, and taken apart again."""

from __future__ import annotations

import pytest

from engine.core.policy.references import order_id_of, reference_of
from tests.fakes.rows import ORDER_ID


@pytest.mark.parametrize("number", [1, 12])
def test_a_reference_leads_back_to_its_order(number: int) -> None:
    """Whichever attempt it was."""
    assert order_id_of(reference_of(ORDER_ID, number)) == ORDER_ID


def test_a_reference_keeps_to_letters_digits_and_one_dash() -> None:
    """What every carrier takes."""
    assert reference_of("01a2007c-b5fe-714e-a67e-b7ee438f2e6a", 2) == "01a2007cb5fe714ea67eb7ee438f2e6a-2"


@pytest.mark.parametrize("foreign", ["", "SF1", "SHOP-1", f"{'0' * 32}-x", "0" * 32, f"{'0' * 31}-1"])
def test_what_is_not_our_reference_names_no_order(foreign: str) -> None:
    """Somebody else may book under the same account: theirs stays apart from ours, and from one another."""
    assert order_id_of(foreign) == foreign
