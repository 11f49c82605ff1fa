"""Rows become orders: every odd kind of number and word, and nothing guessed."""

from __future__ import annotations

import uuid

import pytest

from crossdock.v1 import core_pb2
from engine.cli.ship.columns import DEFAULT_COLUMNS, DEFAULT_MAPPING, ColumnMapping, field_of_path, read_header
from engine.cli.ship.orders import OrderReader, Parsed, unit_price_fen
from engine.cli.ship.problems import Problem, ShipError
from tests.unit.cli.ship.support import HEADER, order_row

READER = OrderReader(read_header(HEADER, DEFAULT_MAPPING), DEFAULT_MAPPING)


def order_of(**cells: str) -> core_pb2.Order:
    """The order of a clean row with some cells changed."""
    parsed = READER.read(order_row("SO1", **cells))
    assert isinstance(parsed, Parsed), parsed
    return parsed.order


def problems_of(**cells: str) -> list[Problem]:
    """What is wrong with a clean row with some cells changed."""
    found = READER.read(order_row("SO1", **cells))
    assert isinstance(found, list), "the row was taken"
    return found


@pytest.mark.parametrize(
    ("text", "weight_g"),
    [("1.10", 1100), ("0.45", 450), (" 2 ", 2000), ("0.4561", 457), ("0.0001", 1), ("126.00", 126_000), ("007", 7000)],
)
def test_weight(text: str, weight_g: int) -> None:
    """Kilograms become grams exactly; a part of a gram counts as one."""
    assert order_of(**{"重量(kg)": text}).parcels[0].weight_g == weight_g


@pytest.mark.parametrize(
    ("column", "text", "error", "remedy"),
    [
        ("重量(kg)", "1,5", "has a comma: 1,5", "write 1.5"),
        ("重量(kg)", "1,500", "has a comma: 1,500", "write 1500 or 1.500, whichever is meant"),
        ("重量(kg)", "-1.2", "is negative: -1.2", "weigh the parcel and write its kg, such as 1.5"),
        ("重量(kg)", "0", "is 0", "weigh the parcel and write its kg"),
        ("重量(kg)", "0.000", "is 0", "weigh the parcel and write its kg"),
        ("重量(kg)", "", "is empty", "weigh the parcel and write its kg, such as 1.5"),
        ("重量(kg)", "1.5kg", "is no plain number", "weigh the parcel and write its kg, such as 1.5"),
        ("重量(kg)", "1e3", "is no plain number", "weigh the parcel and write its kg, such as 1.5"),
        ("重量(kg)", "１．５", "is no plain number", "weigh the parcel and write its kg, such as 1.5"),
        ("重量(kg)", "1100", "is more than 1000 kg", "write the weight in kg"),
        ("数量", "0", "is 0", "count the pieces, from 1"),
        ("数量", "1.5", "is no whole number: 1.5", "count the pieces, from 1"),
        ("数量", "", "is empty", "count the pieces, from 1"),
        ("订单金额(元)", "一百", "is no plain number: 一百", "write the amount in yuan in digits, such as 19.90"),
        ("订单金额(元)", "1,299.00", "has commas: 1,299.00", "write 1299.00"),
        ("订单金额(元)", "1.999", "has a part of a fen", "write whole fen (two decimals of a yuan)"),
        ("代收货款(元)", "一百", "is no plain number: 一百", "write the amount in yuan in digits, such as 19.90"),
        ("保价(元)", "-5", "is negative: -5", "write the amount in yuan in digits, such as 19.90"),
        ("时效", "次日", "is not a known word", "write one of: 标准, 加急, STANDARD, EXPRESS"),
        (
            "温层",
            "冰",
            "is not a known word",
            "write one of: 常温, 冷藏, 冷冻, AMBIENT, CHILLED, FROZEN",
        ),
        ("订单号", " ", "is empty", "give every order its own number"),
    ],
)
def test_wrong_cell(column: str, text: str, error: str, remedy: str) -> None:
    """A wrong number or word names the file's own column, what is wrong and what to write."""
    assert problems_of(**{column: text}) == [Problem(column, error, remedy)]


def test_all_problems_of_a_row_are_told() -> None:
    """Nobody has to correct a row twice."""
    found = problems_of(**{"重量(kg)": "1,5", "数量": "0", "时效": "?"})

    assert {problem.column for problem in found} == {"重量(kg)", "数量", "时效"}


def test_personal_data_is_not_quoted() -> None:
    """A row whose cells moved does not put a name or phone into an error, nor does any repr."""
    found = problems_of(**{"重量(kg)": "诸葛平艳", "数量": "+86 199-0000 1335"})

    assert not any(word in str(found) for word in ("诸葛", "1335"))
    assert "陈娜" not in repr(READER.read(order_row("SO1")))


def test_addresses_go_as_they_are() -> None:
    """Names, phones and streets are the engine's to judge: not even a break is touched."""
    order = order_of(收件人="𠮷玉㛃", 电话="+86 199-0000 1335", 详细地址="文化东路77\n\t2号", 市="")

    assert (order.recipient.contact.name, order.recipient.contact.phone) == ("𠮷玉㛃", "+86 199-0000 1335")
    assert (order.recipient.address.street, order.recipient.address.city) == ("文化东路77\n\t2号", "")
    assert not order.HasField("shipper")


@pytest.mark.parametrize(
    ("total", "quantity", "is_foreign", "price"),
    [
        (19900, 1, False, 19900),
        (26700, 3, False, 8900),
        (10000, 3, False, None),
        (10000, 3, True, 3333),
        (5, 2, True, 3),
    ],
)
def test_price_of_one_piece(total: int, quantity: int, is_foreign: bool, price: int | None) -> None:
    """A price that is no whole fen is left out at home and rounded half up abroad."""
    assert unit_price_fen(total, quantity, is_foreign) == price


def test_options() -> None:
    """Insurance, collection, speed and cold come from their columns; empty and 0 mean none."""
    plain = order_of(**{"保价(元)": "0", "代收货款(元)": ""})
    full = order_of(**{"保价(元)": "89", "代收货款(元)": "69.5", "时效": "加急", "温层": "冷藏", "备注": "轻放"})

    assert not plain.options.HasField("insured_value")
    assert not plain.options.HasField("cash_on_delivery")
    assert (full.options.insured_value.minor_units, full.options.cash_on_delivery.minor_units) == (8900, 6950)
    assert full.service_level == core_pb2.SERVICE_LEVEL_EXPRESS
    assert (full.options.temperature, full.remark) == (core_pb2.TEMPERATURE_CHILLED, "轻放")


def test_parcel_abroad() -> None:
    """Customs get price, code and origin; at home the origin stays out."""
    abroad = order_of(国家="US", 数量="3", HS编码="610443", **{"订单金额(元)": "100"}).parcels[0].items[0]
    home = order_of(国家="中国").parcels[0].items[0]

    assert (abroad.hs_code, abroad.origin_country_code, abroad.unit_price.minor_units) == ("610443", "CN", 3333)
    assert home.origin_country_code == ""


def test_key_follows_the_content() -> None:
    """The same order has the same key in every run; any change gives another."""
    keys = [READER.read(order_row("SO1", **cells)) for cells in ({}, {}, {"市": "厦门市"})]

    first, again, other = [parsed.key for parsed in keys if isinstance(parsed, Parsed)]
    assert first == again != other
    assert (str(uuid.UUID(first)), uuid.UUID(first).version) == (first, 5)


@pytest.mark.parametrize(
    ("path", "column"),
    [
        ("order.recipient.contact.phone", "电话"),
        ("order.recipient.contact.name", "收件人"),
        ("order.recipient.address.city", "市"),
        ("order.recipient.address.district", "区县"),
        ("order.recipient.address.country_code", "国家"),
        ("order.parcels[0].weight_g", "重量(kg)"),
        ("order.parcels[0].items[0].quantity", "数量"),
        ("order.parcels[0].items[0].hs_code", "HS编码"),
        ("order.parcels[0].items[0].unit_price.minor_units", "订单金额(元)"),
        ("order.options.insured_value.minor_units", "保价(元)"),
        ("order.reference", "订单号"),
        ("recipient.address", "详细地址"),
        ("items", "商品"),
        ("remark", "备注"),
        ("order.shipper.contact.phone", ""),
        ("sort_code", ""),
    ],
)
def test_field_path_to_column(path: str, column: str) -> None:
    """Paths of violations, failures and labels lead back to the merchant's column, or to none."""
    assert READER.column_of_path(path) == column


def test_every_column_can_be_named_by_a_path() -> None:
    """No column of the usual export is one that a path can never lead to."""
    reached = {field_of_path(path) for path in _LEAVES}

    assert set(DEFAULT_COLUMNS.values()) <= reached


_LEAVES = [
    *(f"recipient.address.{f.name}" for f in core_pb2.Address.DESCRIPTOR.fields),
    *(f"recipient.contact.{f.name}" for f in core_pb2.Contact.DESCRIPTOR.fields),
    *(f"parcels[3].items[2].{f.name}" for f in core_pb2.Item.DESCRIPTOR.fields),
    *(f"options.{f.name}" for f in core_pb2.Options.DESCRIPTOR.fields),
    *(f.name for f in core_pb2.Order.DESCRIPTOR.fields),
    "parcels[0].weight_g",
]


def test_header_without_a_needed_column() -> None:
    """What is missing and what is there are both named."""
    with pytest.raises(
        ShipError, match=r"missing column: 电话 \(phone\), 数量 \(quantity\).*there: 订单号, .*, 备注2;"
    ):
        read_header(["订单号", "收件人", "详细地址", "商品", "重量（kg）", "备注2"], DEFAULT_MAPPING)


def test_column_twice() -> None:
    """Two columns of one name are not chosen between."""
    with pytest.raises(ShipError, match="a second time"):
        read_header([*HEADER, "电话"], DEFAULT_MAPPING)


def test_units_and_defaults() -> None:
    """A mapping's units are taken exactly, and defaults fill empty cells and missing columns."""
    columns = {
        "n": "reference",
        "to": "name",
        "tel": "phone",
        "addr": "street",
        "what": "title",
        "g": "weight",
        "$": "amount",
    }
    mapping = ColumnMapping(columns, {}, {"quantity": "2", "title": "百货"}, weight_unit="g", money_unit="fen")
    reader = OrderReader(read_header(list(columns), mapping), mapping)
    parsed = reader.read(["7", "a", "1", "x", "", "1100", "1990"])

    assert isinstance(parsed, Parsed)
    parcel = parsed.order.parcels[0]
    assert (parcel.weight_g, parcel.items[0].title, parcel.items[0].quantity) == (1100, "百货", 2)
    assert parcel.items[0].unit_price.minor_units == 995
