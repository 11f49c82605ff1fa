"""One row becomes one order of the contract, or a list of problems.

Rules: what is a number here is checked here, in the column's own unit and never guessed. Names, phones and addresses go
to the engine as they are written, since it alone judges them.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Sequence

import msgspec

from crossdock.v1 import core_pb2
from engine.cli.ship.columns import ENUMS, FIELDS, ColumnMapping, Layout, field_of_path
from engine.cli.ship.problems import Problem, about

LARGEST_ORDER_BYTES = 256 * 1024
HEAVIEST_G = 1_000_000
LARGEST_FEN = 100_000_000_000
CURRENCY = "CNY"
HOME_COUNTRY = "CN"

_DECIMAL = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,9}))?")
_WHOLE = re.compile(r"([0-9]{1,9})(?:\.0+)?")
_THOUSANDS = re.compile(r"([0-9]{1,3})[,，]([0-9]{3})")
_COMMA = re.compile(r"([0-9]+)[,，]([0-9]+)")
_GROUPED = re.compile(r"[0-9]{1,3}([,，][0-9]{3})+\.[0-9]+")
_KEY_SPACE = uuid.UUID("a3b0c6de-38a1-5f0b-9a6c-0d5f2f8c7e11").bytes


class Parsed(msgspec.Struct, frozen=True):
    """A row's order. `key` is equal for equal orders and is the request id of the first try."""

    reference: str
    order: core_pb2.Order
    key: str

    def __repr__(self) -> str:
        return f"Parsed({self.reference!r}, order=***)"


class OrderReader:
    """Turns rows of one file into orders."""

    def __init__(self, layout: Layout, mapping: ColumnMapping) -> None:
        self._layout = layout
        self._values = {field: words for field, words in mapping.values.items() if field not in ENUMS}
        self._enums = {field: self._words(field, mapping) for field in ENUMS}
        self._weight_unit = mapping.weight_unit
        self._money_unit = mapping.money_unit
        self._plan = [(field, layout.positions.get(field, -1), mapping.defaults.get(field, "")) for field in FIELDS]

    def column_of_path(self, path: str) -> str:
        """The file's own column for a field path of the contract; empty when no column is to blame."""
        field = field_of_path(path)
        return self._layout.column(field) if field else ""

    def reference_of(self, cells: Sequence[str]) -> str:
        """The row's order number, also when the rest of it cannot be used."""
        position = self._layout.positions.get("reference", -1)
        return cells[position].strip() if 0 <= position < len(cells) else ""

    def read(self, cells: Sequence[str]) -> Parsed | list[Problem]:
        """The order, or everything that is wrong with the row's numbers and words."""
        values = {}
        for field, position, default in self._plan:
            text = cells[position] if position >= 0 else ""
            values[field] = text if text and not text.isspace() else default
        for field, words in self._values.items():
            values[field] = words.get(values[field].strip(), values[field])
        problems: list[Problem] = []
        order = self._order(values, problems)
        if problems:
            return problems
        body = order.SerializeToString(deterministic=True)
        if len(body) > LARGEST_ORDER_BYTES:
            return [
                Problem("", f"the row has {len(body)} bytes, {LARGEST_ORDER_BYTES} are allowed", "shorten its texts")
            ]
        digest = hashlib.blake2b(body, digest_size=16).hexdigest()
        return Parsed(order.reference, order, _uuid5(f"{order.reference}\n{digest}".encode()))

    def _order(self, values: dict[str, str], problems: list[Problem]) -> core_pb2.Order:
        reference = values["reference"].strip()
        if not reference:
            self._add(problems, "reference", "is empty", "give every order its own number")
        country = values["country_code"].strip()
        order = core_pb2.Order(
            reference=reference,
            recipient=core_pb2.Party(
                contact=core_pb2.Contact(
                    name=values["name"], phone=values["phone"], company=values["company"], email=values["email"]
                ),
                address=core_pb2.Address(
                    country_code=country,
                    province=values["province"],
                    city=values["city"],
                    district=values["district"],
                    town=values["town"],
                    street=values["street"],
                    postal_code=values["postal_code"].strip(),
                ),
            ),
            service_level=self._enum(values, "service_level", problems),  # type: ignore[arg-type]  # numbers of ENUMS
            remark=values["remark"],
        )
        self._fill_parcel(order.parcels.add(), values, country not in ("", HOME_COUNTRY), problems)
        self._fill_options(order, values, problems)
        return order

    def _fill_parcel(
        self, parcel: core_pb2.Parcel, values: dict[str, str], is_foreign: bool, problems: list[Problem]
    ) -> None:
        """All pieces of the row's article lie in one parcel; the weight is the parcel's."""
        quantity = self._quantity(values["quantity"], problems)
        parcel.weight_g = self._weight_g(values["weight"], problems)
        item = parcel.items.add(
            title=values["title"],
            quantity=quantity,
            sku=values["sku"].strip(),
            hs_code=values["hs_code"].strip(),
        )
        total_fen = self._fen(values, "amount", problems)
        if total_fen is not None and quantity:
            price_fen = unit_price_fen(total_fen, quantity, is_foreign)
            if price_fen is not None:
                item.unit_price.currency_code = CURRENCY
                item.unit_price.minor_units = price_fen
        if is_foreign:
            # The goods ship from the merchant's warehouse; a shop that resells imports maps a column of its own.
            item.origin_country_code = values["origin_country_code"].strip() or HOME_COUNTRY

    def _fill_options(self, order: core_pb2.Order, values: dict[str, str], problems: list[Problem]) -> None:
        temperature = self._enum(values, "temperature", problems)
        if temperature:
            order.options.temperature = temperature  # type: ignore[assignment]  # numbers of ENUMS
        insured_fen = self._fen(values, "insured_value", problems)
        if insured_fen:
            order.options.insured_value.currency_code = CURRENCY
            order.options.insured_value.minor_units = insured_fen
        collect_fen = self._fen(values, "cash_on_delivery", problems)
        if collect_fen:
            order.options.cash_on_delivery.currency_code = CURRENCY
            order.options.cash_on_delivery.minor_units = collect_fen

    def _weight_g(self, text: str, problems: list[Problem]) -> int:
        text = text.strip()
        unit = self._weight_unit
        scaled = scale_up(text, 3 if unit == "kg" else 0)
        if scaled is None:
            error, remedy = number_fault(text, f"weigh the parcel and write its {unit}, such as 1.5")
            self._add(problems, "weight", error, remedy)
            return 0
        whole_g, has_rest = scaled
        # Carriers bill started units: a part of a gram counts as one.
        weight_g = whole_g + has_rest
        if weight_g == 0:
            self._add(problems, "weight", "is 0", f"weigh the parcel and write its {unit}")
        elif weight_g > HEAVIEST_G:
            self._add(problems, "weight", "is more than 1000 kg", f"write the weight in {unit}")
            return 0
        return weight_g

    def _quantity(self, text: str, problems: list[Problem]) -> int:
        text = text.strip()
        found = _WHOLE.fullmatch(text)
        if found is None:
            error, remedy = number_fault(text, "count the pieces, from 1", is_count=True)
            self._add(problems, "quantity", error, remedy)
            return 0
        quantity = int(found[1])
        if quantity == 0:
            self._add(problems, "quantity", "is 0", "count the pieces, from 1")
        return quantity

    def _fen(self, values: dict[str, str], field: str, problems: list[Problem]) -> int | None:
        """The amount in fen, None when there is none or it is wrong."""
        text = values[field].strip()
        if not text:
            return None
        unit = self._money_unit
        scaled = scale_up(text, 2 if unit == "yuan" else 0)
        if scaled is None:
            error, remedy = number_fault(text, f"write the amount in {unit} in digits, such as 19.90")
            self._add(problems, field, error, remedy)
            return None
        fen, has_rest = scaled
        if has_rest:
            self._add(problems, field, "has a part of a fen", "write whole fen (two decimals of a yuan)")
            return None
        if fen > LARGEST_FEN:
            self._add(problems, field, "is more than 1,000,000,000 yuan", f"write the amount in {unit}")
            return None
        return fen

    def _enum(self, values: dict[str, str], field: str, problems: list[Problem]) -> int:
        """The contract's number of a word; empty is unspecified."""
        text = values[field].strip()
        if not text:
            return 0
        number = self._enums[field].get(text)
        if number is None:
            allowed = ", ".join(self._enums[field])
            self._add(problems, field, "is not a known word", f"write one of: {allowed}")
            return 0
        return number

    def _words(self, field: str, mapping: ColumnMapping) -> dict[str, int]:
        """The merchant's words first, since remedies list them in this order; the contract's own are taken too."""
        numbers = ENUMS[field]
        words = {word: numbers[value] for word, value in mapping.values.get(field, {}).items()}
        return words | dict(numbers)

    def _add(self, problems: list[Problem], field: str, error: str, remedy: str) -> None:
        problems.append(Problem(self._layout.column(field), error, remedy))


def _uuid5(name: bytes) -> str:
    """As `uuid.uuid5` in our own name space (RFC 9562, 5.5), at a fifth of its cost."""
    digest = bytearray(hashlib.sha1(_KEY_SPACE + name, usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def unit_price_fen(total_fen: int, quantity: int, is_foreign: bool) -> int | None:
    """The price of one piece, or None when it is not known to the fen.

    Domestic waybills need no price, so a total that does not divide leaves it out instead of inventing one. Customs
    need a declared price: there it is rounded half up to the fen, which changes the total by less than a fen a piece.
    """
    price, rest = divmod(total_fen, quantity)
    if rest == 0:
        return price
    return price + (rest * 2 >= quantity) if is_foreign else None


def scale_up(text: str, decimals: int) -> tuple[int, bool] | None:
    """A plain decimal times 10**decimals, exact, and whether digits are left behind; None when it is none."""
    found = _DECIMAL.fullmatch(text)
    if found is None:
        return None
    fraction = found[2] or ""
    kept, rest = fraction[:decimals], fraction[decimals:]
    return int(found[1] + kept.ljust(decimals, "0")), rest.strip("0") != ""


def number_fault(text: str, remedy: str, *, is_count: bool = False) -> tuple[str, str]:
    """Why a text is no plain number, and what to write instead. A count has no decimals to propose."""
    if not text:
        return "is empty", remedy
    if text.startswith(("-", "−", "－")):
        return about("is negative", text), remedy
    if is_count:
        return about("is no whole number", text), remedy
    if found := _THOUSANDS.fullmatch(text):
        return about("has a comma", text), f"write {found[1]}{found[2]} or {found[1]}.{found[2]}, whichever is meant"
    if found := _COMMA.fullmatch(text):
        return about("has a comma", text), f"write {found[1]}.{found[2]}"
    if _GROUPED.fullmatch(text):
        return about("has commas", text), f"write {text.replace(',', '').replace('，', '')}"
    return about("is no plain number", text), remedy
