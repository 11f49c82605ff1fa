"""Cancelling and quoting: built, signed, read, refused."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from sf_kit import (
    CHECK_WORD,
    NOW,
    PARCEL,
    RECIPIENT,
    SF,
    SHIPPER,
    TIMESTAMP,
    answer,
    change,
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
    Address,
    Cancellation,
    Cancelled,
    CancelOutcome,
    ErrorClass,
    HttpResponse,
    Lane,
    Money,
    Parcel,
    Quote,
    QuoteOutcome,
    SideEffect,
)
from crossdock_sf import wire

CANCELLATION = Cancellation("DEMO-1", "SF1990000000017")
LANE = Lane(SHIPPER, RECIPIENT, (PARCEL,), "2")


def _cancel(response: HttpResponse) -> CancelOutcome:
    outcomes, _ = play(SF.cancel(context(), [CANCELLATION]), response)
    return outcomes[0]


def _quote(response: HttpResponse) -> QuoteOutcome:
    outcomes, _ = play(SF.quote(context(), [LANE]), response)
    return outcomes[0]


def _offers(**changes: Any) -> HttpResponse:
    offer = {"businessType": "2", "deliverTime": "2026-03-04 12:00:00", "fee": 23}
    return success({"deliverTmDto": [offer | changes]})


def test_cancel_says_so_explicitly() -> None:
    """dealType is always written: left out it would confirm the order."""
    request = next(SF.cancel(context(), [CANCELLATION]))

    assert fields(request)["serviceCode"] == "EXP_RECE_UPDATE_ORDER"
    assert message(request) == {"orderId": "DEMO-1", "dealType": 2}


@pytest.mark.parametrize("status", [2, "2"])
def test_done_is_cancelled(status: object) -> None:
    """resStatus 2 is success."""
    assert _cancel(success({"orderId": "DEMO-1", "resStatus": status})) == Cancelled("DEMO-1")


def test_already_cancelled_is_success() -> None:
    """8037 means that an earlier cancel has succeeded."""
    assert _cancel(refusal("8037", "已消单")) == Cancelled("DEMO-1")


@pytest.mark.parametrize("code", ["8019", "8252", "8253"])
def test_ambiguous_cancel_must_be_looked_up(code: str) -> None:
    """ "Confirmed or cancelled" leaves open which, so the effect is unknown."""
    error = refused(_cancel(refusal(code)))

    assert (error.error_class, error.side_effect) == (ErrorClass.PERMANENT, SideEffect.UNKNOWN)


def test_order_that_sf_does_not_know_is_not_found() -> None:
    """8024 on a cancel is NOT_FOUND: there is nothing to void."""
    error = refused(_cancel(refusal("8024")))

    assert (error.error_class, error.side_effect) == (ErrorClass.NOT_FOUND, SideEffect.NONE)


def test_mismatch_is_a_refusal() -> None:
    """resStatus 1 says that order and waybill do not match; nothing was cancelled."""
    error = refused(_cancel(success({"orderId": "DEMO-1", "resStatus": 1})))

    assert (error.error_class, error.side_effect) == (ErrorClass.INVALID_REQUEST, SideEffect.NONE)


@pytest.mark.parametrize(
    "data",
    [
        {"orderId": "DEMO-2", "resStatus": 2},
        {"resStatus": 2},
        {"orderId": "DEMO-1"},
        {"orderId": "DEMO-1", "resStatus": 3},
        {"orderId": "DEMO-1", "resStatus": [2]},
        None,
    ],
)
def test_cancel_answer_that_does_not_add_up_is_unknown(data: Any) -> None:
    """An answer about another order, or without a clear status, proves no cancel."""
    assert refused(_cancel(success(data))).side_effect is SideEffect.UNKNOWN


def test_quote_is_built_as_in_the_sample() -> None:
    """A quote has the fields of the document's sample, times in Beijing."""
    sample = msgspec.json.decode(fixture("quote.request.json"), type=dict[str, Any])
    street = {"shipper": "文三路1号样例大厦", "recipient": "天府大道2号样例小区"}
    lane = change(
        LANE,
        shipper=change(SHIPPER, address=change(SHIPPER.address, street=street["shipper"])),
        recipient=change(RECIPIENT, address=change(RECIPIENT.address, street=street["recipient"])),
    )
    ten_oclock = datetime(2026, 3, 2, 10, tzinfo=ZoneInfo("Asia/Shanghai"))

    body = message(next(SF.quote(context(now=ten_oclock), [lane])))

    assert body == sample


def test_quote_is_signed_over_the_text_that_is_sent() -> None:
    """The digest of a quote fits its own text."""
    sent = fields(next(SF.quote(context(), [LANE])))

    assert sent["serviceCode"] == "EXP_RECE_QUERY_DELIVERTM"
    assert sent["msgDigest"] == wire.digest("standard_md5", sent["msgData"], TIMESTAMP, CHECK_WORD)


@pytest.mark.parametrize("name", ["北京", "上海", "天津", "重庆"])
def test_municipality_is_a_province_without_its_suffix(name: str) -> None:
    """The document wants 北京 as the province of a municipality and leaves the city alone."""
    place = Address("CN", f"{name}市", f"{name}市", "样例区", "", "1号")

    body = message(next(SF.quote(context(), [change(LANE, shipper=change(SHIPPER, address=place))])))

    assert (body["srcAddress"]["province"], body["srcAddress"]["city"]) == (name, f"{name}市")


def test_light_parcel_still_weighs_something() -> None:
    """Weight must be above zero at two decimals; an unknown weight is left out."""
    light = message(next(SF.quote(context(), [change(LANE, parcels=(Parcel(4),))])))
    unknown = message(next(SF.quote(context(), [change(LANE, parcels=(Parcel(0),))])))

    assert light["weight"] == 0.01
    assert "weight" not in unknown


def test_sample_quote_is_read() -> None:
    """The document's sample is a price in fen and a promise at noon in Beijing."""
    noon = datetime(2026, 3, 4, 12, tzinfo=ZoneInfo("Asia/Shanghai"))

    outcome = _quote(answer(fixture("quote.inner.json")))

    assert outcome == (Quote("2", Money("CNY", 2300), int((noon - NOW).total_seconds()), noon),)


@pytest.mark.parametrize(
    ("fee", "minor_units"),
    [(23.1, 2310), (0.07, 7), (1023.55, 102355), (9.995, 1000), (0, 0), (None, None)],
)
def test_fee_is_read_without_a_float(fee: float | None, minor_units: int | None) -> None:
    """A fee becomes exact fen; no fee stays no fee."""
    outcome = _quote(_offers(fee=fee))

    assert isinstance(outcome, tuple)
    assert outcome[0].freight == (None if minor_units is None else Money("CNY", minor_units))


@pytest.mark.parametrize("fee", [b"-1", b"1e9999999", b"1e300", b"1e7"])
def test_absurd_fee_is_no_price(fee: bytes) -> None:
    """A negative or astronomical price is an answer that cannot be understood."""
    error = refused(_quote(_offers(fee=msgspec.Raw(fee))))

    assert error.error_class is ErrorClass.TEMPORARY


def test_window_promises_its_end_and_odd_text_nothing() -> None:
    """Of `start,end` the end is the promise; a text of another form leaves the arrival open."""
    window = _quote(_offers(deliverTime="2026-03-04 12:00:00,2026-03-04 18:00:00"))
    odd = _quote(_offers(deliverTime="two days"))

    assert isinstance(window, tuple)
    assert isinstance(odd, tuple)
    assert window[0].deliver_by_time is not None
    assert window[0].deliver_by_time.utcoffset() == timedelta(hours=8)
    assert window[0].deliver_by_time.hour == 18
    assert (odd[0].deliver_by_time, odd[0].transit_s) == (None, None)


@pytest.mark.parametrize("data", [{"deliverTmDto": []}, {"deliverTmDto": None}, {}])
def test_lane_without_offers_is_no_service(data: dict[str, Any]) -> None:
    """No product on the lane is a refusal, not an empty price list."""
    assert refused(_quote(success(data))).error_class is ErrorClass.NO_SERVICE


def test_quote_refusals_keep_their_class() -> None:
    """Business and gateway refusals of a quote come through per lane."""
    outcomes, _ = play(SF.quote(context(), [LANE, LANE]), refusal("20036"), gateway("A1005"))

    assert [refused(outcome).error_class for outcome in outcomes] == [
        ErrorClass.NO_SERVICE,
        ErrorClass.RATE_LIMITED,
    ]
