"""The upper rows of a label: carrier, routing code, bag, barcode, recipient and shipper.

Each function draws one row into the box it is given and returns nothing. Sizes in points,
lengths in mm.
"""

from __future__ import annotations

from engine.labels.masking import mask_address, mask_name, mask_phone
from engine.labels.model import LabelContent, LabelParty
from engine.labels.plans import Plan
from engine.labels.scene import Box
from engine.labels.sheet import Sheet
from engine.labels.symbols import code128

_PAD = 1.5

#: Words on the inverted mark of a parcel that must stay cold.
_TEMPERATURES = {"CHILLED": ("冷藏", "CHILLED"), "FROZEN": ("冷冻", "FROZEN")}


def header_row(sheet: Sheet, box: Box, content: LabelContent, plan: Plan) -> None:
    """Carrier at the left, service at the right, the temperature mark at the edge."""
    cold = _TEMPERATURES.get(content.temperature)
    if cold:
        mark = box.right(box.height * 1.9)
        sheet.band(mark)
        upper, lower = mark.top(mark.height * 0.62), mark.below(mark.height * 0.6)
        sheet.text(
            cold[0],
            upper.inset(1, 0.6),
            field="temperature",
            max_pt=plan.name_pt + 3,
            bold=True,
            white=True,
            align="C",
        )
        sheet.text(
            cold[1],
            lower.inset(1, 0.4),
            field="temperature",
            max_pt=7.5,
            bold=True,
            white=True,
            align="C",
        )
        box = box.before(mark.width)
    body = box.inset(_PAD, 0.9)
    name, service = body.left(body.width * 0.56), body.after(body.width * 0.58)
    if content.carrier_name_en:
        sheet.text(
            content.carrier_name_en.upper(),
            name.below(name.height * 0.68),
            field="carrier_name_en",
            max_pt=7.5,
            valign="B",
            may_cut=True,
        )
        name = name.top(name.height * 0.66)
    sheet.text(
        content.carrier_name_zh or content.carrier_code.upper(),
        name,
        field="carrier_name_zh",
        max_pt=plan.name_pt + 4,
        bold=True,
    )
    sheet.text(
        content.service_name,
        service,
        field="service_name",
        max_pt=plan.name_pt + 1,
        max_lines=2,
        bold=True,
        align="R",
    )


def sort_row(sheet: Sheet, box: Box, content: LabelContent, plan: Plan) -> None:
    """The routing code over the whole width."""
    sheet.text(
        content.sort_code,
        box.inset(_PAD, 0.6),
        field="sort_code",
        max_pt=plan.sort_pt,
        min_pt=14,
        max_lines=2,
        bold=True,
        align="C",
    )


def bag_row(sheet: Sheet, box: Box, content: LabelContent, plan: Plan) -> None:
    """The hub whose bag the parcel goes into, and which piece of how many this is."""
    piece = box.right(22 if box.width > 80 else 17)
    sheet.vertical(piece.x, box.y, box.height)
    sheet.text(
        f"{content.piece_number}/{content.piece_count}",
        piece.inset(1, 0.5),
        field="piece_number",
        max_pt=plan.name_pt + 2,
        bold=True,
        align="C",
    )
    body = box.before(piece.width)
    tag = Box(body.x + _PAD, body.y + 1.5, 11 if box.width > 80 else 9.5, body.height - 3)
    sheet.frame(tag)
    sheet.text("集包地", tag.inset(0.5, 0.3), field="bag_address", max_pt=8.5, align="C")
    sheet.text(
        content.bag_address,
        body.after(tag.width + 2 * _PAD).inset(0.5, 0.5),
        field="bag_address",
        max_pt=plan.name_pt + 3,
        bold=True,
        max_lines=2,
    )


def barcode_row(sheet: Sheet, box: Box, content: LabelContent, plan: Plan) -> None:
    """The waybill number as Code 128 with the number beneath."""
    number_height = 5.2 if box.height > 20.5 else 4.8
    bars = code128(content.waybill_number, "waybill_number")
    body = Box(box.x, box.y + 1.6, box.width, box.height - number_height - 2.2)
    sheet.code128(content.waybill_number, bars, body, "waybill_number")
    sheet.text(
        group_number(content.waybill_number),
        Box(box.x, box.y + box.height - number_height, box.width, number_height - 0.6),
        field="waybill_number",
        max_pt=13,
        bold=True,
        align="C",
    )


def party_row(sheet: Sheet, box: Box, party: LabelParty, plan: Plan, *, field: str) -> None:
    """Recipient (large, black mark) or shipper (small, outlined mark), masked."""
    is_recipient = field == "recipient"
    cell = box.left(plan.mark_cell)
    side = plan.mark_cell - (2.6 if is_recipient else 3.6)
    mark = Box(cell.x + (cell.width - side) / 2, box.y + (box.height - side) / 2, side, side)
    if is_recipient:
        sheet.band(mark)
    else:
        sheet.frame(mark)
    sheet.text(
        "收" if is_recipient else "寄",
        mark.inset(0.4),
        field=field,
        max_pt=20,
        bold=True,
        white=is_recipient,
        align="C",
    )
    sheet.vertical(cell.x + cell.width, box.y, box.height)
    body = box.after(cell.width).inset(_PAD, 0.9)
    line_height = 6.4 if is_recipient else 4.4
    name_pt = plan.name_pt if is_recipient else plan.name_pt - 4
    name = f"{mask_name(party.name)}  {mask_phone(party.phone)}"
    _name_line(sheet, body.top(line_height), party, field, name_pt, len(name))
    sheet.text(
        mask_address(party.address_line),
        body.below(line_height + 0.3),
        field=f"{field}.address",
        max_pt=plan.address_pt if is_recipient else plan.address_pt - 4,
        max_lines=12,
        valign="T",
    )


def _name_line(sheet: Sheet, box: Box, party: LabelParty, field: str, max_pt: float, length: int) -> None:
    name, phone = mask_name(party.name), mask_phone(party.phone)
    # The phone stands at the right edge and takes what it needs; the name has the rest.
    share = min(0.6, max(0.3, (len(phone) + 1) / max(length, 1)))
    phone_width = box.width * share if phone.strip() else 0.0
    sheet.text(
        name,
        box.before(phone_width + (1 if phone_width else 0)),
        field=f"{field}.contact.name",
        max_pt=max_pt,
        max_lines=2,
        bold=True,
    )
    if phone_width:
        sheet.text(
            phone,
            box.right(phone_width),
            field=f"{field}.contact.phone",
            max_pt=max_pt,
            bold=True,
            align="R",
        )


def group_number(number: str) -> str:
    """`SF1990000000017` as `SF 1990 0000 0001 7`: easier to read out and to type."""
    digits = number.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    letters = number[: len(number) - len(digits)]
    if not digits.isdigit():
        return number
    groups = [digits[i : i + 4] for i in range(0, len(digits), 4)]
    return " ".join(([letters] if letters else []) + groups)
