"""What an order must be before anything is stored: every violation at once, and the normalised draft.

Pure. Field paths are those of the contract's `Order`. The contract's own rules (lengths, ranges) have been checked
before; here stand the rules that need knowledge: divisions, phones, what a parcel abroad needs.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache

from msgspec.structs import replace

from crossdock_sdk import Address, Contact, Money, Options, Parcel, Party, Temperature
from engine.core.policy.address import check_address
from engine.core.policy.fields import (
    FieldViolation,
    check_country_code,
    check_name,
    check_postal_code,
    prefixed,
    without_invisible,
)
from engine.core.policy.phone import carrier_phone, check_phone
from engine.core.policy.records import OrderDraft

SUPPORTED_CURRENCIES = ("CNY",)
# Carriers use letters and digits; parts of a shipment, and what some shops make of a number, have the others.
_WAYBILL_NUMBER = re.compile(r"[0-9A-Za-z][0-9A-Za-z\-_/.]{0,39}")


def check_order(draft: OrderDraft) -> tuple[OrderDraft, tuple[FieldViolation, ...]]:
    """The draft with canonical addresses and phones, and everything that is wrong with it."""
    shipper, from_violations = check_party(draft.shipper, "shipper")
    recipient, to_violations = check_party(draft.recipient, "recipient")
    found = [*from_violations, *to_violations]
    if not without_invisible(draft.reference).strip():
        # Without it nothing would know a repeat again, and the parcel would be booked twice.
        remedy = "give your own number of the order: it keeps a repeat from booking twice"
        found.append(FieldViolation("reference", "is blank", remedy))
    for index, parcel in enumerate(draft.parcels):
        found += _parcel_violations(parcel, f"parcels[{index}]")
    found += _option_violations(draft)
    found += _routing_violations(draft)
    if draft.recipient.address.country_code != draft.shipper.address.country_code:
        found += _customs_violations(draft)
    return replace(draft, shipper=shipper, recipient=recipient), tuple(found)


@lru_cache(maxsize=1024)
def check_party(party: Party, path: str) -> tuple[Party, tuple[FieldViolation, ...]]:
    """One end of the order, normalised. Remembered: most orders of a merchant leave from the same warehouse."""
    contact, address = party.contact, party.address
    country = address.country_code
    found = list(check_name(contact.name, f"{path}.contact.name"))
    phone = check_phone(contact.phone, country)
    found += prefixed(phone.violations, f"{path}.contact")
    found += check_country_code(country, f"{path}.address.country_code")
    found += check_postal_code(address.postal_code, country, f"{path}.address.postal_code")
    place = check_address(address.province, address.city, address.district, address.street, country_code=country)
    found += [v for v in prefixed(place.violations, f"{path}.address") if not v.field.endswith("country_code")]
    normal = Party(
        contact=Contact(
            name=contact.name.strip(),
            phone=contact.phone if phone.violations else carrier_phone(phone),
            company=contact.company.strip(),
            email=contact.email,
        ),
        address=Address(
            country_code=country,
            province=place.province,
            city=place.city,
            district=place.district,
            town=address.town.strip(),
            street=place.street,
            postal_code=address.postal_code,
        ),
    )
    return normal, tuple(found)


def _parcel_violations(parcel: Parcel, path: str) -> Iterator[FieldViolation]:
    if parcel.weight_g <= 0:
        yield FieldViolation(f"{path}.weight_g", "is not more than 0", "weigh the parcel; write grams")
    for index, item in enumerate(parcel.items):
        where = f"{path}.items[{index}]"
        if not item.title.strip():
            yield FieldViolation(f"{where}.title", "is empty", "say what is inside")
        if item.quantity <= 0:
            yield FieldViolation(f"{where}.quantity", "is not more than 0", "count the pieces, from 1")


def _option_violations(draft: OrderDraft) -> Iterator[FieldViolation]:
    options = draft.options
    for name, money in (
        ("insured_value", options.insured_value),
        ("cash_on_delivery", options.cash_on_delivery),
    ):
        yield from _money_violations(money, f"options.{name}")
    start, end = options.pickup_start_time, options.pickup_end_time
    if (start or end) and not options.pickup:
        yield FieldViolation(
            "options.pickup", "is not set although a window is given", "set it, or leave the window out"
        )
    if start and end and end <= start:
        yield FieldViolation("options.pickup_end_time", "is not after pickup_start_time", "swap them")
    if options.temperature is not Temperature.AMBIENT and options.signed_receipt:
        yield FieldViolation("options.signed_receipt", "is not offered for cold chain", "leave it out")


def window_violations(options: Options, now: datetime) -> tuple[FieldViolation, ...]:
    """A pickup window that is over; no courier comes then. Apart from `check_order`, since a repeat may come later."""
    return window_over(options.pickup_end_time, now, "options.pickup_end_time")


def window_over(end: datetime | None, now: datetime, field: str) -> tuple[FieldViolation, ...]:
    """The same of a window's end that stands elsewhere. `field`: where it stands."""
    if end is None or end > now:
        return ()
    return (FieldViolation(field, "is over", "give a window that ends later, or leave it out"),)


def check_waybill_number(number: str, field: str) -> tuple[FieldViolation, ...]:
    """A number as somebody has it from a label or a list, in half or full width."""
    text = unicodedata.normalize("NFKC", number).strip()
    if _WAYBILL_NUMBER.fullmatch(text):
        return ()
    if not text:
        return (FieldViolation(field, "is empty", "give the number on the waybill"),)
    if any(char.isspace() for char in text):
        return (FieldViolation(field, "has a blank inside", "write one number, without blanks"),)
    return (FieldViolation(field, "is no waybill number", "write letters, digits and - _ / . alone, at most 40"),)


def _money_violations(money: Money | None, path: str) -> Iterator[FieldViolation]:
    if money is None:
        return
    if money.currency_code not in SUPPORTED_CURRENCIES:
        yield FieldViolation(
            f"{path}.currency_code", f"is {money.currency_code!r}", "carriers here settle in CNY; convert it"
        )
    if money.minor_units <= 0:
        yield FieldViolation(
            f"{path}.minor_units", "is not more than 0", "write fen (19.90 yuan = 1990), or leave it out"
        )


def _routing_violations(draft: OrderDraft) -> Iterator[FieldViolation]:
    wish = draft.routing
    for code in wish.excluded:
        if code in wish.allowed or code in wish.preferred:
            yield FieldViolation(
                "routing.excluded_carriers", f"{code} is both wanted and excluded", "take it off one of the lists"
            )


def _customs_violations(draft: OrderDraft) -> Iterator[FieldViolation]:
    """What customs ask of every parcel that crosses a border (WCO SAFE minimum data of a postal item)."""
    for p, parcel in enumerate(draft.parcels):
        for i, item in enumerate(parcel.items):
            path = f"parcels[{p}].items[{i}]"
            if not item.hs_code:
                yield FieldViolation(f"{path}.hs_code", "is empty", "parcels abroad need the HS code, 6 to 10 digits")
            if item.unit_price is None:
                yield FieldViolation(f"{path}.unit_price", "is missing", "parcels abroad need a declared price")
            if not item.origin_country_code:
                yield FieldViolation(
                    f"{path}.origin_country_code", "is empty", "parcels abroad need the country of origin"
                )
