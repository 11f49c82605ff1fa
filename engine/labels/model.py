"""What goes into a label and which shapes come out: plain frozen values.

Texts are as the order has them, unmasked: masking is the layout's work, so that no caller can
forget it. Lengths are millimetres, weights grams, money the minor unit of its currency.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Any, Literal

import msgspec

Dpi = Literal[203, 300]

#: Dots per mm of the print heads. "203 dpi" heads have exactly 8 dots a millimetre.
DOTS_PER_MM: dict[int, float] = {203: 8.0, 300: 300 / 25.4}


class LabelFormat(Enum):
    """The file a label is delivered as."""

    PDF = "PDF"
    PNG = "PNG"
    ZPL = "ZPL"


class LabelSize(Enum):
    """The paper a label is laid out for. The value is the name in settings and requests."""

    MM_100X150 = "100x150"
    MM_100X180 = "100x180"
    MM_76X130 = "76x130"
    IN_4X6 = "4x6in"

    @property
    def width_mm(self) -> float:
        """Width of the paper, the edge that leaves the printer first."""
        return _SIZES_MM[self][0]

    @property
    def height_mm(self) -> float:
        """Height of the paper."""
        return _SIZES_MM[self][1]


_SIZES_MM: dict[LabelSize, tuple[float, float]] = {
    LabelSize.MM_100X150: (100.0, 150.0),
    LabelSize.MM_100X180: (100.0, 180.0),
    LabelSize.MM_76X130: (76.0, 130.0),
    LabelSize.IN_4X6: (101.6, 152.4),
}

Temperature = Literal["AMBIENT", "CHILLED", "FROZEN"]


class LabelParty(msgspec.Struct, frozen=True, kw_only=True):
    """Shipper or recipient, unmasked. Its repr shows nothing personal."""

    name: str
    phone: str
    #: Province, city, district, town and street in one line, as the courier reads it.
    address_line: str

    def __repr__(self) -> str:
        return "LabelParty(***)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []


class LabelContent(msgspec.Struct, frozen=True, kw_only=True):
    """Everything one label shows. An empty text leaves its place empty."""

    carrier_code: str
    carrier_name_zh: str
    carrier_name_en: str = ""
    service_name: str = ""
    waybill_number: str
    #: The parent of a multi-piece shipment; empty when it is `waybill_number` itself.
    master_waybill_number: str = ""
    piece_number: int = 1
    piece_count: int = 1
    #: 大头笔, the routing code sorters read: SF `destRouteLabel`, ZTO `mark`.
    sort_code: str = ""
    #: 集包地, the hub whose bag the parcel goes into: ZTO `bagAddr`.
    bag_address: str = ""
    #: Text of the QR code; empty means the waybill number. SF: `twoDimensionCode`.
    qr_text: str = ""
    shipper: LabelParty
    recipient: LabelParty
    goods: str = ""
    weight_g: int | None = None
    reference: str = ""
    remark: str = ""
    temperature: Temperature = "AMBIENT"
    cod_minor_units: int | None = None
    insured_minor_units: int | None = None
    #: ISO 4217 code of both amounts.
    currency: str = "CNY"
    #: Short words for what was ordered besides, such as 签单返还 or 本人签收.
    service_marks: tuple[str, ...] = ()
    printed_at: datetime

    # Remarks and carriers' QR texts may hold personal data as well.
    def __repr__(self) -> str:
        return f"LabelContent({self.carrier_code} {self.waybill_number})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("waybill_number", self.waybill_number)]
