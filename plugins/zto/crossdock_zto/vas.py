"""Value-added services (orderVasList, carrier sheet section 4.3): what is sent, what is refused.

vasAmount is in FEN. A wish ZTO is not told of by this plug-in is refused before anything is sent: a
parcel that should have been cold must not travel warm.
"""

from __future__ import annotations

import msgspec

from crossdock_sdk import CarrierError, ErrorClass, Money, Options, Temperature


class Vas(msgspec.Struct, frozen=True, rename="camel"):
    """One entry of orderVasList."""

    vas_type: str
    vas_amount: int


def check(options: Options, parcel_count: int) -> None:
    """Raise CarrierError for what this plug-in cannot order. Nothing has been sent then."""
    if parcel_count != 1:
        raise _not_offered("parcels", f"ZTO books one parcel a waybill, not {parcel_count}; split the order")
    if options.temperature is not Temperature.AMBIENT:
        raise _not_offered("options.temperature", "ZTO is booked for ambient goods only")
    if options.signed_receipt:
        raise _not_offered("options.signed_receipt", "signed receipts are not offered with ZTO")
    if options.pickup:
        raise _not_offered("options.pickup", "pick-up windows are not offered with ZTO")
    for name, amount in _amounts(options):
        if amount is not None and (amount.currency_code != "CNY" or amount.minor_units < 0):
            raise CarrierError(
                ErrorClass.INVALID_REQUEST,
                field=f"options.{name}",
                message="ZTO takes amounts in CNY, zero or more; convert the amount",
            )


def services(options: Options) -> tuple[Vas, ...]:
    """orderVasList of a booking; amounts of zero are no service."""
    kinds = {"cash_on_delivery": "COD", "insured_value": "insured"}
    return tuple(
        Vas(kinds[name], amount.minor_units)
        for name, amount in _amounts(options)
        if amount is not None and amount.minor_units
    )


def _amounts(options: Options) -> tuple[tuple[str, Money | None], ...]:
    return (
        ("cash_on_delivery", options.cash_on_delivery),
        ("insured_value", options.insured_value),
    )


def _not_offered(field: str, message: str) -> CarrierError:
    return CarrierError(ErrorClass.NO_SERVICE, field=field, message=message)
