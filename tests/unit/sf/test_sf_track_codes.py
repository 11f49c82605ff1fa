"""The tracking table, row by row against section 6 of the carrier sheet, and the rule of evidence."""

from __future__ import annotations

import pytest

from crossdock_sdk import Milestone, TrackStatus
from crossdock_sf import track_codes
from crossdock_sf.track_codes import decide

# Status / milestone -> codes of the sheet.
STATUS_ROWS = {
    "PRE_TRANSIT COURIER_ASSIGNED": "7/701",
    "PICKED_UP COLLECTED": "1/101",
    "IN_TRANSIT": "2/201",
    "IN_CUSTOMS CUSTOMS_DECLARED": "2/204",
    "IN_CUSTOMS CUSTOMS_CLEARED": "2/205",
    "OUT_FOR_DELIVERY OUT_FOR_DELIVERY": "3/301 3",
    "DELIVERED SIGNED_BY_RECIPIENT": "4/401",
    "CANCELLED VOIDED": "5/501",
    "EXCEPTION FORWARDED": "9",
    "AVAILABLE_FOR_COLLECTION": "11/1101",
    "DELIVERY_ATTEMPTED RESCHEDULED": "13/1301",
}
OPERATION_ROWS = {
    "PRE_TRANSIT": "46 51",
    "PRE_TRANSIT ORDER_ACCEPTED": "127 138 655",
    "PICKED_UP COLLECTED": "607 50 54",
    "IN_TRANSIT": "30 43 95 197 302 303 305 407 408 501 5000 603 628 123 3036",
    "IN_TRANSIT DEPARTED_FACILITY": "36 105",
    "IN_TRANSIT ARRIVED_AT_FACILITY": "31 106 310",
    "IN_TRANSIT ARRIVED_DELIVERY_STATION": "44",
    "IN_CUSTOMS CUSTOMS_CLEARED": "608",
    "OUT_FOR_DELIVERY OUT_FOR_DELIVERY": "204 634",
    "OUT_FOR_DELIVERY DELAYED": "34",
    "DELIVERY_ATTEMPTED": "33 70/83 70/85",
    "DELIVERY_ATTEMPTED RECIPIENT_ABSENT": "70",
    "CANCELLED": "70/46",
    "EXCEPTION": "870 77 126 8000/2",
    "EXCEPTION LOST": "8000/6",
    "EXCEPTION FORWARDED": "99 517",
    "AVAILABLE_FOR_COLLECTION": "33/83 33/85",
    "AVAILABLE_FOR_COLLECTION AT_LOCKER": "125",
    "AVAILABLE_FOR_COLLECTION AT_STATION": "130 218 642 657 678",
    "DELIVERED SIGNED_BY_RECIPIENT": "128 658 679 80 8000",
    "DELIVERED SIGNED_BY_AGENT": "97 677 935",
    "RETURNING RETURN_STARTED": "631 99/2",
}


def _pairs(rows: dict[str, str]) -> list[tuple[str, str]]:
    return [(code, name) for name, listed in rows.items() for code in listed.split()]


def said(first: str = "", second: str = "", op: str = "", reason: str = "", remark: str = "") -> str:
    """Code, status and milestone of an event, as one text."""
    decision = decide(first, second, op, reason, remark)
    row = decision.row
    named = f"{row.status} {row.milestone}".strip() if row else ("nothing" if decision.known else "unknown")
    return f"{decision.code} {named}"


@pytest.mark.parametrize(("code", "name"), _pairs(STATUS_ROWS))
def test_status_code_is_the_sheets(code: str, name: str) -> None:
    """Each status code of the query has the status and milestone of section 6.1."""
    first, _, second = code.partition("/")

    assert said(first, second) == f"status:{code} {name}"


@pytest.mark.parametrize(("code", "name"), _pairs(OPERATION_ROWS))
def test_operation_code_is_the_sheets(code: str, name: str) -> None:
    """Each operation code, with and without its reason, has the status and milestone of section 6.2."""
    operation, _, reason = code.partition("/")

    assert said(op=operation, reason=reason) == f"op:{code} {name}"


def test_table_holds_no_row_beyond_the_sheet() -> None:
    """Every row of the plug-in is one of the sheet's, so each is covered above; the version is stated."""
    listed = {f"status:{code}" for code, _ in _pairs(STATUS_ROWS)} | {
        f"op:{code}" for code, _ in _pairs(OPERATION_ROWS)
    }

    assert track_codes.TRACK.rows.keys() == listed
    assert track_codes.TRACK.version == 1


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"op": "44", "remark": "快件正在派送途中"}, "op:44 OUT_FOR_DELIVERY OUT_FOR_DELIVERY"),
        ({"op": "44", "first": "3", "second": "399"}, "status:3 OUT_FOR_DELIVERY OUT_FOR_DELIVERY"),
        ({"op": "99", "remark": "应客户要求退回"}, "op:99 RETURNING RETURN_STARTED"),
        ({"op": "99", "remark": "快件作废"}, "op:99 RETURNING RETURN_STARTED"),
        ({"op": "648", "remark": "快件已退回"}, "op:648 RETURNING RETURN_STARTED"),
        ({"op": "648", "remark": "快件已转寄"}, "op:648 EXCEPTION FORWARDED"),
        ({"op": "648", "remark": "快件"}, "op:648 unknown"),
        (
            {"first": "4", "second": "401", "op": "80", "remark": "已放入顺丰自助柜"},
            "status:4/401 AVAILABLE_FOR_COLLECTION AT_LOCKER",
        ),
        ({"op": "80", "remark": "已放入顺丰自助柜"}, "op:80 AVAILABLE_FOR_COLLECTION AT_LOCKER"),
        ({"op": "80", "remark": "已从丰巢取出并签收"}, "op:80 DELIVERED SIGNED_BY_RECIPIENT"),
        ({"op": "80", "remark": "收件人拒收，退回件已签收"}, "op:80 EXCEPTION REFUSED"),
        ({"op": "80", "remark": "快件已退回，由寄件人签收"}, "op:80 RETURNING RETURN_STARTED"),
        ({"first": "4", "second": "401", "remark": "已转寄，代签收"}, "status:4/401 EXCEPTION FORWARDED"),
        ({"op": "8000", "reason": "6", "remark": "退回"}, "op:8000/6 EXCEPTION LOST"),
        ({"op": "70", "remark": "收件人拒收"}, "op:70 DELIVERY_ATTEMPTED REFUSED"),
        ({"op": "33", "remark": "收件人拒收"}, "op:33 DELIVERY_ATTEMPTED REFUSED"),
        ({"first": "13", "second": "1301", "remark": "拒收"}, "status:13/1301 DELIVERY_ATTEMPTED REFUSED"),
    ],
)
def test_words_decide_where_the_sheet_says_so(event: dict[str, str], expected: str) -> None:
    """The documented words overrule their code, the negative ones before a signature is believed."""
    assert said(**event) == expected


@pytest.mark.parametrize("code", ["36", "204", "922", "9999"])
def test_words_decide_nowhere_else(code: str) -> None:
    """No word changes a code that the sheet does not name with it."""
    assert said(op=code, remark="拒收 退回 转寄 自助柜 丰巢 签收 派送途中") == said(op=code)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"first": "13", "second": "1301", "op": "33"}, "status:13/1301 DELIVERY_ATTEMPTED RESCHEDULED"),
        ({"first": "5", "second": "501", "op": "33"}, "status:5/501 CANCELLED VOIDED"),
        ({"first": "2", "second": "201", "op": "36"}, "status:2/201 IN_TRANSIT DEPARTED_FACILITY"),
        ({"first": "2", "second": "201", "op": "44"}, "status:2/201 IN_TRANSIT ARRIVED_DELIVERY_STATION"),
        ({"first": "2", "second": "201", "op": "204"}, "status:2/201 IN_TRANSIT"),
        ({"first": "11", "second": "1101", "op": "125"}, "status:11/1101 AVAILABLE_FOR_COLLECTION AT_LOCKER"),
        ({"first": "11", "second": "1101", "op": "642"}, "status:11/1101 AVAILABLE_FOR_COLLECTION AT_STATION"),
        ({"first": "11", "second": "1101", "remark": "丰巢"}, "status:11/1101 AVAILABLE_FOR_COLLECTION AT_LOCKER"),
        ({"first": "9", "second": "901", "op": "80"}, "status:9 EXCEPTION FORWARDED"),
        ({"first": "2", "second": "299", "op": "36"}, "op:36 IN_TRANSIT DEPARTED_FACILITY"),
        ({"first": "2", "second": "299", "op": "9999"}, "status:2/299 unknown"),
        ({"op": "70", "reason": "99"}, "op:70 DELIVERY_ATTEMPTED RECIPIENT_ABSENT"),
        ({"op": "54", "reason": "0"}, "op:54 PICKED_UP COLLECTED"),
    ],
)
def test_better_evidence_goes_first(event: dict[str, str], expected: str) -> None:
    """Status codes before the opCode, the opCode with its reason before the opCode alone."""
    assert said(**event) == expected


@pytest.mark.parametrize("code", ["9999", "", "080", "8O"])
def test_unknown_code_has_no_status(code: str) -> None:
    """A code that is in no table keeps the parcel where it was and is told from one that changes nothing."""
    decision = decide("", "", code, "", "已签收")

    assert (decision.row, decision.known) == (None, False)


def test_known_code_without_status_is_no_unknown_one() -> None:
    """922 issues a receipt number: documented, and no change."""
    assert said(op="922") == "op:922 nothing"
    assert frozenset({"op:922"}) == track_codes.KNOWN_WITHOUT_STATUS


def test_free_text_never_becomes_a_code() -> None:
    """What is no code is shown as a question mark: codes end up as names of metrics."""
    assert said(op="张三 13800000002") == "op:? unknown"


def test_words_overrule_codes_of_the_table_or_of_words_only() -> None:
    """Each code with words is one that the sheet names, and each word row has a status of our vocabulary."""
    assert track_codes.WORDS.keys() - track_codes.TRACK.rows.keys() == {"op:648"}
    for rows in track_codes.WORDS.values():
        assert all(word and row.status in TrackStatus and row.milestone in Milestone for word, row in rows)
