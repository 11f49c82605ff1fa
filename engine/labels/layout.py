"""Lays a label out: content in, scene out. Pure; here and in `plans` its look is decided.

From the top: carrier and service, routing code (大头笔, the largest text), hub bag (集包地),
barcode, recipient (收), shipper (寄), money marks and weight, goods with the QR code, and a stub
with a second barcode where the paper is long enough. Names, phones and addresses are masked here,
always.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.labels.blocks_lower import info_row, marks_row, stub_row
from engine.labels.blocks_upper import (
    bag_row,
    barcode_row,
    header_row,
    party_row,
    sort_row,
)
from engine.labels.errors import BadContent
from engine.labels.fontset import FontSet
from engine.labels.model import Dpi, LabelContent, LabelSize
from engine.labels.plans import MARGIN_MM, PLANS, Plan
from engine.labels.scene import Box, Scene
from engine.labels.sheet import Sheet

Row = Callable[[Sheet, Box, LabelContent, Plan], None]


def lay_out(content: LabelContent, size: LabelSize, dpi: Dpi, fonts: FontSet) -> Scene:
    """The scene of one label. Raises LabelError naming the field that cannot be printed."""
    check(content)
    plan = PLANS[size]
    sheet = Sheet(size, dpi, fonts)
    inner = Box(0, 0, size.width_mm, size.height_mm).inset(MARGIN_MM)
    y = inner.y
    for draw, height in _rows(content, plan):
        if y > inner.y:
            sheet.horizontal(inner.x, y, inner.width)
        draw(sheet, Box(inner.x, y, inner.width, height), content, plan)
        y += height
    sheet.frame(inner, 0.375)
    return sheet.scene()


def _rows(content: LabelContent, plan: Plan) -> list[tuple[Row, float]]:
    # A carrier without a routing code gives its room to the recipient.
    spare = 0.0 if content.sort_code.strip() else plan.sort
    rows: list[tuple[Row, float]] = [
        (header_row, plan.header),
        (sort_row, plan.sort - spare),
        (bag_row, plan.bag),
        (barcode_row, plan.barcode),
        (_recipient, plan.recipient + spare),
        (_shipper, plan.shipper),
        (marks_row, plan.marks),
        (info_row, plan.info),
        (stub_row, plan.stub),
    ]
    return [(draw, height) for draw, height in rows if height > 0]


def _recipient(sheet: Sheet, box: Box, content: LabelContent, plan: Plan) -> None:
    party_row(sheet, box, content.recipient, plan, field="recipient")


def _shipper(sheet: Sheet, box: Box, content: LabelContent, plan: Plan) -> None:
    party_row(sheet, box, content.shipper, plan, field="shipper")


def check(content: LabelContent) -> None:
    """Raises BadContent for values no label can show."""
    if not 1 <= content.piece_number <= content.piece_count:
        raise BadContent(
            "piece_number",
            f"piece {content.piece_number} of {content.piece_count} does not exist",
            "Number the pieces from 1 to piece_count",
        )
    if content.printed_at.tzinfo is None:
        raise BadContent("printed_at", "the time has no zone", "Pass a datetime with the warehouse's time zone")
    if content.weight_g is not None and content.weight_g < 0:
        raise BadContent("weight_g", "the weight is negative", "Pass grams, or None if unknown")
    for field in ("cod_minor_units", "insured_minor_units"):
        amount: int | None = getattr(content, field)
        if amount is not None and amount < 0:
            raise BadContent(field, "the amount is negative", "Pass minor units, or None if there is none")
