"""Orders and times between the contract and the engine: nothing is lost on the way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from crossdock.v1 import core_pb2
from crossdock_sdk import Address, Contact, Party, ServiceLevel, Temperature
from engine.api.convert import orders as convert
from engine.api.convert.values import from_timestamp, is_valid, to_duration, to_timestamp
from engine.core.policy.records import AttemptState, BackupPolicy, OrderState

WAREHOUSE = Party(Contact("样例仓库", "0571-86001234"), Address("CN", "浙江省", "杭州市"))


def whole_order() -> core_pb2.Order:
    """An order with every field a caller can set."""
    order = core_pb2.Order(
        reference="r-1",
        service_level=core_pb2.SERVICE_LEVEL_EXPRESS,
        remark="轻放",
        tags={"a": "1", "b": ""},
        options=core_pb2.Options(
            insured_value=core_pb2.Money(currency_code="CNY", minor_units=1990),
            cash_on_delivery=core_pb2.Money(currency_code="CNY", minor_units=5),
            temperature=core_pb2.TEMPERATURE_FROZEN,
            signed_receipt=True,
            pickup=True,
            pickup_start_time=Timestamp(seconds=1_795_000_000),
            pickup_end_time=Timestamp(seconds=1_795_003_600, nanos=500_000),
        ),
        routing=core_pb2.Routing(
            allowed_carriers=["sf", "zto"],
            preferred_carriers=["zto"],
            excluded_carriers=["yto"],
            backup_policy=core_pb2.BACKUP_POLICY_NEVER,
        ),
    )
    for party in (order.shipper, order.recipient):
        party.contact.CopyFrom(core_pb2.Contact(name="张三", phone="13900000015", company="店", email="a@b.c"))
        party.address.CopyFrom(
            core_pb2.Address(
                country_code="CN",
                province="广东省",
                city="深圳市",
                district="南山区",
                town="粤海街道",
                street="科苑路15号",
                postal_code="518000",
            )
        )
    item = core_pb2.Item(
        title="茶",
        quantity=2,
        sku="T-1",
        unit_price=core_pb2.Money(currency_code="CNY", minor_units=990),
        weight_g=100,
        hs_code="090210",
        origin_country_code="CN",
    )
    order.parcels.add(weight_g=450, length_mm=1, width_mm=2, height_mm=3, items=[item, item])
    return order


def test_an_order_survives_the_way_in_and_out() -> None:
    """Every field a caller can set comes back as it was."""
    order = whole_order()

    back = convert.write_draft(convert.read_draft(order, None))

    assert back == order


def test_what_is_left_out_takes_its_default() -> None:
    """Without them the shipper is the warehouse, the country CN, the level STANDARD, the goods AMBIENT."""
    order = core_pb2.Order(reference=" r-1 ", parcels=[core_pb2.Parcel(weight_g=1)])

    draft = convert.read_draft(order, WAREHOUSE)

    assert draft.reference == "r-1"
    assert draft.shipper == WAREHOUSE
    assert draft.recipient.address.country_code == "CN"
    assert draft.service_level is ServiceLevel.STANDARD
    assert draft.options.temperature is Temperature.AMBIENT
    assert draft.options.insured_value is None
    assert draft.routing.backup is BackupPolicy.AUTOMATIC


def test_an_order_without_shipper_and_warehouse_cannot_be_read() -> None:
    """There is nobody to send it."""
    with pytest.raises(LookupError, match="shipper"):
        convert.read_draft(core_pb2.Order(), None)


@pytest.mark.parametrize("state", OrderState)
def test_every_state_of_an_order_is_in_the_contract(state: OrderState) -> None:
    """The engine's states and the contract's are one to one."""
    number = convert.STATES[state]

    assert convert.STATES_READ[number] is state
    assert number != core_pb2.Order.STATE_UNSPECIFIED


def test_every_value_of_the_contract_has_a_meaning() -> None:
    """No enum value of the contract is unknown to the engine, and none of the engine's to the contract."""
    assert set(convert.LEVELS_READ) == set(core_pb2.ServiceLevel.values())
    assert set(convert.TEMPERATURES_READ) == set(core_pb2.Temperature.values())
    assert set(convert.BACKUPS_READ) == set(core_pb2.BackupPolicy.values())
    assert set(convert.STATES_READ) == set(core_pb2.Order.State.values()) - {0}
    assert set(convert.ATTEMPT_STATES) == set(AttemptState)


@given(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999_999), timezones=st.just(UTC)))
def test_a_time_survives_the_way_in_and_out(time: datetime) -> None:
    """Any aware time comes back to the microsecond, and is valid on the wire."""
    message = Timestamp()

    to_timestamp(time, message)

    assert is_valid(message)
    assert message.ToDatetime(UTC) == time
    assert from_timestamp(message) == time


def test_a_time_of_another_zone_is_the_same_instant() -> None:
    """Zones do not reach the wire."""
    message = Timestamp()

    to_timestamp(datetime.fromisoformat("2026-11-11T08:00:00+08:00"), message)

    assert message.ToJsonString() == "2026-11-11T00:00:00Z"


@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [(-62_135_596_801, 0), (253_402_300_800, 0), (10**15, 0), (0, -1), (0, 1_000_000_000)],
)
def test_a_number_outside_the_calendar_is_no_time(seconds: int, nanos: int) -> None:
    """What protobuf's own definition excludes is not valid."""
    assert not is_valid(Timestamp(seconds=seconds, nanos=nanos))


@given(st.integers(0, 10**12))
def test_a_span_survives_to_the_microsecond(micros: int) -> None:
    """Spans are rounded to microseconds, never cut."""
    message = Duration()

    to_duration(micros / 1_000_000, message)

    assert message.ToTimedelta() == timedelta(microseconds=micros)
