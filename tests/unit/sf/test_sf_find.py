"""Look-up by our reference: built, read, refused; absence is proved, never guessed."""

from __future__ import annotations

from typing import Any

import pytest
from sf_kit import (
    BOOKING,
    SF,
    answer,
    context,
    fields,
    fixture,
    gateway,
    message,
    play,
    refusal,
    refused,
    success,
)

from crossdock_sdk import (
    Absent,
    Booked,
    HttpResponse,
    Pending,
    Refused,
    SideEffect,
)

ORDER = BOOKING.reference
WAYBILL = "SF1990000000017"


def _order(**changes: Any) -> dict[str, Any]:
    order: dict[str, Any] = {
        "orderId": ORDER,
        "filterResult": 2,
        "waybillNoInfoList": [{"waybillType": 1, "waybillNo": WAYBILL}],
    }
    return order | changes


def test_look_up_asks_for_the_forward_order() -> None:
    """A look-up names our reference and search type 1."""
    request = next(SF.find(context(), [ORDER]))

    assert fields(request)["serviceCode"] == "EXP_RECE_SEARCH_ORDER_RESP"
    assert message(request) == {"orderId": ORDER, "searchType": "1", "language": "zh-cn"}


def test_sample_look_up_is_read() -> None:
    """The document's sample, with filterResult as a text, is the booking."""
    outcomes, _ = play(SF.find(context(), [ORDER]), answer(fixture("search.inner.json")))

    assert outcomes == [Booked(ORDER, WAYBILL)]


@pytest.mark.parametrize("code", ["6150", "8018", "8024"])
def test_not_found_is_absent(code: str) -> None:
    """The three "no such order" codes are the answer that nothing is booked."""
    outcomes, _ = play(SF.find(context(), [ORDER]), refusal(code))

    assert outcomes == [Absent(ORDER)]


def test_undecided_and_refused_orders_are_told_apart() -> None:
    """filterResult 1 is pending, 3 is refused, 8037 is void."""
    responses = (
        success(_order(filterResult="1", waybillNoInfoList=None)),
        success(_order(filterResult="3", remark="2", waybillNoInfoList=None)),
        refusal("8037", "已消单"),
    )

    outcomes, _ = play(SF.find(context(), [ORDER] * 3), *responses)

    assert [type(outcome) for outcome in outcomes] == [Pending, Refused, Refused]
    assert isinstance(outcomes[1], Refused)
    assert outcomes[1].reason == "the shipper is outside SF's area"


@pytest.mark.parametrize(
    "response",
    [
        gateway("A1099"),
        refusal("S0003"),
        success(_order(orderId="OTHER")),
        success(_order(filterResult="2", waybillNoInfoList=[])),
        success(None),
        HttpResponse(502, {}, b"<html>"),
    ],
)
def test_unclear_look_up_is_never_absent(response: HttpResponse) -> None:
    """Only the documented codes prove absence; everything else must be asked again."""
    outcomes, _ = play(SF.find(context(), [ORDER]), response)

    assert refused(outcomes[0]).side_effect is SideEffect.UNKNOWN
