"""Orders between the contract and the engine: protobuf on one side, structs on the other, nothing else.

Reading trusts that the contract's own rules (protovalidate) have been checked. A missing shipper becomes the
tenant's warehouse; a missing country code CN.
"""

from __future__ import annotations

from crossdock.v1 import core_pb2
from crossdock_sdk import (
    Address,
    Contact,
    Item,
    Money,
    Options,
    Parcel,
    Party,
    ServiceLevel,
    Temperature,
)
from engine.api.convert.values import from_timestamp, to_duration, to_timestamp
from engine.core.policy.records import (
    AttemptRecord,
    AttemptState,
    BackupPolicy,
    BookingRecord,
    Failure,
    LoadedOrder,
    OrderDraft,
    OrderState,
    RoutingWish,
)

STATES: dict[OrderState, core_pb2.Order.State.ValueType] = {
    state: core_pb2.Order.State.Value(f"STATE_{state}") for state in OrderState
}
STATES_READ = {number: state for state, number in STATES.items()}
ATTEMPT_STATES: dict[AttemptState, core_pb2.Attempt.State.ValueType] = {
    state: core_pb2.Attempt.State.Value(f"STATE_{state}") for state in AttemptState
}
LEVELS_READ = {
    core_pb2.SERVICE_LEVEL_UNSPECIFIED: ServiceLevel.STANDARD,
    core_pb2.SERVICE_LEVEL_STANDARD: ServiceLevel.STANDARD,
    core_pb2.SERVICE_LEVEL_EXPRESS: ServiceLevel.EXPRESS,
}
LEVELS = {
    ServiceLevel.STANDARD: core_pb2.SERVICE_LEVEL_STANDARD,
    ServiceLevel.EXPRESS: core_pb2.SERVICE_LEVEL_EXPRESS,
}
TEMPERATURES_READ = {
    core_pb2.TEMPERATURE_UNSPECIFIED: Temperature.AMBIENT,
    core_pb2.TEMPERATURE_AMBIENT: Temperature.AMBIENT,
    core_pb2.TEMPERATURE_CHILLED: Temperature.CHILLED,
    core_pb2.TEMPERATURE_FROZEN: Temperature.FROZEN,
}
TEMPERATURES = {
    Temperature.AMBIENT: core_pb2.TEMPERATURE_AMBIENT,
    Temperature.CHILLED: core_pb2.TEMPERATURE_CHILLED,
    Temperature.FROZEN: core_pb2.TEMPERATURE_FROZEN,
}
BACKUPS_READ = {
    core_pb2.BACKUP_POLICY_UNSPECIFIED: BackupPolicy.AUTOMATIC,
    core_pb2.BACKUP_POLICY_AUTOMATIC: BackupPolicy.AUTOMATIC,
    core_pb2.BACKUP_POLICY_NEVER: BackupPolicy.NEVER,
}
BACKUPS = {
    BackupPolicy.AUTOMATIC: core_pb2.BACKUP_POLICY_AUTOMATIC,
    BackupPolicy.NEVER: core_pb2.BACKUP_POLICY_NEVER,
}


_NO_OPTIONS = Options()
_NO_WISH = RoutingWish()


def read_draft(order: core_pb2.Order, warehouse: Party | None) -> OrderDraft:
    """What the caller ordered. Raises LookupError when there is no shipper and no warehouse."""
    if order.HasField("shipper"):
        shipper = _read_party(order.shipper)
    elif warehouse is not None:
        shipper = warehouse
    else:
        raise LookupError("shipper")
    routing = order.routing
    return OrderDraft(
        reference=order.reference.strip(),
        shipper=shipper,
        recipient=_read_party(order.recipient),
        parcels=tuple([_read_parcel(parcel) for parcel in order.parcels]),
        service_level=LEVELS_READ[order.service_level],
        options=_read_options(order.options) if order.HasField("options") else _NO_OPTIONS,
        routing=RoutingWish(
            allowed=tuple(routing.allowed_carriers),
            preferred=tuple(routing.preferred_carriers),
            excluded=tuple(routing.excluded_carriers),
            backup=BACKUPS_READ[routing.backup_policy],
        )
        if order.HasField("routing")
        else _NO_WISH,
        remark=order.remark,
        tags=dict(order.tags),
    )


def write_order(loaded: LoadedOrder, order: core_pb2.Order | None = None) -> core_pb2.Order:
    """The order as the contract shows it, written into `order` if given.

    Written where it shall stand, field by field and only what is not empty: a message handed to another one's
    constructor is copied by way of its wire form, once for every level of an answer.
    """
    record = loaded.order
    order = core_pb2.Order() if order is None else order
    order.order_id = record.order_id
    order.state = STATES[record.state]
    _write_draft(order, record.draft)
    if record.booking is not None:
        _write_booking(order.booking, record.booking)
    for attempt in loaded.attempts:
        _write_attempt(order.attempts.add(), attempt)
    if record.failure is not None:
        write_failure(order.failure, record.failure)
    to_timestamp(record.create_time, order.create_time)
    to_timestamp(record.update_time, order.update_time)
    return order


def write_draft(draft: OrderDraft) -> core_pb2.Order:
    """The caller's half of an order."""
    order = core_pb2.Order()
    _write_draft(order, draft)
    return order


def _write_draft(order: core_pb2.Order, draft: OrderDraft) -> None:
    order.reference = draft.reference
    _write_party(order.shipper, draft.shipper)
    _write_party(order.recipient, draft.recipient)
    for parcel in draft.parcels:
        _write_parcel(order.parcels.add(), parcel)
    order.service_level = LEVELS[draft.service_level]
    _write_options(order.options, draft.options)
    if draft.routing != _NO_WISH:
        order.routing.allowed_carriers.extend(draft.routing.allowed)
        order.routing.preferred_carriers.extend(draft.routing.preferred)
        order.routing.excluded_carriers.extend(draft.routing.excluded)
        order.routing.backup_policy = BACKUPS[draft.routing.backup]
    if draft.remark:
        order.remark = draft.remark
    if draft.tags:
        order.tags.update(draft.tags)


def _read_party(party: core_pb2.Party) -> Party:
    contact, address = party.contact, party.address
    return Party(
        Contact(contact.name, contact.phone, contact.company, contact.email),
        Address(
            address.country_code or "CN",
            address.province,
            address.city,
            address.district,
            address.town,
            address.street,
            address.postal_code,
        ),
    )


def _write_party(message: core_pb2.Party, party: Party) -> None:
    given, contact = party.contact, message.contact
    contact.SetInParent()
    contact.name = given.name
    contact.phone = given.phone
    if given.company:
        contact.company = given.company
    if given.email:
        contact.email = given.email
    write_address(party.address, message.address)


def write_address(address: Address, message: core_pb2.Address | None = None) -> core_pb2.Address:
    """An address as the contract shows it, written into `message` if given."""
    message = core_pb2.Address() if message is None else message
    message.SetInParent()
    message.country_code = address.country_code
    message.province = address.province
    message.city = address.city
    message.district = address.district
    message.street = address.street
    if address.town:
        message.town = address.town
    if address.postal_code:
        message.postal_code = address.postal_code
    return message


def _read_parcel(parcel: core_pb2.Parcel) -> Parcel:
    return Parcel(
        parcel.weight_g,
        parcel.length_mm,
        parcel.width_mm,
        parcel.height_mm,
        tuple([_read_item(item) for item in parcel.items]),
    )


def _write_parcel(message: core_pb2.Parcel, parcel: Parcel) -> None:
    message.weight_g = parcel.weight_g
    if parcel.length_mm:
        message.length_mm = parcel.length_mm
    if parcel.width_mm:
        message.width_mm = parcel.width_mm
    if parcel.height_mm:
        message.height_mm = parcel.height_mm
    for item in parcel.items:
        _write_item(message.items.add(), item)


def _read_item(item: core_pb2.Item) -> Item:
    return Item(
        title=item.title,
        quantity=item.quantity,
        sku=item.sku,
        unit_price=read_money(item.unit_price) if item.HasField("unit_price") else None,
        weight_g=item.weight_g,
        hs_code=item.hs_code,
        origin_country_code=item.origin_country_code,
    )


def _write_item(message: core_pb2.Item, item: Item) -> None:
    message.title = item.title
    message.quantity = item.quantity
    if item.sku:
        message.sku = item.sku
    if item.unit_price is not None:
        _write_money(message.unit_price, item.unit_price)
    if item.weight_g:
        message.weight_g = item.weight_g
    if item.hs_code:
        message.hs_code = item.hs_code
    if item.origin_country_code:
        message.origin_country_code = item.origin_country_code


def read_money(money: core_pb2.Money) -> Money:
    """An amount."""
    return Money(money.currency_code, money.minor_units)


def write_money(money: Money | None) -> core_pb2.Money | None:
    """An amount, None when there is none."""
    return None if money is None else core_pb2.Money(currency_code=money.currency_code, minor_units=money.minor_units)


def _write_money(message: core_pb2.Money, money: Money) -> None:
    message.SetInParent()
    message.currency_code = money.currency_code
    message.minor_units = money.minor_units


def _read_options(options: core_pb2.Options) -> Options:
    start, end = options.pickup_start_time, options.pickup_end_time
    return Options(
        insured_value=read_money(options.insured_value) if options.HasField("insured_value") else None,
        cash_on_delivery=read_money(options.cash_on_delivery) if options.HasField("cash_on_delivery") else None,
        temperature=TEMPERATURES_READ[options.temperature],
        signed_receipt=options.signed_receipt,
        pickup=options.pickup,
        pickup_start_time=from_timestamp(start) if options.HasField("pickup_start_time") else None,
        pickup_end_time=from_timestamp(end) if options.HasField("pickup_end_time") else None,
    )


def _write_options(message: core_pb2.Options, options: Options) -> None:
    message.temperature = TEMPERATURES[options.temperature]
    if options is _NO_OPTIONS or options == _NO_OPTIONS:
        return
    if options.insured_value is not None:
        _write_money(message.insured_value, options.insured_value)
    if options.cash_on_delivery is not None:
        _write_money(message.cash_on_delivery, options.cash_on_delivery)
    message.signed_receipt = options.signed_receipt
    message.pickup = options.pickup
    if options.pickup_start_time:
        to_timestamp(options.pickup_start_time, message.pickup_start_time)
    if options.pickup_end_time:
        to_timestamp(options.pickup_end_time, message.pickup_end_time)


def _write_booking(message: core_pb2.Booking, booking: BookingRecord) -> None:
    message.carrier = booking.carrier
    message.account_id = booking.account_id
    message.service = booking.service
    message.service_name = booking.service_name
    message.waybill_number = booking.waybill_number
    if booking.sub_waybill_numbers:
        message.sub_waybill_numbers.extend(booking.sub_waybill_numbers)
    if booking.carrier_order_id:
        message.carrier_order_id = booking.carrier_order_id
    if booking.routing.sort_code:
        message.sort_code = booking.routing.sort_code
    if booking.routing.bag_address:
        message.bag_address = booking.routing.bag_address
    if booking.freight is not None:
        _write_money(message.freight, booking.freight)
    to_timestamp(booking.booked_time, message.booked_time)
    message.voided_locally = booking.voided_locally


def _write_attempt(message: core_pb2.Attempt, attempt: AttemptRecord) -> None:
    message.number = attempt.number
    message.carrier = attempt.carrier
    message.account_id = attempt.account_id
    message.service = attempt.service
    message.reference = attempt.reference
    message.state = ATTEMPT_STATES[attempt.state]
    if attempt.error_class:
        message.error_class = attempt.error_class
    if attempt.carrier_code:
        message.carrier_code = attempt.carrier_code
    if attempt.carrier_message:
        message.carrier_message = attempt.carrier_message
    if attempt.cause:
        message.cause = attempt.cause
    if attempt.lookups:
        message.lookup_count = attempt.lookups
    to_timestamp(attempt.start_time, message.start_time)
    if attempt.end_time is not None:
        to_duration((attempt.end_time - attempt.start_time).total_seconds(), message.duration)


def write_failure(message: core_pb2.Failure, failure: Failure) -> None:
    """Why an order or a return failed, into `message`."""
    message.reason = failure.reason
    message.message = failure.message
    message.remedy = failure.remedy
    message.field = failure.field
    message.carrier = failure.carrier
    message.carrier_code = failure.carrier_code
    message.carrier_message = failure.carrier_message
