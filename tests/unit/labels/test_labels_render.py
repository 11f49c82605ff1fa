"""The three back ends: what a scanner and a second reader see is what was meant."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import zxingcpp
from fontTools.fontBuilder import FontBuilder  # type: ignore[import-untyped]
from fontTools.pens.ttGlyphPen import TTGlyphPen  # type: ignore[import-untyped]
from PIL import Image
from pypdf import PdfReader

from engine.labels import (
    BadFont,
    FontSet,
    LabelContent,
    LabelFormat,
    LabelSize,
    UnsupportedOutput,
    convert_carrier_pdf,
    render,
)
from engine.labels.scene import page_dots

MakeContent = Callable[..., LabelContent]

_MODULES = Path(os.environ.get("CROSSDOCK_ZPL_RENDERER", Path(__file__).parents[2] / "node_modules"))
_RENDERER = Path(__file__).with_name("zpl_render.mjs")
needs_renderer = pytest.mark.skipif(
    not (_MODULES / "zpl-renderer-js").is_dir() or shutil.which("node") is None,
    reason="zpl-renderer-js is not installed: npm ci --prefix tests",
)

#: The shape of SF's `twoDimensionCode`.
_QR_TEXT = "MMM={'k1':'028W','k5':'SF1990000000017','k6':''}"


def _decoded(image: Image.Image) -> list[tuple[str, str]]:
    codes = zxingcpp.read_barcodes(image.convert("L"))
    return sorted((str(code.format).replace(" ", ""), code.text) for code in codes)


def _expected(size: LabelSize) -> list[tuple[str, str]]:
    barcode_count = 1 if size is LabelSize.MM_76X130 else 2
    return [("Code128", "SF1990000000017")] * barcode_count + [("QRCode", _QR_TEXT)]


def _zpl_images(labels: list[tuple[bytes, LabelSize, int]], folder: Path) -> list[Image.Image]:
    jobs: list[dict[str, object]] = []
    for index, (zpl, size, dpi) in enumerate(labels):
        source = folder / f"{index}.zpl"
        source.write_bytes(zpl)
        jobs.append(
            {
                "zpl": str(source),
                "png": str(folder / f"{index}.png"),
                "width_mm": size.width_mm,
                "height_mm": size.height_mm,
                "dots_per_mm": {203: 8, 300: 12}[dpi],
            }
        )
    plan = folder / "jobs.json"
    plan.write_text(json.dumps(jobs), encoding="utf-8")
    subprocess.run(["node", str(_RENDERER), str(_MODULES), str(plan)], check=True, timeout=120)
    return [Image.open(str(job["png"])) for job in jobs]


@pytest.mark.parametrize("size", list(LabelSize))
@pytest.mark.parametrize("dpi", [203, 300])
def test_png_is_read_by_a_scanner(make_content: MakeContent, fonts: FontSet, size: LabelSize, dpi: Any) -> None:
    """Every code on a PNG decodes, and the PNG has exactly the printer's dots."""
    content = make_content(qr_text=_QR_TEXT)

    png = render(content, format=LabelFormat.PNG, size=size, dpi=dpi, fonts=fonts)

    image = Image.open(BytesIO(png))
    assert image.mode == "1"
    assert image.size == page_dots(size, dpi)
    assert _decoded(image) == _expected(size)


@needs_renderer
def test_zpl_is_read_by_a_scanner(make_content: MakeContent, fonts: FontSet, tmp_path: Path) -> None:
    """Every code decodes from a picture that an independent ZPL interpreter makes."""
    content = make_content(qr_text=_QR_TEXT)
    heads: list[tuple[LabelSize, Any]] = [(s, dpi) for s in LabelSize for dpi in (203, 300)]
    labels = [
        (render(content, format=LabelFormat.ZPL, size=size, dpi=dpi, fonts=fonts), size, dpi) for size, dpi in heads
    ]

    images = _zpl_images(labels, tmp_path)

    decoded = [_decoded(image) for image in images]
    assert decoded == [_expected(size) for size, _dpi in heads]


@needs_renderer
def test_zpl_and_png_show_the_same_label(make_content: MakeContent, fonts: FontSet, tmp_path: Path) -> None:
    """At 203 dpi the ZPL label has its codes within two dots of where the PNG has them."""
    size = LabelSize.MM_100X150
    png = render(make_content(), format=LabelFormat.PNG, size=size, fonts=fonts)
    zpl = render(make_content(), format=LabelFormat.ZPL, size=size, fonts=fonts)

    images = [Image.open(BytesIO(png)), *_zpl_images([(zpl, size, 203)], tmp_path)]

    places = [
        sorted(
            (code.position.top_left.x, code.position.top_left.y) for code in zxingcpp.read_barcodes(image.convert("L"))
        )
        for image in images
    ]
    for (x0, y0), (x1, y1) in zip(*places, strict=True):
        assert abs(x0 - x1) <= 2
        assert abs(y0 - y1) <= 2


@needs_renderer
def test_zpl_prints_reserved_characters(make_content: MakeContent, fonts: FontSet, tmp_path: Path) -> None:
    """Text with ZPL's own command characters neither ends the label nor becomes a command."""
    size = LabelSize.MM_100X150
    content = make_content(goods="A^XZ ~JA _5E", reference="^XA^FDx", qr_text="a^b~c_d")

    zpl = render(content, format=LabelFormat.ZPL, size=size, fonts=fonts)

    [image] = _zpl_images([(zpl, size, 203)], tmp_path)
    assert "a^b~c_d" in [text for _, text in _decoded(image)]
    assert zpl.count(b"^XZ") == 1
    assert b"~" not in zpl


@needs_renderer
def test_carrier_page_scans_from_zpl(make_content: MakeContent, fonts: FontSet, tmp_path: Path) -> None:
    """A carrier's PDF sent to a ZPL printer as a picture still scans."""
    size = LabelSize.MM_100X150
    carrier = render(make_content(), format=LabelFormat.PDF, size=size, fonts=fonts)

    zpl = convert_carrier_pdf(carrier, format=LabelFormat.ZPL, size=size)

    [image] = _zpl_images([(zpl, size, 203)], tmp_path)
    assert [text for _, text in _decoded(image)] == ["SF1990000000017"] * 3


def test_zpl_is_ascii_and_complete(make_content: MakeContent, fonts: FontSet) -> None:
    """A ZPL label is plain ASCII from ^XA to ^XZ with the paper's size in dots."""
    zpl = render(make_content(), format=LabelFormat.ZPL, size=LabelSize.MM_100X150, fonts=fonts)

    assert zpl.isascii()
    assert zpl.startswith(b"^XA")
    assert zpl.rstrip().endswith(b"^XZ")
    assert b"^PW800^LL1200" in zpl


def test_pdf_text_can_be_read_back(make_content: MakeContent, fonts: FontSet) -> None:
    """Another PDF reader finds the texts of the label, so each glyph is the right character."""
    pdf = render(make_content(), format=LabelFormat.PDF, size=LabelSize.MM_100X150, fonts=fonts)

    text = PdfReader(BytesIO(pdf)).pages[0].extract_text()
    for part in ("顺丰速运", "028W-AB-012", "成都双流集散中心", "欧阳**", "199******15", "¥199.00"):
        assert part in text


def test_pdf_embeds_its_fonts_and_has_the_right_paper(make_content: MakeContent, fonts: FontSet) -> None:
    """Every font of the PDF is embedded and the page is 100 x 150 mm."""
    pdf = render(make_content(), format=LabelFormat.PDF, size=LabelSize.MM_100X150, fonts=fonts)

    page = PdfReader(BytesIO(pdf)).pages[0]
    resources: Any = page["/Resources"]
    used = resources["/Font"].values()
    descriptors = [font.get_object()["/DescendantFonts"][0].get_object()["/FontDescriptor"] for font in used]
    assert len(descriptors) == 2
    assert all("/FontFile2" in descriptor for descriptor in descriptors)
    assert float(page.mediabox.width) == pytest.approx(100 / 25.4 * 72, abs=0.05)
    assert float(page.mediabox.height) == pytest.approx(150 / 25.4 * 72, abs=0.05)


@pytest.mark.parametrize("format", list(LabelFormat))
def test_the_same_content_makes_the_same_bytes(make_content: MakeContent, fonts: FontSet, format: LabelFormat) -> None:
    """A label is a pure function of its content: no clock, no chance."""
    first, second = (render(make_content(), format=format, size=LabelSize.MM_76X130, fonts=fonts) for _ in range(2))

    assert first == second


def test_labels_can_be_made_in_threads(make_content: MakeContent, fonts: FontSet) -> None:
    """Labels made at the same time in several threads are the same as those made alone."""

    def make(index: int) -> bytes:
        format = (LabelFormat.PDF, LabelFormat.PNG)[index % 2]
        content = make_content(reference=f"SO{index}")
        return render(content, format=format, size=LabelSize.MM_76X130, fonts=fonts)

    alone = [make(index) for index in range(8)]

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(make, range(8)))

    assert together == alone


def _font_of_one_character(path: Path, character: str) -> Path:
    """A TrueType file that has this character, drawn as a box, and no other."""
    pen = TTGlyphPen(None)
    pen.moveTo((100, -50))
    for corner in ((100, 800), (900, 800), (900, -50)):
        pen.lineTo(corner)
    pen.closePath()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "box"])
    builder.setupCharacterMap({ord(character): "box"})
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "box": pen.glyph()})
    builder.setupHorizontalMetrics({".notdef": (1000, 0), "box": (1000, 100)})
    builder.setupHorizontalHeader(ascent=880, descent=-120)
    builder.setupNameTable({"familyName": "One", "styleName": "Regular", "psName": "One-Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)
    return path


@pytest.mark.parametrize("format", list(LabelFormat))
def test_extra_font_prints_what_the_bundled_one_lacks(
    make_content: MakeContent, tmp_path: Path, format: LabelFormat
) -> None:
    """With a font that has it, a rare name prints in every format; other characters stay ours."""
    fonts = FontSet.load([_font_of_one_character(tmp_path / "one.ttf", "𠮷")])
    content = make_content(name="𠮷桂㛃")

    label = render(content, format=format, size=LabelSize.MM_100X150, fonts=fonts)

    assert len(label) > 1000
    if format is LabelFormat.PDF:
        assert "𠮷**" in PdfReader(BytesIO(label)).pages[0].extract_text()


def test_fonts_are_parsed_once() -> None:
    """The same extra fonts give the same object, so no label pays for parsing."""
    path = FontSet.load().faces[0].path

    first, second = FontSet.load([path]), FontSet.load([path])

    assert first is second
    assert first.faces[0] is FontSet.load().faces[0]


def test_file_that_is_no_font_is_refused(tmp_path: Path) -> None:
    """An extra font that is no TrueType file is named with the setting it came from."""
    path = tmp_path / "broken.ttf"
    path.write_bytes(json.dumps({"not": "a font"}).encode())

    with pytest.raises(BadFont, match=r"labels\.extra_fonts: broken\.ttf"):
        FontSet.load([path])


def test_unknown_resolution_is_refused(make_content: MakeContent) -> None:
    """A resolution no print head has is an error that names those there are."""
    dpi: Any = 600

    with pytest.raises(UnsupportedOutput, match="203 or 300"):
        render(make_content(), format=LabelFormat.PDF, size=LabelSize.MM_100X150, dpi=dpi)
