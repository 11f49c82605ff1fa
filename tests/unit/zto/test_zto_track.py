"""Track query and subscription: built, signed, read, refused; every code of the query's vocabulary."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from crossdock_sdk import (
    Account,
    CarrierError,
    ErrorClass,
    Milestone,
    Place,
    SideEffect,
    Subscribed,
    Tracked,
    TrackEvent,
    TrackRequest,
    TrackStatus,
)
from crossdock_zto import track
from crossdock_zto.carrier import Zto
from crossdock_zto.track_codes import ACTIONS, SCANS

NUMBER = "75400001234567"
WANTED = TrackRequest(NUMBER, "2222")
AT_MS = 1772360400000

# Every row of the sheet's section 6, first table: word, text, status, milestone.
QUERY_ROWS = [
    ("收件", "", "PICKED_UP", "COLLECTED"),
    ("1", "", "PICKED_UP", "COLLECTED"),
    ("发件", "", "IN_TRANSIT", "DEPARTED_FACILITY"),
    ("2", "", "IN_TRANSIT", "DEPARTED_FACILITY"),
    ("到件", "", "IN_TRANSIT", "ARRIVED_AT_FACILITY"),
    ("3", "", "IN_TRANSIT", "ARRIVED_AT_FACILITY"),
    ("派件", "", "OUT_FOR_DELIVERY", "OUT_FOR_DELIVERY"),
    ("4", "", "OUT_FOR_DELIVERY", "OUT_FOR_DELIVERY"),
    ("签收", "", "DELIVERED", "SIGNED_BY_RECIPIENT"),
    ("5", "", "DELIVERED", "SIGNED_BY_RECIPIENT"),
    ("第三方签收", "", "DELIVERED", "SIGNED_BY_AGENT"),
    ("7", "", "DELIVERED", "SIGNED_BY_AGENT"),
    ("退件", "", "RETURNING", "RETURN_STARTED"),
    ("8", "", "RETURNING", "RETURN_STARTED"),
    ("退件签收", "", "RETURNED", "RETURN_COMPLETED"),
    ("问题件", "收件人拒收", "EXCEPTION", ""),
    ("事件", "", "EXCEPTION", ""),
    ("转单", "", "IN_TRANSIT", "FORWARDED"),
    ("9", "", "IN_TRANSIT", "FORWARDED"),
    ("安检", "", "IN_TRANSIT", ""),
    ("ARRIVAL", "已存放至样例驿站", "AVAILABLE_FOR_COLLECTION", "AT_STATION"),
    ("ARRIVAL", "已存放至样例快递柜", "AVAILABLE_FOR_COLLECTION", "AT_LOCKER"),
    ("44", "已存放至样例服务部柜台", "AVAILABLE_FOR_COLLECTION", "AT_STATION"),
    ("44", "已存放至丰巢", "AVAILABLE_FOR_COLLECTION", "AT_LOCKER"),
    ("SIGNED", "", "DELIVERED", "SIGNED_BY_RECIPIENT"),
    ("DELIVERY", "", "OUT_FOR_DELIVERY", "OUT_FOR_DELIVERY"),
    ("DEPARTURE", "", "EXCEPTION", ""),
    ("45", "", "OUT_FOR_DELIVERY", ""),
]


def answered(*rows: Any) -> bytes:
    """A track query's answer with these rows."""
    return msgspec.json.encode({"result": rows, "message": "请求成功", "status": True, "statusCode": "SYS000"})


def row(**facts: Any) -> dict[str, Any]:
    """One scan; None leaves a field out."""
    base = {"billCode": NUMBER, "scanType": "到件", "scanDate": AT_MS, "desc": "【成都市】到达"}
    return {k: v for k, v in (base | facts).items() if v is not None}


def read(kit: Any, *rows: Any) -> tuple[TrackEvent, ...]:
    """The events of an answer that is understood."""
    outcome = track.read(NUMBER, kit.answer(answered(*rows)), kit.now)
    assert isinstance(outcome, Tracked)
    return outcome.events


def test_query_is_the_sheets_and_signed(zto: Zto, account: Account, kit: Any) -> None:
    """Number and phone tail are sent exactly as the vector of section 3, under its digest."""
    _, [request] = kit.play(zto.track(kit.context(account), [WANTED]), kit.recorded("track_query.response.json"))

    assert request.url == "https://japi.zto.com/zto.merchant.waybill.track.query"
    assert request.body == kit.text("track_query.request.json")
    assert request.headers["x-dataDigest"] == "xRl0cWuhGmtddaFwc8F+xA=="


def test_query_without_a_tail_leaves_the_field_out(account: Account) -> None:
    """A bound account's parcel needs no phone."""
    request = track.build(account, track.QUERY_API, TrackRequest(NUMBER))

    assert request.body == b'{"billCode":"75400001234567"}'


def test_answer_of_the_sheet_is_read(zto: Zto, account: Account, kit: Any) -> None:
    """The sample of section 4.8 becomes one event with time, place, courier and its own bytes."""
    answer = kit.recorded("track_query.response.json")

    [outcome], _ = kit.play(zto.track(kit.context(account), [WANTED]), answer)

    [event] = outcome.events
    assert event == TrackEvent(
        NUMBER,
        datetime(2026, 3, 1, 10, 20, tzinfo=UTC),
        "scan:收件",
        "【杭州西湖】已揽收",
        TrackStatus.PICKED_UP,
        Milestone.COLLECTED,
        place=Place("杭州市", "杭州西湖"),
        courier_name="周师傅",
        raw=event.raw,
    )
    assert event.raw in answer.body
    assert event.raw.startswith(b'{"billCode"')


@pytest.mark.parametrize(("word", "text", "status", "milestone"), QUERY_ROWS)
def test_scan_type_means_what_the_sheet_says(kit: Any, word: str, text: str, status: str, milestone: str) -> None:
    """Each word of the three name spaces has its status and milestone."""
    [event] = read(kit, row(scanType=word, desc=text))

    assert (event.status, event.milestone, event.known) == (TrackStatus(status), Milestone(milestone), True)


def test_every_row_of_the_table_is_tested() -> None:
    """The table holds what the sheet lists, nothing more."""
    listed = {f"scan:{word}" for word, *_ in QUERY_ROWS} | {"scan:ARRIVAL/柜", "scan:44/柜"}

    assert set(SCANS.rows) == listed
    assert SCANS.version == ACTIONS.version == Zto.mapping_version


def test_numbers_of_the_name_space_may_be_numbers(kit: Any) -> None:
    """A scanType of 4 is the scanType "4"."""
    [event] = read(kit, row(scanType=4))

    assert (event.code, event.status) == ("scan:4", TrackStatus.OUT_FOR_DELIVERY)


@pytest.mark.parametrize(
    "word", ["6", "GOT", "签收人", "问题", "arrival", "中转", "退件 签收", "x" * 5_000, None, True, []]
)
def test_unknown_scan_type_is_kept_and_never_guessed(kit: Any, word: object) -> None:
    """A word that is not in the table has no status, however much it resembles one."""
    [event] = read(kit, row(scanType=word))

    assert (event.status, event.milestone, event.known) == (None, Milestone.NONE, False)
    assert event.code.startswith("scan:")
    assert len(event.code) < 100


def test_locker_named_by_the_site_counts(kit: Any) -> None:
    """The locker may stand in the facility's name instead of the text."""
    [event] = read(kit, row(scanType="ARRIVAL", desc="已入库", scanSite={"name": "样例小区自提柜", "city": "成都市"}))

    assert (event.code, event.milestone) == ("scan:ARRIVAL/柜", Milestone.AT_LOCKER)


def test_locker_words_change_nothing_elsewhere(kit: Any) -> None:
    """Words choose between two rows of one code, they never move a status."""
    [event] = read(kit, row(scanType="派件", desc="派往快递柜，已签收"))

    assert (event.code, event.status) == ("scan:派件", TrackStatus.OUT_FOR_DELIVERY)


def test_whoever_scans_inside_a_facility_is_no_courier(kit: Any) -> None:
    """operateUser is the courier at collection and delivery only; the signer is signMan."""
    hub, door = read(
        kit,
        row(operateUser="王五", operateUserPhone="13900001234"),
        row(scanType="签收", operateUser="周师傅", operateUserPhone="13900003333", signMan="本人"),
    )

    assert (hub.courier_name, hub.courier_phone) == ("", "")
    assert (door.courier_name, door.courier_phone, door.signer) == ("周师傅", "13900003333", "本人")
    assert "周师傅" not in repr(door)


@pytest.mark.parametrize("result", ["null", "[]"])
def test_nothing_scanned_yet_is_no_error(kit: Any, result: str) -> None:
    """A number without scans is tracked, without events."""
    answer = kit.answer(f'{{"result":{result},"message":"请求成功","status":true,"statusCode":"SYS000"}}')

    assert track.read(NUMBER, answer, kit.now) == Tracked(NUMBER)


@pytest.mark.parametrize(
    "bad",
    [
        row(scanDate=None),
        row(scanDate="yesterday"),
        row(scanDate=1772360400),  # seconds
        row(scanDate=-1),
        row(scanDate=10**30),
        row(scanDate="9" * 5_000),
        row(scanDate=True),
        row(scanDate=1.5),
        7,
        None,
        [],
    ],
)
def test_row_that_cannot_be_read_is_set_aside(kit: Any, bad: Any) -> None:
    """It keeps its bytes, has no status, is known again by its id, and does not hide the others."""
    first, second = read(kit, bad, row())
    later = track.read(NUMBER, kit.answer(answered(bad)), kit.now.replace(year=2027))

    assert (first.code, first.status, first.known, first.time) == ("scan:unreadable", None, False, kit.now)
    assert first.raw == msgspec.json.encode(bad)
    assert second.code == "scan:到件"
    assert isinstance(later, Tracked)
    assert later.events[0].carrier_event_id == first.carrier_event_id != second.carrier_event_id == ""


def test_scans_of_another_parcel_are_not_told(kit: Any) -> None:
    """One among others is left out; an answer of nothing else proves nothing."""
    foreign = row(billCode="75400007654321")

    alone = track.read(NUMBER, kit.answer(answered(foreign)), kit.now)

    assert [event.code for event in read(kit, foreign, row())] == ["scan:到件"]
    assert isinstance(alone, CarrierError)
    assert alone.error_class is ErrorClass.TEMPORARY


def test_odd_side_fields_hide_nothing(kit: Any) -> None:
    """Fields of the wrong type are empty; code and time still count, times as texts too."""
    [event] = read(
        kit, row(scanDate=str(AT_MS), desc=["x"], scanSite="杭州", operateUser={}, signMan=False, billCode=None)
    )

    assert (event.status, event.text, event.place) == (TrackStatus.IN_TRANSIT, "", Place())


@pytest.mark.parametrize(
    ("code", "error_class", "field"),
    [
        ("E404", ErrorClass.AUTH, ""),
        ("E409", ErrorClass.AUTH, "phone_tail"),
        ("E413", ErrorClass.INVALID_REQUEST, "phone_tail"),
        ("E416", ErrorClass.INVALID_REQUEST, "waybill_number"),
        ("E418", ErrorClass.AUTH, ""),
        ("S206", ErrorClass.RATE_LIMITED, ""),
        ("S221", ErrorClass.RATE_LIMITED, ""),
        ("S210", ErrorClass.AUTH, ""),
        ("S211", ErrorClass.AUTH, ""),
        ("E500", ErrorClass.TEMPORARY, ""),
        ("F002", ErrorClass.TEMPORARY, ""),  # a code of booking says nothing here
        ("E99999", ErrorClass.TEMPORARY, ""),
    ],
)
def test_refusals_have_their_class(kit: Any, code: str, error_class: ErrorClass, field: str) -> None:
    """Query and subscription are refused alike, with ZTO's code and text."""
    answer = kit.refused(code, "失败 13900002222")

    for outcome in (track.read(NUMBER, answer, kit.now), track.read_subscription(NUMBER, answer)):
        assert isinstance(outcome, CarrierError)
        assert (outcome.error_class, outcome.code, outcome.field) == (error_class, code, field)
        assert "13900002222" not in str(outcome)


@pytest.mark.parametrize("wanted", [TrackRequest("SF1234567890123"), TrackRequest(""), TrackRequest("7540000123456٣")])
@pytest.mark.parametrize("operation", ["track", "subscribe"])
def test_foreign_number_costs_no_call(
    zto: Zto, account: Account, kit: Any, operation: str, wanted: TrackRequest
) -> None:
    """What cannot be a number of ZTO's is refused before anything is sent, its neighbours are not."""
    good = TrackRequest(NUMBER, "2222")

    outcomes, sent = kit.play(
        getattr(zto, operation)(kit.context(account), [wanted, good]), kit.recorded("subscribe.response.json")
    )

    assert (outcomes[0].error_class, outcomes[0].field) == (ErrorClass.INVALID_REQUEST, "waybill_number")
    assert outcomes[1].waybill_number == NUMBER
    assert len(sent) == 1


@pytest.mark.parametrize("tail", ["222", "22222", "ab12", "２２２２"])
def test_tail_has_four_digits(account: Account, tail: str) -> None:
    """A phone tail of another shape is named as what it is."""
    with pytest.raises(CarrierError) as caught:
        track.build(account, track.QUERY_API, TrackRequest(NUMBER, tail))

    assert caught.value.field == "phone_tail"
    assert caught.value.side_effect is SideEffect.NONE


def test_subscription_uses_ztos_spelling(zto: Zto, account: Account, kit: Any) -> None:
    """The misspelt API is called with number and tail; its answer of the sheet is success."""
    flow = zto.subscribe(kit.context(account), [WANTED])

    outcomes, [request] = kit.play(flow, kit.recorded("subscribe.response.json"))

    assert request.url == "https://japi.zto.com/zto.merchant.waybill.track.subsrcibe"
    assert request.body == kit.text("track_query.request.json")
    assert outcomes == [Subscribed(NUMBER)]


def test_requests_show_no_phone(account: Account) -> None:
    """The structs on the wire mask the tail in their repr."""
    assert "2222" not in repr(track.Waybill(NUMBER, "2222"))
    assert "2222" not in repr(WANTED)


def test_answers_are_never_an_exception(kit: Any) -> None:
    """Whatever comes back is an outcome: garbage, cut bodies, flipped bytes, deep nesting."""
    draw = random.Random(11)
    genuine = kit.text("track_query.response.json")
    bodies = [b"", b"null", b"<html>", b"[" * 9_000, answered("[" * 9_000), b'{"status":true,"result":[' + b"[" * 9_000]
    bodies += [genuine[:cut] for cut in range(0, len(genuine), 7)]
    for _ in range(1_500):
        body = bytearray(genuine)
        for _ in range(draw.randint(1, 4)):
            body[draw.randrange(len(body))] = draw.randrange(256)
        bodies.append(bytes(body))

    outcomes: list[object] = [track.read(NUMBER, kit.answer(body), kit.now) for body in bodies]
    outcomes += [track.read_subscription(NUMBER, kit.answer(body)) for body in bodies]

    assert all(isinstance(outcome, Tracked | Subscribed | CarrierError) for outcome in outcomes)
    assert all(event.waybill_number == NUMBER for o in outcomes if isinstance(o, Tracked) for event in o.events)
