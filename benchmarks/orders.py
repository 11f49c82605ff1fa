"""The order that every benchmark books, and many of them through one stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from crossdock.v1 import core_pb2, order_service_pb2, order_service_pb2_grpc

pb = order_service_pb2


def order(run: str, index: int) -> core_pb2.Order:
    """A believable order; every one has its own reference."""
    return core_pb2.Order(
        reference=f"{run}-{index}",
        shipper=_party("样例仓库", "0571-86001234", "浙江省", "杭州市", "余杭区", "样例大道1号3号仓"),
        recipient=_party(
            "诸葛平艳",
            f"199{index % 100_000_000:08d}",
            "广东省",
            "深圳市",
            "南山区",
            f"科技园路{index % 900}号2栋303室",
        ),
        parcels=[
            core_pb2.Parcel(
                weight_g=1500,
                items=[
                    core_pb2.Item(
                        title="男士运动鞋 42",
                        quantity=1,
                        unit_price=core_pb2.Money(currency_code="CNY", minor_units=39900),
                    )
                ],
            )
        ],
    )


def _party(name: str, phone: str, province: str, city: str, district: str, street: str) -> core_pb2.Party:
    return core_pb2.Party(
        contact=core_pb2.Contact(name=name, phone=phone),
        address=core_pb2.Address(country_code="CN", province=province, city=city, district=district, street=street),
    )


def only(carrier: str, wanted: core_pb2.Order) -> core_pb2.Order:
    """An order that one carrier may take."""
    wanted.routing.allowed_carriers.append(carrier)
    return wanted


def preferring(carrier: str, wanted: core_pb2.Order) -> core_pb2.Order:
    """An order that this carrier is asked for first."""
    wanted.routing.preferred_carriers.append(carrier)
    return wanted


async def stream(
    stub: order_service_pb2_grpc.OrderServiceAsyncStub, wanted: Iterable[core_pb2.Order]
) -> list[core_pb2.Order]:
    """Send them through one stream; the orders as they were booked. Stops the program unless all were."""
    sent = 0

    async def requests() -> AsyncIterator[pb.StreamCreateOrdersRequest]:
        nonlocal sent
        for one in wanted:
            sent += 1
            yield pb.StreamCreateOrdersRequest(index=sent - 1, order=one)

    booked: list[core_pb2.Order] = []
    async for answer in stub.StreamCreateOrders(requests()):
        made = answer.result.created.order
        if made.state != core_pb2.Order.STATE_BOOKED:
            raise SystemExit(f"order {answer.index} was not booked: {answer.result}")
        booked.append(made)
    if len(booked) != sent:
        raise SystemExit(f"{sent} orders were sent, {len(booked)} answered")
    return booked
