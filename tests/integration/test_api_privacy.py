"""Personal data of a request comes back in the order only: never in a status, a log line or a metric."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from crossdock.v1 import core_pb2, label_service_pb2, order_service_pb2
from crossdock_sdk.simulator import Faults
from tests.integration.kit import Answered, State, create, only, order, parcel, party, refusal
from tests.integration.world import API_KEYS, World, failing_on

pytestmark = pytest.mark.anyio
pb = order_service_pb2

NAME, PHONE, STREET = "金丝雀甲", "13811112222", "金丝雀路77号3单元901"
COMPANY, EMAIL, REMARK, TAG = "金丝雀商行", "canary@example.com", "金丝雀备注", "金丝雀标签"
CANARIES = ("金丝雀", PHONE, "11112222", "3单元901", "canary@", *API_KEYS.values())


def canary_party(**changes: Any) -> core_pb2.Party:
    """A person of whom every datum can be found again."""
    someone = party(changes.pop("name", NAME), changes.pop("phone", PHONE), **{"street": STREET, **changes})
    someone.contact.company = COMPANY
    someone.contact.email = EMAIL
    return someone


def canary(reference: str, **changes: Any) -> pb.CreateOrderRequest:
    """A creation that is full of personal data."""
    whole = {"recipient": canary_party(), "remark": REMARK, "tags": {"note": TAG}, **changes}
    return create(reference, **whole)


WRONG: dict[str, dict[str, Any]] = {
    "phone": {"recipient": canary_party(phone=f"{PHONE}99")},
    "phone with a letter": {"recipient": canary_party(phone=f"{PHONE}X")},
    "name too long": {"recipient": canary_party(name=NAME * 40)},
    "name with a line break": {"recipient": canary_party(name=f"{NAME}\n{NAME}")},
    "street broken in a number": {"recipient": canary_party(street="金丝雀路7\n7号3单元901")},
    "street too long": {"recipient": canary_party(street=STREET * 30)},
    "city of elsewhere": {"recipient": canary_party(city="成都市")},
    "city that is none": {"recipient": canary_party(city="无名市")},
    "postal code": {"recipient": canary_party(postal_code=PHONE)},
    "country": {"recipient": canary_party(country_code="ZZ")},
    "remark too long": {"remark": REMARK * 50},
    "tag too long": {"tags": {"note": TAG * 100}},
    "shipper": {"shipper": canary_party(phone=f"{PHONE}99")},
    "weight": {"parcels": [parcel(0)]},
    "nobody": {"routing": only("nobody")},
}


@pytest.mark.parametrize("case", WRONG)
async def test_a_refused_order_is_not_quoted(world: World, case: str) -> None:
    """Whatever is wrong with an order, the status names fields and remedies, never the person."""
    status = await refusal(world.caller().CreateOrder(canary(f"private-{case}"[:60], **WRONG[case])))

    _assert_clean(str(status.status), world)


async def _reused(caller: Any) -> Answered:
    await caller.CreateOrder(canary("private-reused"))
    return await refusal(caller.CreateOrder(canary("private-reused", recipient=canary_party(name="金丝雀乙"))))


async def _unprintable(caller: Any) -> Answered:
    placed = await caller.CreateOrder(canary("private-label", recipient=canary_party(name="𠮷金丝雀")))
    return await refusal(caller.GetLabel(label_service_pb2.GetLabelRequest(order_id=placed.order.order_id)))


async def _not_cancellable(caller: Any) -> Answered:
    too_much = core_pb2.Money(currency_code="CNY", minor_units=99_999_999_900)
    options = core_pb2.Options(insured_value=too_much)
    failed = await caller.CreateOrder(canary("private-failed", options=options, routing=only("sf")))
    return await refusal(caller.CancelOrder(pb.CancelOrderRequest(order_id=failed.order.order_id)))


async def _unread_quote(caller: Any) -> Answered:
    return await refusal(caller.QuoteOrder(pb.QuoteOrderRequest(order=order("q", recipient=canary_party(phone="1")))))


@pytest.mark.parametrize("provoke", [_reused, _unprintable, _not_cancellable, _unread_quote])
async def test_a_status_about_a_stored_order_does_not_quote_it(
    world: World, provoke: Callable[[Any], Awaitable[Answered]]
) -> None:
    """Statuses that speak about an order the engine knows name its id, not its people."""
    status = await provoke(world.caller())

    _assert_clean(str(status.status), world)


FAULTS = {
    "system error": Faults(operations=("book",), error_share=1.0),
    "answer lost": Faults(operations=("book",), accept_then_cut_share=1.0),
    "odd body": Faults(operations=("book",), odd_body_share=1.0),
    "no capacity": Faults(refuse_bookings=True),
}


@pytest.mark.parametrize("case", FAULTS)
async def test_a_failing_carrier_is_logged_without_the_person(world: World, case: str) -> None:
    """Attempts that fail leave carrier, operation and class behind, nothing of the parcel's people."""
    sf = world.simulators["sf"]
    await sf.set_faults(FAULTS[case])
    try:
        answer = await world.caller().CreateOrder(canary(f"private-{case}"), timeout=1.0)
    finally:
        await sf.set_faults(Faults())

    attempt = answer.order.attempts[0]
    _assert_clean(f"{attempt.cause} {attempt.carrier_message} {answer.order.failure}", world)


async def test_a_booked_order_leaves_no_trace_of_the_person(world: World) -> None:
    """Booking, label, watch and cancel of a full order log and count without its people."""
    caller = world.caller()
    placed = (await caller.CreateOrder(canary("private-booked"))).order
    await caller.GetLabel(label_service_pb2.GetLabelRequest(order_id=placed.order_id))
    await caller.GetOrder(pb.GetOrderRequest(reference="private-booked"))

    answer = await caller.CancelOrder(pb.CancelOrderRequest(order_id=placed.order_id))

    assert answer.order.state == State.STATE_CANCELLED
    assert answer.order.recipient.contact.name == NAME
    _assert_clean("", world)


async def test_a_defect_of_ours_does_not_print_the_order(world: World) -> None:
    """A traceback in the log shows code, not the values of the order it failed on."""
    with failing_on(world, "private-defect"):
        status = await refusal(world.caller().CreateOrder(canary("private-defect")))

    _assert_clean(str(status.status), world)


def _assert_clean(text: str, world: World) -> None:
    """No canary in `text`, in the whole log or in the metrics."""
    log, metrics = world.log_text(), world.engine.parts.metrics.expose().decode()
    for where, content in (("status", text), ("log", log), ("metrics", metrics)):
        # protobuf prints non-ASCII bytes as octal escapes, JSON as they are.
        plain = content.encode().decode("unicode_escape").encode("latin-1", "replace").decode("utf-8", "replace")
        found = [c for c in CANARIES if c in content or c in plain]
        assert not found, f"{found} in the {where}"
