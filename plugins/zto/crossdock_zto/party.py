"""Names, phones and addresses in the spellings ZTO's calls want."""

from __future__ import annotations

import re

import msgspec

from crossdock_sdk import Address, Party

_MOBILE = re.compile(r"1[0-9]{10}")


class SenderInfo(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """`senderInfo` of createOrder: one of mobile and phone."""

    sender_name: str
    sender_mobile: str = ""
    sender_phone: str = ""
    sender_province: str = ""
    sender_city: str = ""
    sender_district: str = ""
    sender_address: str = ""

    def __repr__(self) -> str:
        return "SenderInfo(***)"


class ReceiveInfo(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """`receiveInfo` of createOrder; the key really has no second r, its fields do."""

    receiver_name: str
    receiver_mobile: str = ""
    receiver_phone: str = ""
    receiver_province: str = ""
    receiver_city: str = ""
    receiver_district: str = ""
    receiver_address: str = ""

    def __repr__(self) -> str:
        return "ReceiveInfo(***)"


class Place(msgspec.Struct, frozen=True):
    """An address as the enquiry calls take it."""

    province: str
    city: str
    district: str
    address: str

    def __repr__(self) -> str:
        return "Place(***)"


def sender(party: Party) -> SenderInfo:
    """The shipper as createOrder wants it."""
    mobile, phone = _phones(party.contact.phone)
    at = party.address
    return SenderInfo(party.contact.name, mobile, phone, at.province, at.city, at.district, street(at))


def receiver(party: Party) -> ReceiveInfo:
    """The recipient as createOrder wants it."""
    mobile, phone = _phones(party.contact.phone)
    at = party.address
    return ReceiveInfo(party.contact.name, mobile, phone, at.province, at.city, at.district, street(at))


def place(address: Address) -> Place:
    """An address as the price query wants it."""
    return Place(address.province, address.city, address.district, street(address))


def street(address: Address) -> str:
    """Town and street: ZTO has no field for the town."""
    return address.town + address.street


def _phones(number: str) -> tuple[str, str]:
    """(mobile, phone): exactly one is filled, as ZTO asks."""
    return (number, "") if _MOBILE.fullmatch(number) else ("", number)
