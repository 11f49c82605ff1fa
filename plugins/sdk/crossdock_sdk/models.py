"""The trade's nouns as frozen structs, the same words as in the proto contract.

Units stand in the names; times are aware; money is an integer of minor units.
Personal data is masked in every repr, so that a stray log line shows nothing.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

import msgspec

from crossdock_sdk.errors import CarrierError


class Money(msgspec.Struct, frozen=True):
    """An amount in minor units: `Money("CNY", 1990)` is 19.90 yuan (ISO 4217 exponent 2)."""

    currency_code: str
    minor_units: int

    def decimal(self) -> str:
        """The amount in major units as carriers write it: "19.90".

        For currencies with two decimals.
        """
        sign = "-" if self.minor_units < 0 else ""
        return f"{sign}{abs(self.minor_units) // 100}.{abs(self.minor_units) % 100:02d}"


class Contact(msgspec.Struct, frozen=True):
    """A person or desk.

    `phone` is normalised: 11-digit mobile, landline `0755-86010515`, or E.164 abroad.
    """

    name: str
    phone: str
    company: str = ""
    email: str = ""

    def __repr__(self) -> str:
        return "Contact(***)"


class Address(msgspec.Struct, frozen=True):
    """A postal address. For CN the levels are canonical names of the official divisions."""

    country_code: str = "CN"
    province: str = ""
    city: str = ""
    district: str = ""
    town: str = ""
    street: str = ""
    postal_code: str = ""

    def line(self) -> str:
        """All levels in one line, largest first, as written on a Chinese waybill."""
        city = self.city if self.city != self.province else ""
        return f"{self.province}{city}{self.district}{self.town}{self.street}"

    def __repr__(self) -> str:
        return f"Address({self.country_code} {self.province} {self.city} ***)"


class Party(msgspec.Struct, frozen=True):
    """Who sends or receives."""

    contact: Contact
    address: Address


class Item(msgspec.Struct, frozen=True):
    """One line of goods inside a parcel. `unit_price` is per piece."""

    title: str
    quantity: int = 1
    sku: str = ""
    unit_price: Money | None = None
    weight_g: int = 0
    hs_code: str = ""
    origin_country_code: str = ""


class Parcel(msgspec.Struct, frozen=True):
    """One physical piece. Lengths are 0 when unknown."""

    weight_g: int
    length_mm: int = 0
    width_mm: int = 0
    height_mm: int = 0
    items: tuple[Item, ...] = ()


class Temperature(StrEnum):
    """Temperature layer (温层)."""

    AMBIENT = "AMBIENT"
    CHILLED = "CHILLED"
    FROZEN = "FROZEN"


class ServiceLevel(StrEnum):
    """How fast the merchant wants it (时效)."""

    STANDARD = "STANDARD"
    EXPRESS = "EXPRESS"


class Option(StrEnum):
    """What a booking may ask for beyond carriage; a manifest lists those its carrier takes."""

    INSURED_VALUE = "insured_value"
    CASH_ON_DELIVERY = "cash_on_delivery"
    CHILLED = "chilled"
    FROZEN = "frozen"
    SIGNED_RECEIPT = "signed_receipt"
    PICKUP = "pickup"
    MULTI_PARCEL = "multi_parcel"


class Options(msgspec.Struct, frozen=True):
    """Value-added services of one booking."""

    insured_value: Money | None = None
    cash_on_delivery: Money | None = None
    temperature: Temperature = Temperature.AMBIENT
    signed_receipt: bool = False
    pickup: bool = False
    pickup_start_time: datetime | None = None
    pickup_end_time: datetime | None = None


class Lane(msgspec.Struct, frozen=True):
    """What is needed to price a shipment: both ends, weights, service, options."""

    shipper: Party
    recipient: Party
    parcels: tuple[Parcel, ...]
    service: str = ""
    options: Options = Options()

    @property
    def weight_g(self) -> int:
        """Total weight of all parcels."""
        return sum(parcel.weight_g for parcel in self.parcels)


class Booking(msgspec.Struct, frozen=True):
    """One booking as the engine hands it to a carrier.

    `reference` is ours, derived from order and attempt, at most 40 characters of `[A-Za-z0-9-]`,
    never reused for another shipment. `service` is the carrier's own product code.
    `order_reference` is the merchant's.
    """

    reference: str
    shipper: Party
    recipient: Party
    parcels: tuple[Parcel, ...]
    service: str
    options: Options = Options()
    order_reference: str = ""
    remark: str = ""

    @property
    def weight_g(self) -> int:
        """Total weight of all parcels."""
        return sum(parcel.weight_g for parcel in self.parcels)

    @property
    def goods(self) -> str:
        """Titles of all items, for carriers that want one line."""
        return "，".join(dict.fromkeys(i.title for p in self.parcels for i in p.items))


class Routing(msgspec.Struct, frozen=True):
    """What the carrier's sorting needs printed. Empty where the carrier gives none."""

    sort_code: str = ""
    """Big routing text (大头笔)."""
    bag_address: str = ""
    """Bag address (集包地)."""
    qr_text: str = ""
    """Text of the two-dimensional code; empty means the waybill number."""
    product_name: str = ""
    """The product the carrier will perform, printed on the label."""


class Booked(msgspec.Struct, frozen=True):
    """Proof of a booking.

    `waybill_number` is the master, `sub_waybill_numbers` the other pieces in order.
    """

    reference: str
    waybill_number: str
    sub_waybill_numbers: tuple[str, ...] = ()
    carrier_order_id: str = ""
    routing: Routing = Routing()
    freight: Money | None = None


class Absent(msgspec.Struct, frozen=True):
    """The carrier has no booking under this reference."""

    reference: str


class Pending(msgspec.Struct, frozen=True):
    """The carrier has taken the booking in but not decided; look again later."""

    reference: str
    reason: str = ""


class Refused(msgspec.Struct, frozen=True):
    """The carrier refused or voided the booking: nothing is live under this reference."""

    reference: str
    code: str = ""
    reason: str = ""


BookOutcome: TypeAlias = Booked | CarrierError
FindOutcome: TypeAlias = Booked | Absent | Pending | Refused | CarrierError


class Cancellation(msgspec.Struct, frozen=True):
    """A booking to be cancelled, with everything a carrier may ask for."""

    reference: str
    waybill_number: str
    carrier_order_id: str = ""
    sub_waybill_numbers: tuple[str, ...] = ()


class Cancelled(msgspec.Struct, frozen=True):
    """The booking is void.

    `local_only`: the carrier has no cancel call and recycles unused numbers itself.
    """

    reference: str
    local_only: bool = False


CancelOutcome: TypeAlias = Cancelled | CarrierError


class Quote(msgspec.Struct, frozen=True):
    """A price for one service on one lane; None where the carrier does not tell."""

    service: str
    freight: Money | None = None
    transit_s: int | None = None
    deliver_by_time: datetime | None = None


QuoteOutcome: TypeAlias = tuple[Quote, ...] | CarrierError


class LabelRequest(msgspec.Struct, frozen=True):
    """A waybill whose carrier-made label is wanted."""

    waybill_number: str
    sub_waybill_numbers: tuple[str, ...] = ()
    width_mm: int = 100
    height_mm: int = 150


class CarrierLabel(msgspec.Struct, frozen=True):
    """A label file made by the carrier, one page a piece, master first."""

    waybill_number: str
    content: bytes
    media_type: str = "application/pdf"


LabelOutcome: TypeAlias = CarrierLabel | CarrierError


class SortCodeRequest(msgspec.Struct, frozen=True):
    """Asks for routing codes of a lane. `reference` is any id unique to the parcel."""

    reference: str
    shipper: Address
    recipient: Address


SortCodeOutcome: TypeAlias = Routing | CarrierError
