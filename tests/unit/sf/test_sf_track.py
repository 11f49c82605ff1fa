"""Route queries and registrations: built, signed, batched by phone ending, read, refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from sf_kit import NOW, SF, answer, change, context, fields, fixture, gateway, message, play, refusal, refused, success

from crossdock_sdk import (
    CarrierError,
    ErrorClass,
    HttpResponse,
    Milestone,
    Place,
    Subscribed,
    Tracked,
    TrackOutcome,
    TrackRequest,
    TrackStatus,
)

NUMBER = "SF1990000000017"
REQUEST = TrackRequest(NUMBER, "0002")
ROW = {"acceptTime": "2026-03-02 15:10:00", "acceptAddress": "杭州市", "remark": "已收取快件", "opCode": "54"}


def numbers(count: int) -> list[str]:
    """Waybill numbers of SF's form."""
    return [f"SF199000000{serial:04d}" for serial in range(count)]


def routes(*items: dict[str, Any]) -> HttpResponse:
    """A successful answer about these items."""
    return success({"routeResps": list(items)})


def item(number: str = NUMBER, *rows: object, **more: object) -> dict[str, Any]:
    """One number's part of an answer."""
    return {"mailNo": number, "routes": list(rows), **more}


def one(response: HttpResponse, request: TrackRequest = REQUEST) -> TrackOutcome:
    """The outcome of a query for one number."""
    outcomes, _ = play(SF.track(context(), [request]), response)
    return outcomes[0]


def tracked(response: HttpResponse) -> Tracked:
    """The outcome, which must be events."""
    outcome = one(response)
    assert isinstance(outcome, Tracked), outcome
    return outcome


def test_query_is_the_documents_sample() -> None:
    """Service code and business object are those of section 4.9."""
    request = next(SF.track(context(), [REQUEST]))

    assert fields(request)["serviceCode"] == "EXP_RECE_SEARCH_ROUTES"
    assert message(request) == msgspec.json.decode(fixture("routes.request.json"))


def test_sample_answer_is_read() -> None:
    """The document's sample gives both events with aware times, places, milestones and their own bytes."""
    found = tracked(answer(fixture("routes.inner.json")))

    first, second = found.events
    assert first.time == datetime(2026, 3, 2, 7, 10, tzinfo=UTC)
    assert (first.code, first.status, first.milestone) == (
        "status:1/101", TrackStatus.PICKED_UP, Milestone.COLLECTED,
    )  # fmt: skip
    assert (second.status, second.milestone) == (TrackStatus.IN_TRANSIT, Milestone.DEPARTED_FACILITY)
    assert (first.place, first.text, first.carrier_event_id) == (Place("杭州市"), "顺丰速运 已收取快件", "")
    assert msgspec.json.decode(first.raw)["opCode"] == "54"


def test_endings_stand_in_the_order_of_the_numbers() -> None:
    """Ten numbers with different endings are one call, its endings separated by commas (trap 12)."""
    asked = [TrackRequest(number, f"{1000 + nth}") for nth, number in enumerate(numbers(10))]

    outcomes, requests = play(SF.track(context(), asked), routes(*[item(n) for n in reversed(numbers(10))]))

    assert message(requests[0])["trackingNumber"] == numbers(10)
    assert message(requests[0])["checkPhoneNo"] == ",".join(f"{1000 + nth}" for nth in range(10))
    assert outcomes == [Tracked(number) for number in numbers(10)]


def test_numbers_without_an_ending_go_in_a_call_without_endings() -> None:
    """Known and unknown endings never share a call, and the outcomes keep the order of the items."""
    a, b, c = numbers(3)
    asked = [TrackRequest(a, "0002"), TrackRequest(b), TrackRequest(c, "0003")]

    outcomes, requests = play(SF.track(context(), asked), routes(item(c), item(a)), routes(item(b)))

    assert [message(r)["trackingNumber"] for r in requests] == [[a, c], [b]]
    assert message(requests[0])["checkPhoneNo"] == "0002,0003"
    assert "checkPhoneNo" not in message(requests[1])
    assert len({fields(r)["requestID"] for r in requests}) == 2
    assert outcomes == [Tracked(a), Tracked(b), Tracked(c)]


def test_number_asked_twice_is_sent_once() -> None:
    """Equal items share their outcome; with another ending the number gets a call of its own."""
    twice, other = TrackRequest(NUMBER, "0002"), TrackRequest(NUMBER, "0003")

    outcomes, requests = play(SF.track(context(), [twice, twice, other]), routes(item(NUMBER, ROW)), routes(item()))

    assert [message(r)["checkPhoneNo"] for r in requests] == ["0002", "0003"]
    assert [len(o.events) for o in outcomes if isinstance(o, Tracked)] == [1, 1, 0]


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (TrackRequest("12345"), "waybill_number"),
        (TrackRequest("SF1990000000017,SF1990000000018"), "waybill_number"),
        (TrackRequest(NUMBER, "002"), "phone_tail"),
        (TrackRequest(NUMBER, "1,02"), "phone_tail"),
    ],
)
def test_odd_item_is_refused_here_and_not_sent(request_: TrackRequest, field: str) -> None:
    """A number or ending of a wrong form would spoil the call for the others, so only they are asked for."""
    outcomes, requests = play(SF.track(context(), [request_, REQUEST]), routes(item()))

    error = refused(outcomes[0])
    assert (error.error_class, error.field) == (ErrorClass.INVALID_REQUEST, field)
    assert message(requests[0])["trackingNumber"] == [NUMBER]
    assert outcomes[1] == Tracked(NUMBER)


@pytest.mark.parametrize(
    "response", [routes(item()), routes(item(reasonCode="8018")), refusal("8018"), refusal("6150")]
)
def test_nothing_known_is_tracked_without_events(response: HttpResponse) -> None:
    """Empty routes and "nothing known" are no refusals."""
    assert one(response) == Tracked(NUMBER)


def test_refused_number_is_nobody_elses_trouble() -> None:
    """A reasonCode beside empty routes is that number's error, with the class of the table."""
    a, b = numbers(2)
    bad = item(a, reasonCode="20028", reasonRemark="月结卡号不匹配 13800000002")

    outcomes, _ = play(SF.track(context(), [TrackRequest(a), TrackRequest(b)]), routes(bad, item(b, ROW)))

    error = refused(outcomes[0])
    assert (error.error_class, error.code) == (ErrorClass.AUTH, "20028")
    assert "13800000002" not in str(error)
    assert isinstance(outcomes[1], Tracked)


@pytest.mark.parametrize(
    ("response", "error_class"),
    [
        (refusal("8003"), ErrorClass.INVALID_REQUEST),
        (refusal("8013"), ErrorClass.INVALID_REQUEST),
        (refusal("6130"), ErrorClass.INVALID_REQUEST),
        (refusal("20028"), ErrorClass.AUTH),
        (gateway("A1004"), ErrorClass.AUTH),
        (gateway("A1005"), ErrorClass.RATE_LIMITED),
        (gateway("A1099"), ErrorClass.TEMPORARY),
        (routes(item(reasonCode="4711")), ErrorClass.TEMPORARY),
        (routes(item("SF1990000000099", ROW)), ErrorClass.TEMPORARY),
        (success({}), ErrorClass.TEMPORARY),
        (success(None), ErrorClass.TEMPORARY),
        (routes({"mailNo": NUMBER, "routes": "none"}), ErrorClass.TEMPORARY),
        (HttpResponse(502, {}, b"<html>"), ErrorClass.TEMPORARY),
    ],
)
def test_refused_or_unclear_answer_is_an_error(response: HttpResponse, error_class: ErrorClass) -> None:
    """Refusals have their class; an answer without our number says nothing about it."""
    assert refused(one(response)).error_class is error_class


def test_refused_call_is_the_outcome_of_its_own_numbers_only() -> None:
    """The call without endings fails, the one with endings stands."""
    a, b = numbers(2)

    outcomes, _ = play(
        SF.track(context(), [TrackRequest(a), TrackRequest(b, "0002")]), refusal("20028"), routes(item(b, ROW))
    )

    assert isinstance(outcomes[0], CarrierError)
    assert isinstance(outcomes[1], Tracked)


def test_events_come_oldest_first_whatever_the_answers_order() -> None:
    """SF prints oldest first and promises nothing."""
    late = ROW | {"acceptTime": "2026-03-04 11:40:00", "opCode": "80"}

    found = tracked(routes(item(NUMBER, late, ROW)))

    assert [event.code for event in found.events] == ["op:54", "op:80"]


@pytest.mark.parametrize(
    "bad",
    [
        {"opCode": "54"},
        ROW | {"acceptTime": "soon"},
        ROW | {"acceptTime": "0001-01-01 00:00:00"},
        ROW | {"remark": 5},
        "text",
        None,
    ],
)
def test_unreadable_row_is_set_aside(bad: object) -> None:
    """It is kept with its bytes and without a status; the other rows are read."""
    first, second = (tracked(routes(item(NUMBER, bad, ROW))).events for _ in range(2))

    by_code = {event.code: event for event in first}
    odd = by_code["unreadable"]
    assert (odd.status, odd.known, odd.time, odd.waybill_number) == (None, False, NOW, NUMBER)
    assert msgspec.json.decode(odd.raw) == bad
    assert by_code["op:54"].status is TrackStatus.PICKED_UP
    assert first == second


def test_numeric_codes_are_read_as_well() -> None:
    """Codes are compared as text, since SF changes between texts and numbers."""
    row = ROW | {"opCode": 36, "firstStatusCode": 2, "secondaryStatusCode": 201, "reasonCode": None}

    (event,) = tracked(routes(item(NUMBER, row))).events

    assert (event.code, event.milestone) == ("status:2/201", Milestone.DEPARTED_FACILITY)


@pytest.mark.parametrize(
    ("remark", "new"),
    [
        ("快件已退回，新单号为：SF1990000000025", "SF1990000000025"),
        ("SF1990000000017 已退回，新单号SF1990000000025。", "SF1990000000025"),
        ("已退回，新单号444003077898", "444003077898"),
        ("已退回，单号SF1990000000025或SF1990000000033", ""),
        ("已退回，请致电13800000002", ""),
    ],
)
def test_new_number_is_read_from_the_text_of_648(remark: str, new: str) -> None:
    """The one other waybill number in the text; none when it is not one."""
    rows = [ROW | {"opCode": code, "remark": remark} for code in ("648", "36")]

    events = tracked(routes(item(NUMBER, *rows))).events

    assert [event.new_waybill_number for event in events] == [new, ""]


def test_registration_is_the_documents_sample() -> None:
    """A foreign waybill is registered by its number and phone ending, each in a call of its own."""
    outcomes, requests = play(SF.subscribe(context(), [REQUEST, REQUEST]), success(None), success({}))

    assert outcomes == [Subscribed(NUMBER)] * 2
    assert fields(requests[0])["serviceCode"] == "EXP_RECE_REGISTER_ROUTE"
    assert message(requests[0]) == {
        "type": "2", "attributeNo": NUMBER, "checkPhoneNo": "0002", "orderId": "", "language": "zh-CN",
        "country": "CN", "clientIp": "",
    }  # fmt: skip


def test_refused_registration_is_that_numbers_error() -> None:
    """A refusal, and a number of a wrong form that is not sent, leave the others subscribed."""
    asked = [REQUEST, TrackRequest("x"), change(REQUEST, phone_tail="")]

    outcomes, requests = play(SF.subscribe(context(), asked), refusal("8196"), success({}))

    assert refused(outcomes[0]).error_class is ErrorClass.INVALID_REQUEST
    assert refused(outcomes[1]).field == "waybill_number"
    assert outcomes[2] == Subscribed(NUMBER)
    assert len(requests) == 2
