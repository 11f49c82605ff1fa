"""The lower rows of a label: money and weight, goods with the QR code, and the stub.

Each function draws one row into the box it is given. Goods, reference and remark may end with
"…" and spell out a character no font has; nothing else here may.
"""

from __future__ import annotations

from engine.labels.blocks_upper import group_number
from engine.labels.masking import mask_name, mask_phone
from engine.labels.model import LabelContent
from engine.labels.plans import Plan
from engine.labels.scene import Box
from engine.labels.sheet import MIN_CODE128_HEIGHT_MM, Sheet
from engine.labels.symbols import code128, qr

_PAD = 1.5


def _words(text: str) -> list[str]:
    return text.split()


#: ISO 4217 currencies whose minor unit is not a hundredth.
_MINOR_DIGITS = {
    **dict.fromkeys(_words("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"), 0),
    **dict.fromkeys(_words("BHD IQD JOD KWD LYD OMR TND"), 3),
}


def money(minor_units: int, currency: str) -> str:
    """`¥1,234.50` for CNY, `JPY 1,200` for the rest: never through a float."""
    digits = _MINOR_DIGITS.get(currency, 2)
    whole, rest = divmod(minor_units, 10**digits)
    amount = f"{whole:,}" + (f".{rest:0{digits}d}" if digits else "")
    return f"¥{amount}" if currency == "CNY" else f"{currency} {amount}"


def weight(weight_g: int) -> str:
    """`0.45 kg`, exact to the gram."""
    whole, rest = divmod(weight_g, 1000)
    decimals = f"{rest:03d}".rstrip("0").ljust(2, "0")
    return f"{whole}.{decimals} kg"


def marks_row(sheet: Sheet, box: Box, content: LabelContent, plan: Plan) -> None:
    """Cash on delivery (inverted), insured value, service marks, weight: one cell each."""
    cells: list[tuple[str, str, str, float]] = []
    if content.cod_minor_units is not None:
        amount = money(content.cod_minor_units, content.currency)
        cells.append(("", f"代收货款 {amount}", "cod_minor_units", 2.1))
    if content.insured_minor_units is not None:
        amount = money(content.insured_minor_units, content.currency)
        cells.append(("保价", amount, "insured_minor_units", 1.3))
    if content.service_marks:
        cells.append(("", " · ".join(content.service_marks), "service_marks", 1.4))
    if content.weight_g is not None:
        cells.append(("重量", weight(content.weight_g), "weight_g", 1.1))
    if not cells:
        return
    unit = box.width / sum(cell[3] for cell in cells)
    for index, (caption, value, field, share) in enumerate(cells):
        cell = box.left(unit * share)
        box = box.after(cell.width)
        inverted = field == "cod_minor_units"
        if inverted:
            sheet.band(cell)
        elif index:
            sheet.vertical(cell.x, cell.y, cell.height)
        cell = cell.inset(1, 0.7)
        if caption:
            sheet.text(caption, cell.top(cell.height * 0.42), field=field, max_pt=8, align="C")
            cell = cell.below(cell.height * 0.44)
        sheet.text(
            value,
            cell,
            field=field,
            max_pt=plan.name_pt if inverted else plan.name_pt - 5,
            bold=True,
            white=inverted,
            align="C",
            max_lines=1 if caption else 2,
        )


def info_row(sheet: Sheet, box: Box, content: LabelContent, plan: Plan) -> None:
    """Goods, reference and remark at the left, the QR code at the right."""
    side = min(box.height, box.width * 0.36)
    code = box.right(side)
    text = content.qr_text or content.waybill_number
    sheet.vertical(code.x, box.y, box.height)
    sheet.qr(text, qr(text, "qr_text"), code.inset(0.2), "qr_text")
    body = box.before(side).inset(_PAD, 0.9)
    foot = body.below(body.height - 3.4)
    sheet.text(
        f"打印 {content.printed_at:%Y-%m-%d %H:%M}",
        foot,
        field="printed_at",
        max_pt=7,
        valign="B",
    )
    body = body.top(body.height - 3.6)
    lines = [
        ("物品", content.goods, "goods", 2.2),
        ("单号", content.reference, "reference", 1.0),
        ("母单", _master(content), "master_waybill_number", 1.0),
        ("备注", content.remark, "remark", 2.0),
    ]
    present = [line for line in lines if line[1].strip()]
    if not present:
        return
    unit = min(body.height / sum(line[3] for line in present), 5.0)
    for label, value, field, share in present:
        row = body.top(unit * share)
        _labelled(sheet, row, label, value, field, may_cut=field != "master_waybill_number")
        body = body.below(row.height)


def _labelled(sheet: Sheet, row: Box, label: str, value: str, field: str, *, may_cut: bool) -> None:
    tag = row.left(7.5).top(min(row.height, 3.8))
    sheet.text(label, tag, field=field, max_pt=8, bold=True)
    one_line = row.height < 5.2
    sheet.text(
        value,
        row.after(8).top(tag.height if one_line else row.height - 0.3),
        field=field,
        max_pt=9 if one_line else 8.5,
        max_lines=1 if one_line else 3,
        valign="M" if one_line else "T",
        may_cut=may_cut,
    )


def _master(content: LabelContent) -> str:
    if content.master_waybill_number in ("", content.waybill_number):
        return ""
    return group_number(content.master_waybill_number)


def stub_row(sheet: Sheet, box: Box, content: LabelContent, plan: Plan) -> None:
    """The part that is torn off or kept: a second barcode, and for whom the parcel was."""
    bars = code128(content.waybill_number, "waybill_number")
    tall = box.height > 20
    code_height = max(MIN_CODE128_HEIGHT_MM, 12.0 if tall else 0.0)
    upper = box.top(code_height + 4.8) if tall else box
    code = upper.left(upper.width * 0.62)
    sheet.code128(
        content.waybill_number,
        bars,
        Box(code.x, code.y + 1.0, code.width, code_height),
        "waybill_number",
    )
    sheet.text(
        group_number(content.waybill_number),
        Box(code.x, code.y + code_height + 1.2, code.width, upper.height - code_height - 1.4),
        field="waybill_number",
        max_pt=8.5,
        align="C",
    )
    side = upper.after(code.width)
    sheet.vertical(side.x, side.y, side.height)
    _stub_side(sheet, side.inset(_PAD, 1.0), content, plan)
    if tall:
        sheet.horizontal(box.x, upper.y + upper.height, box.width)
        _stub_foot(sheet, box.below(upper.height).inset(_PAD, 0.9), content)


def _stub_side(sheet: Sheet, box: Box, content: LabelContent, plan: Plan) -> None:
    sheet.text(
        content.carrier_name_zh or content.carrier_code.upper(),
        box.top(box.height * 0.5),
        field="carrier_name_zh",
        max_pt=plan.name_pt - 2,
        bold=True,
    )
    sheet.text(
        f"第 {content.piece_number} 件 / 共 {content.piece_count} 件",
        box.below(box.height * 0.5).top(box.height * 0.25),
        field="piece_number",
        max_pt=8,
    )
    sheet.text(
        f"{content.printed_at:%m-%d %H:%M}  {content.service_name}".strip(),
        box.below(box.height * 0.75),
        field="service_name",
        max_pt=8,
        may_cut=True,
    )


def _stub_foot(sheet: Sheet, box: Box, content: LabelContent) -> None:
    recipient = content.recipient
    upper = box.top(box.height * 0.5)
    sheet.text(
        f"收 {mask_name(recipient.name)}  {mask_phone(recipient.phone)}",
        upper,
        field="recipient.contact.name",
        max_pt=10,
        bold=True,
    )
    lower = " · ".join(part for part in (content.reference, content.goods) if part.strip())
    sheet.text(lower, box.below(box.height * 0.5), field="goods", max_pt=9, may_cut=True)
