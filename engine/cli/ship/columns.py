"""What columns an order file has, what they mean, and which of our fields each one fills.

Knowledge as tables: the fields a row may fill, the header of the usual Chinese order export, the words for service
level, temperature and country, and the way back from a field path of the contract to the merchant's own column.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from engine.cli.ship.problems import ShipError

FIELDS: Mapping[str, str] = {
    "reference": "the merchant's order number",
    "name": "recipient's name",
    "phone": "recipient's phone",
    "company": "recipient's company",
    "email": "recipient's e-mail",
    "country_code": "two letters of ISO 3166-1; empty means CN",
    "province": "province or state",
    "city": "city",
    "district": "district or county",
    "town": "town or street office",
    "street": "street and house, or the whole address",
    "postal_code": "postal code",
    "title": "what is inside",
    "sku": "stock keeping unit",
    "quantity": "pieces of the article, all in one parcel",
    "weight": "weight of the whole parcel",
    "amount": "total price of the order",
    "insured_value": "value to insure; empty or 0 means none",
    "cash_on_delivery": "amount to collect; empty or 0 means none",
    "service_level": "STANDARD or EXPRESS",
    "temperature": "AMBIENT, CHILLED or FROZEN",
    "hs_code": "Harmonized System code",
    "origin_country_code": "where the goods come from; parcels abroad only, default CN",
    "remark": "note to the courier",
}
"""Every field a row may fill, and what it is."""

REQUIRED = ("reference", "name", "phone", "street", "title", "quantity", "weight")
"""An order cannot be shipped without these; each needs a column or a default."""

DEFAULT_COLUMNS: Mapping[str, str] = {
    "订单号": "reference",
    "收件人": "name",
    "电话": "phone",
    "国家": "country_code",
    "省": "province",
    "市": "city",
    "区县": "district",
    "详细地址": "street",
    "商品": "title",
    "数量": "quantity",
    "重量(kg)": "weight",
    "订单金额(元)": "amount",
    "保价(元)": "insured_value",
    "代收货款(元)": "cash_on_delivery",
    "时效": "service_level",
    "温层": "temperature",
    "HS编码": "hs_code",
    "备注": "remark",
}
"""Header of the usual Chinese export -> field."""

DEFAULT_VALUES: Mapping[str, Mapping[str, str]] = {
    "service_level": {"标准": "STANDARD", "加急": "EXPRESS"},
    "temperature": {"常温": "AMBIENT", "冷藏": "CHILLED", "冷冻": "FROZEN"},
    "country_code": {"中国": "CN"},
}
"""Words of a column -> our value."""

ENUMS: Mapping[str, Mapping[str, int]] = {
    "service_level": {"STANDARD": 1, "EXPRESS": 2},
    "temperature": {"AMBIENT": 1, "CHILLED": 2, "FROZEN": 3},
}
"""Fields with a closed list of values, and their numbers in the contract (ServiceLevel, Temperature)."""

# First match wins, so what is longer stands first. Paths are those of the contract's Order, which the engine's
# violations, failures and labels share; a label calls a whole address `recipient.address` and the goods `items`.
_PATHS: Sequence[tuple[str, str]] = (
    ("reference", "reference"),
    ("recipient.contact.name", "name"),
    ("recipient.contact.phone", "phone"),
    ("recipient.contact.company", "company"),
    ("recipient.contact.email", "email"),
    ("recipient.contact", "name"),
    ("recipient.address.country_code", "country_code"),
    ("recipient.address.province", "province"),
    ("recipient.address.city", "city"),
    ("recipient.address.district", "district"),
    ("recipient.address.town", "town"),
    ("recipient.address.street", "street"),
    ("recipient.address.postal_code", "postal_code"),
    ("recipient.address", "street"),
    ("recipient", "name"),
    ("parcels.weight_g", "weight"),
    ("parcels.items.title", "title"),
    ("parcels.items.quantity", "quantity"),
    ("parcels.items.sku", "sku"),
    ("parcels.items.unit_price", "amount"),
    ("parcels.items.hs_code", "hs_code"),
    ("parcels.items.origin_country_code", "origin_country_code"),
    ("parcels.items", "title"),
    ("service_level", "service_level"),
    ("options.insured_value", "insured_value"),
    ("options.cash_on_delivery", "cash_on_delivery"),
    ("options.temperature", "temperature"),
    ("remark", "remark"),
    # What a label calls its parts.
    ("weight_g", "weight"),
    ("goods", "title"),
    ("items", "title"),
    ("temperature", "temperature"),
    ("cod_minor_units", "cash_on_delivery"),
    ("insured_minor_units", "insured_value"),
)
_INDEX = re.compile(r"\[\d+\]")


class ColumnMapping(msgspec.Struct, frozen=True):
    """How a merchant's file is read. `grams_per_unit` is 1000 for kg, `fen_per_unit` 100 for yuan."""

    columns: Mapping[str, str]
    values: Mapping[str, Mapping[str, str]]
    defaults: Mapping[str, str]
    weight_unit: str = "kg"
    money_unit: str = "yuan"
    encoding: str = ""


class Layout(msgspec.Struct, frozen=True):
    """A header read with a mapping: where each field stands, under which name, and what nobody asked for."""

    width: int
    positions: Mapping[str, int]
    headers: Mapping[str, str]
    unknown: Sequence[str]

    def column(self, field: str) -> str:
        """The file's own name of a field's column, or the field's when the file has none."""
        return self.headers.get(field, field)


DEFAULT_MAPPING = ColumnMapping(DEFAULT_COLUMNS, DEFAULT_VALUES, {})


def normal_header(text: str) -> str:
    """A header as the tables write it: trimmed, brackets half-width, no byte-order mark."""
    return text.replace("\ufeff", "").replace("（", "(").replace("）", ")").strip()


def read_header(cells: Sequence[str], mapping: ColumnMapping) -> Layout:
    """Where each field stands. Raises ShipError that names what is missing and what is there."""
    wanted = {normal_header(name): field for name, field in mapping.columns.items()}
    positions: dict[str, int] = {}
    headers: dict[str, str] = {}
    unknown: list[str] = []
    for position, cell in enumerate(cells):
        name = normal_header(cell)
        field = wanted.get(name)
        if field is None:
            if name:
                unknown.append(name)
        elif field in positions:
            raise ShipError(
                f"line 1: column {name!r} would fill {field} a second time (the first is {headers[field]!r}); "
                "rename or remove one of them"
            )
        else:
            positions[field], headers[field] = position, name
    missing = [field for field in REQUIRED if field not in positions and field not in mapping.defaults]
    if missing:
        names = {field: name for name, field in mapping.columns.items()}
        lost = ", ".join(f"{names.get(field, '(not mapped)')!s} ({field})" for field in missing)
        there = ", ".join(normal_header(cell) for cell in cells if cell.strip()) or "none"
        raise ShipError(
            f"line 1: missing column: {lost}; columns that are there: {there}; "
            "rename the columns, or tell with --map which of them is which"
        )
    return Layout(len(cells), positions, headers, tuple(unknown))


def field_of_path(path: str) -> str:
    """Our field for a path such as `order.parcels[0].weight_g`; empty when no column can be to blame."""
    plain = _INDEX.sub("", path.removeprefix("order."))
    for prefix, field in _PATHS:
        if plain == prefix or plain.startswith(prefix + "."):
            return field
    return ""
