"""Layout: everything stays in its box, nothing important is cut, every character has a glyph."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.labels import (
    BadContent,
    FontSet,
    LabelContent,
    LabelError,
    LabelSize,
    TextDoesNotFit,
    UnprintableCharacter,
    UnusableSymbol,
)
from engine.labels.blocks_lower import money, weight
from engine.labels.layout import lay_out
from engine.labels.plans import MARGIN_MM, PLANS
from engine.labels.scene import Scene
from engine.labels.symbols import qr
from engine.labels.textfit import fit_or_cut, wrap

MakeContent = Callable[..., LabelContent]

_ADDRESS = st.text(st.sampled_from("四川省成都市武侯区天府大道号栋室，（）- Aapt125#*"), max_size=180)
_SHORT = st.text(st.sampled_from("特价赠品新ABCxyz 0123456789*&\"'<>☕，。"), max_size=120)


def _texts(scene: Scene, field: str) -> str:
    return "".join(run.text for run in scene.texts if run.field == field)


def _outside(scene: Scene) -> list[str]:
    # Two dots of play: rounding of the box and of the run.
    return [
        run.field
        for run in scene.texts
        if run.x < run.box.x - 2
        or run.x + run.width > run.box.x + run.box.width + 2
        or run.baseline - 0.88 * run.em < run.box.y - 2
        or run.baseline + 0.12 * run.em > run.box.y + run.box.height + 2
    ]


@pytest.mark.parametrize("size", list(LabelSize))
def test_rows_fill_the_paper_between_the_margins(size: LabelSize) -> None:
    """The heights of a plan add up to the paper without its margins."""
    plan = PLANS[size]

    assert plan.total == pytest.approx(size.height_mm - 2 * MARGIN_MM)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.sampled_from(list(LabelSize)),
    dpi=st.sampled_from([203, 300]),
    address=_ADDRESS,
    goods=_SHORT,
    remark=_SHORT,
    sort_code=st.text(st.sampled_from("028W-AB 510A03"), max_size=24),
    cold=st.sampled_from(["AMBIENT", "CHILLED", "FROZEN"]),
    cod=st.none() | st.integers(0, 10**9),
)
def test_no_text_leaves_its_box(
    make_content: MakeContent,
    fonts: FontSet,
    size: LabelSize,
    dpi: Any,
    address: str,
    goods: str,
    remark: str,
    sort_code: str,
    cold: str,
    cod: int | None,
) -> None:
    """Whatever the texts, each line stays in the box it was given, or the label is refused."""
    content = make_content(
        address=address,
        goods=goods,
        remark=remark,
        sort_code=sort_code,
        temperature=cold,
        cod_minor_units=cod,
    )

    try:
        scene = lay_out(content, size, dpi, fonts)
    except TextDoesNotFit:
        return

    assert _outside(scene) == []
    for box in (*(run.box for run in scene.texts), *scene.rects, *scene.bands):
        assert 0 <= box.x <= box.x + box.width <= scene.width
        assert 0 <= box.y <= box.y + box.height <= scene.height


@pytest.mark.parametrize("size", list(LabelSize))
@pytest.mark.parametrize("repeat", [1, 5, 12])
def test_address_is_never_cut(make_content: MakeContent, fonts: FontSet, size: LabelSize, repeat: int) -> None:
    """A long address gets smaller and wraps, but all of it is on the label."""
    address = "人民路269号万科城北区" * repeat

    scene = lay_out(make_content(address=address), size, 203, fonts)

    assert _texts(scene, "recipient.address") == address


def test_address_that_cannot_fit_is_refused(make_content: MakeContent, fonts: FontSet) -> None:
    """An address too long for the smallest size is an error that names the field."""
    content = make_content(address="人民路269号万科城" * 60)

    with pytest.raises(TextDoesNotFit, match="choose a larger label") as caught:
        lay_out(content, LabelSize.MM_100X150, 203, fonts)

    assert caught.value.field == "recipient.address"
    assert "人民" not in str(caught.value)


def test_long_goods_end_visibly(make_content: MakeContent, fonts: FontSet) -> None:
    """Goods that do not fit end with an ellipsis."""
    content = make_content(goods="保温杯、" * 200)

    scene = lay_out(content, LabelSize.MM_76X130, 203, fonts)

    assert _texts(scene, "goods").endswith("…")


def test_unknown_character_in_goods_is_spelled_out(make_content: MakeContent, fonts: FontSet) -> None:
    """A pictograph no font has becomes its code point, in goods and remark only."""
    scene = lay_out(make_content(goods="保温杯☕"), LabelSize.MM_100X150, 203, fonts)

    assert _texts(scene, "goods").endswith("保温杯[U+2615]")


@pytest.mark.parametrize(
    ("changes", "field", "code_point"),
    [
        ({"name": "𠮷桂㛃"}, "recipient.contact.name", "U+20BB7"),
        ({"address": "人民路☕号"}, "recipient.address", "U+2615"),
    ],
)
def test_unknown_character_in_name_or_address_is_refused(
    make_content: MakeContent,
    fonts: FontSet,
    changes: dict[str, str],
    field: str,
    code_point: str,
) -> None:
    """A character no font has is named with its code point, its field and the remedy."""
    with pytest.raises(UnprintableCharacter, match=r"labels\.extra_fonts") as caught:
        lay_out(make_content(**changes), LabelSize.MM_100X150, 203, fonts)

    assert (caught.value.field, caught.value.code_point) == (field, code_point)


def test_script_that_needs_shaping_is_refused(make_content: MakeContent, fonts: FontSet) -> None:
    """Arabic set letter by letter would be wrong on paper, so the error asks for Latin letters."""
    with pytest.raises(UnprintableCharacter, match="Latin letters"):
        lay_out(make_content(name="محمد علي"), LabelSize.MM_100X150, 203, fonts)


def test_rare_han_of_extension_a_prints(make_content: MakeContent, fonts: FontSet) -> None:
    """A surname outside GBK but in the font's Extension A is printed."""
    scene = lay_out(make_content(name="㛃桂"), LabelSize.MM_100X150, 203, fonts)

    assert _texts(scene, "recipient.contact.name") == "㛃*"


def test_every_printed_character_has_a_glyph(make_content: MakeContent, fonts: FontSet) -> None:
    """No character on a laid-out label would come out as an empty box."""
    scene = lay_out(make_content(remark="ﾊﾝ カナ ①②③ ％＆ ℃ ½ é Ž"), LabelSize.MM_100X180, 203, fonts)

    missing = [c for run in scene.texts for c in run.text if not fonts.has(c)]
    assert missing == []


def test_fonts_have_every_han_character_of_gbk_and_extension_a(fonts: FontSet) -> None:
    """Names are registered in GBK and, rarely, Extension A: the bundled font has all of them."""
    code_points = [*range(0x4E00, 0x9FA6), *range(0x3400, 0x4DB6)]

    missing = [hex(code_point) for code_point in code_points if not fonts.has(chr(code_point))]

    assert missing == []


def test_nothing_personal_is_printed_unmasked(make_content: MakeContent, fonts: FontSet) -> None:
    """No run on the label holds the full name, phone or room of either party."""
    scene = lay_out(make_content(), LabelSize.MM_100X180, 203, fonts)

    everything = "\n".join(run.text for run in scene.texts)
    for secret in ("欧阳娜军", "19900000015", "1101", "样例仓库", "88880000"):
        assert secret not in everything


def test_nothing_personal_shows_in_a_repr(make_content: MakeContent) -> None:
    """A label that ends up in a log line names its waybill and no person."""
    content = make_content(remark="欧阳娜军 19900000015")

    shown = f"{content!r} {content.recipient!r} {list(content.__rich_repr__())}"

    assert "SF1990000000017" in shown
    assert "欧阳" not in shown
    assert "1990000001" + "5" not in shown


def test_routing_code_is_the_largest_text(make_content: MakeContent, fonts: FontSet) -> None:
    """Sorters read the routing code from afar: nothing on the label is larger."""
    scene = lay_out(make_content(), LabelSize.MM_100X150, 203, fonts)

    largest = max(scene.texts, key=lambda run: run.em)
    assert largest.field == "sort_code"


@pytest.mark.parametrize("size", list(LabelSize))
def test_barcode_is_high_and_quiet_enough(make_content: MakeContent, fonts: FontSet, size: LabelSize) -> None:
    """Every barcode is 10 mm high or more, with ten modules of paper on both sides."""
    scene = lay_out(make_content(), size, 203, fonts)

    for bars in scene.barcodes:
        quiet = 10 * bars.module_dots
        assert bars.height >= 10 * 8
        assert bars.x - quiet >= 0
        assert bars.x + len(bars.modules) * bars.module_dots + quiet <= scene.width


@pytest.mark.parametrize(
    ("changes", "error", "field"),
    [
        ({"piece_number": 4}, BadContent, "piece_number"),
        ({"printed_at": datetime(2026, 3, 2)}, BadContent, "printed_at"),
        ({"weight_g": -1}, BadContent, "weight_g"),
        ({"cod_minor_units": -1}, BadContent, "cod_minor_units"),
        ({"waybill_number": ""}, UnusableSymbol, "waybill_number"),
        ({"waybill_number": "SF^XA"}, UnusableSymbol, "waybill_number"),
        ({"qr_text": "x" * 301}, UnusableSymbol, "qr_text"),
    ],
)
def test_impossible_content_is_refused(
    make_content: MakeContent,
    fonts: FontSet,
    changes: dict[str, Any],
    error: type[LabelError],
    field: str,
) -> None:
    """A value no label can show is an error that names its field and the remedy."""
    with pytest.raises(error) as caught:
        lay_out(make_content(**changes), LabelSize.MM_100X150, 203, fonts)

    assert caught.value.field == field
    assert caught.value.remedy in str(caught.value)


@pytest.mark.parametrize(
    ("minor_units", "currency", "shown"),
    [
        (19900, "CNY", "¥199.00"),
        (5, "CNY", "¥0.05"),
        (1234567890, "USD", "USD 12,345,678.90"),
        (1200, "JPY", "JPY 1,200"),
        (1500, "KWD", "KWD 1.500"),
    ],
)
def test_money_is_exact_in_every_currency(minor_units: int, currency: str, shown: str) -> None:
    """Amounts are written from minor units with the currency's own digits."""
    result = money(minor_units, currency)

    assert result == shown


@pytest.mark.parametrize(("grams", "shown"), [(450, "0.45 kg"), (1, "0.001 kg"), (2000, "2.00 kg")])
def test_weight_is_exact_to_the_gram(grams: int, shown: str) -> None:
    """Grams become kilograms without rounding."""
    result = weight(grams)

    assert result == shown


@given(st.text(st.sampled_from("四川，。（）ab 12-/"), max_size=60), st.integers(1000, 9000))
def test_wrapped_lines_hold_everything_and_are_narrow(text: str, limit: int) -> None:
    """Wrapping loses only spaces at line ends and never makes a line wider than the limit."""
    advances = [1000 if ord(character) > 0x2E80 else 500 for character in text]

    lines = wrap(text, advances, limit)

    assert "".join(text[a:b] for a, b in lines).replace(" ", "") == text.replace(" ", "")
    assert all(sum(advances[a:b]) <= limit for a, b in lines)


def test_cut_text_keeps_as_much_as_fits() -> None:
    """A text is cut at the last place where the ellipsis still fits."""
    fitted = fit_or_cut("abcdefgh", [500] * 8, width=3, height=1, ems=[1.0], max_lines=1)

    assert fitted.lines == ("abcd…",)


def test_qr_is_the_same_symbol_as_another_encoder_makes() -> None:
    """segno, which shares no code with our encoder, makes the same modules with some mask."""
    segno = pytest.importorskip("segno")
    number = "73100000000017"
    ours = qr(number, "qr_text")

    masks = [segno.make_qr(number, error="m", boost_error=False, mask=mask) for mask in range(8)]

    matrices = [tuple(tuple(bool(cell) for cell in row) for row in code.matrix) for code in masks]
    assert ours.rows in matrices
