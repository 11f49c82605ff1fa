"""getOrderInfo and cancelPreOrder: built, signed, read, refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from crossdock_sdk import (
    Absent,
    Account,
    Booked,
    Cancellation,
    Cancelled,
    CarrierError,
    ErrorClass,
    Pending,
    Refused,
    SideEffect,
)
from crossdock_zto import cancel, lookup, wire
from crossdock_zto.carrier import Zto

WAYBILL, ORDER_CODE = "75400001234567", "260301000001234567"
EMPTY = '{"result":[],"status":true,"statusCode":"SYS000"}'


def order(**facts: Any) -> bytes:
    """getOrderInfo's answer with one order."""
    base = {"orderCode": ORDER_CODE, "billCode": WAYBILL, "orderStatus": 0, "tradeId": "SO1"}
    envelope = {"result": [base | facts], "status": True, "statusCode": "SYS000"}
    return msgspec.json.encode(envelope)


@pytest.mark.parametrize(
    ("asked", "order_type", "body"),
    [
        (WAYBILL, "1", {"type": "1", "billCode": WAYBILL}),
        (WAYBILL, "2", {"type": "0", "billCode": WAYBILL}),
        (ORDER_CODE, "2", {"type": "0", "orderCode": ORDER_CODE}),
        (ORDER_CODE, "1", {"type": "0", "orderCode": ORDER_CODE}),
    ],
)
def test_look_up_asks_with_the_id_it_has(
    account: Account, kit: Any, asked: str, order_type: str, body: dict[str, str]
) -> None:
    """Full-network orders go by waybill number, pick-up orders by either id; all is signed."""
    request = lookup.build(kit.with_settings(account, order_type=order_type), asked)

    assert msgspec.json.decode(request.body) == body
    assert request.url.endswith("/zto.open.getOrderInfo")
    assert request.headers["x-dataDigest"] == wire.digest(request.body, "zto-demo-secret-01")


def test_found_order_is_booked_under_its_trade_id(zto: Zto, account: Account, kit: Any) -> None:
    """tradeId tells whose order it is."""
    flow = zto.find_by_carrier_order(kit.context(account), [WAYBILL])

    [outcome], _ = kit.play(flow, kit.recorded("get_order_info.response.json"))

    assert outcome == Booked("SO20260301001", WAYBILL, carrier_order_id=ORDER_CODE)


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        ({"orderStatus": 1}, Booked),
        ({"orderStatus": "99"}, Booked),
        ({"tradeId": None}, Booked),
        ({"orderStatus": -2, "cancelReason": "不想寄了"}, Refused),
        ({"orderStatus": "-2"}, Refused),
        ({"billCode": None}, Pending),
        ({"orderStatus": 7}, CarrierError),
        ({"orderStatus": None}, CarrierError),
        ({"orderCode": "260301000009999999", "billCode": "75400009999999"}, CarrierError),
    ],
)
def test_order_status_decides_the_outcome(pick_up: Account, kit: Any, facts: dict[str, Any], kind: type) -> None:
    """Known statuses are read, unknown ones and other people's orders are not guessed at."""
    outcome = lookup.read(pick_up, ORDER_CODE, kit.answer(order(**facts)))

    assert isinstance(outcome, kind)


@pytest.mark.parametrize("answer", [EMPTY, EMPTY.replace("[]", "null")])
def test_no_order_is_absent(account: Account, kit: Any, answer: str) -> None:
    """An empty answer about a full-network waybill number means that there is no such order."""
    assert lookup.read(account, WAYBILL, kit.answer(answer)) == Absent("")


def test_not_found_text_is_absent(account: Account, kit: Any) -> None:
    """ZTO's own words for "no such order" mean the same, whatever the code beside them."""
    assert lookup.read(account, WAYBILL, kit.refused("SYS001", "查询不到该订单")) == Absent("")


def test_full_network_order_is_never_absent_by_order_code(account: Account, kit: Any) -> None:
    """ZTO does not see full-network orders by orderCode, so "nothing" proves nothing."""
    outcome = lookup.read(account, ORDER_CODE, kit.answer(EMPTY))

    assert isinstance(outcome, CarrierError)
    assert outcome.side_effect is SideEffect.UNKNOWN


def test_foreign_id_is_refused_without_a_request(zto: Zto, account: Account, kit: Any) -> None:
    """Our own reference is no key at ZTO; the next id is looked up all the same."""
    flow = zto.find_by_carrier_order(kit.context(account), ["SO20260301001", WAYBILL])

    outcomes, sent = kit.play(flow, kit.recorded("get_order_info.response.json"))

    assert outcomes[0].error_class is ErrorClass.INVALID_REQUEST
    assert isinstance(outcomes[1], Booked)
    assert len(sent) == 1


def test_look_up_refused_by_flow_control_is_an_error(account: Account, kit: Any) -> None:
    """Being busy is not being absent."""
    outcome = lookup.read(account, WAYBILL, kit.refused("S221"))

    assert isinstance(outcome, CarrierError)
    assert outcome.error_class is ErrorClass.RATE_LIMITED


def test_full_network_cancel_sends_nothing(zto: Zto, account: Account, kit: Any) -> None:
    """There is no call for it: the number is void locally and ZTO recycles it."""
    flow = zto.cancel(kit.context(account), [Cancellation("R1", WAYBILL, ORDER_CODE)])

    outcomes, sent = kit.play(flow)

    assert outcomes == [Cancelled("R1", local_only=True)]
    assert sent == []


@pytest.mark.parametrize(
    ("order_code", "body"),
    [
        (ORDER_CODE, {"cancelType": "1", "orderCode": ORDER_CODE}),
        ("", {"cancelType": "1", "billCode": WAYBILL}),
    ],
)
def test_pick_up_cancel_is_built_and_read(
    zto: Zto, pick_up: Account, kit: Any, order_code: str, body: dict[str, str]
) -> None:
    """One id is sent, the order code when it is known."""
    flow = zto.cancel(kit.context(pick_up), [Cancellation("R1", WAYBILL, order_code)])

    outcomes, [request] = kit.play(flow, kit.recorded("cancel_pre_order.response.json"))

    assert outcomes == [Cancelled("R1")]
    assert msgspec.json.decode(request.body) == body
    assert request.url.endswith("/zto.open.cancelPreOrder")
    assert request.headers["x-dataDigest"] == wire.digest(request.body, "zto-demo-secret-01")


@pytest.mark.parametrize(("status", "kind"), [(-2, Cancelled), (0, CarrierError)], ids=["void already", "still live"])
def test_cancel_of_an_unknown_order_looks_before_it_answers(
    zto: Zto, pick_up: Account, kit: Any, status: int, kind: type
) -> None:
    """ "Not found" is success only when the order itself says that it is void."""
    flow = zto.cancel(kit.context(pick_up), [Cancellation("R1", WAYBILL, ORDER_CODE)])

    [outcome], sent = kit.play(
        flow,
        kit.recorded("cancel_pre_order.not_found.json"),
        kit.answer(order(orderStatus=status)),
    )

    assert isinstance(outcome, kind)
    assert len(sent) == 2


@pytest.mark.parametrize("code", ["S200", "S203", "X-1"])
def test_cancel_fault_is_unknown(kit: Any, code: str) -> None:
    """A fault says nothing about whether the order is void."""
    outcome = cancel.read("R1", kit.refused(code))

    assert isinstance(outcome, CarrierError)
    assert outcome.side_effect is SideEffect.UNKNOWN
