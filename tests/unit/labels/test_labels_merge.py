"""Merging and carriers' own PDFs: order, sharing, limits, and rubbish refused."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterable
from io import BytesIO

import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pypdf import PdfReader, PdfWriter
from pypdf.generic import (
    ArrayObject,
    DecodedStreamObject,
    DictionaryObject,
    NameObject,
    NumberObject,
)
from reportlab.pdfgen.canvas import Canvas  # type: ignore[import-untyped]

from engine.labels import (
    BadCarrierPdf,
    FontSet,
    LabelContent,
    LabelError,
    LabelFormat,
    LabelSize,
    MergedPdf,
    MergeItem,
    UnsupportedOutput,
    convert_carrier_pdf,
    fit_carrier_pdf,
    render,
)

MakeContent = Callable[..., LabelContent]
_SIZE = LabelSize.MM_100X150


def _carrier_pdf(*texts: str, width: float = 595, height: float = 842) -> bytes:
    out = BytesIO()
    canvas = Canvas(out, pagesize=(width, height))
    for text in texts:
        canvas.setFont("Helvetica", 20)
        canvas.drawString(50, height / 2, text)
        canvas.rect(20, 20, width - 40, height - 40)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def _texts(pdf: bytes) -> list[str]:
    return [page.extract_text() for page in PdfReader(BytesIO(pdf), strict=True).pages]


def _merged(items: Iterable[MergeItem], fonts: FontSet, size: LabelSize = _SIZE) -> bytes:
    """All of them as one PDF, taken page by page."""
    merged = MergedPdf(size, 203, fonts)
    taken = []
    for item in items:
        if isinstance(item, bytes):
            merged.add_carrier_pdf(item)
        else:
            merged.add(item)
        taken.append(merged.take())
    return b"".join([*taken, *merged.finish()])


def test_merge_keeps_the_order_of_mixed_items(make_content: MakeContent, fonts: FontSet) -> None:
    """Our labels and carriers' pages come out in the order they went in."""
    items: list[MergeItem] = [
        make_content(reference="FIRST"),
        _carrier_pdf("SECOND", "THIRD"),
        make_content(reference="FOURTH"),
        _carrier_pdf("FIFTH", width=425, height=283),
    ]

    merged = _merged(items, fonts)

    texts = _texts(merged)
    words = ("FIRST", "SECOND", "THIRD", "FOURTH", "FIFTH")
    assert len(texts) == 5
    assert all(word in text for word, text in zip(words, texts, strict=True))


def test_merge_shares_one_font_subset(make_content: MakeContent, fonts: FontSet) -> None:
    """Fifty labels embed their two faces once, and are far smaller than fifty files."""
    items = [make_content(reference=f"SO{index}") for index in range(50)]
    single = render(items[0], format=LabelFormat.PDF, size=_SIZE, fonts=fonts)

    merged = _merged(items, fonts)

    assert merged.count(b"/FontFile2") == 2
    assert len(merged) < 50 * len(single) / 4


def test_merge_is_a_valid_file_beyond_one_page_tree_node(make_content: MakeContent, fonts: FontSet) -> None:
    """A strict reader finds every page of a document with several page tree nodes."""
    items = [make_content(reference=f"NO{index:04d}") for index in range(205)]

    merged = _merged(items, fonts, LabelSize.MM_76X130)

    reader = PdfReader(BytesIO(merged), strict=True)
    assert len(reader.pages) == 205
    assert "NO0204" in reader.pages[204].extract_text()


def test_merge_memory_does_not_grow_with_pages(make_content: MakeContent, fonts: FontSet) -> None:
    """After a warm-up, 150 further pages keep less than 100 kB, because they are sent at once."""
    merged = MergedPdf(_SIZE, 203, fonts)
    content = make_content()
    for _ in range(20):
        merged.add(content)
        merged.take()

    tracemalloc.start()
    for _ in range(150):
        merged.add(content)
        merged.take()
    gc.collect()
    kept_bytes, _peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert kept_bytes < 100_000


def test_nothing_to_merge_is_an_error(fonts: FontSet) -> None:
    """No label makes no empty file."""
    with pytest.raises(LabelError, match="nothing to merge"):
        list(MergedPdf(_SIZE, 203, fonts).finish())


def test_merge_goes_on_after_a_refused_carrier_file(fonts: FontSet) -> None:
    """A broken file leaves a document to which good ones can still be added."""
    merged = MergedPdf(_SIZE, 203, fonts)
    good = _carrier_pdf("GOOD")

    with pytest.raises(BadCarrierPdf):
        merged.add_carrier_pdf(good[: len(good) // 3])
    merged.add_carrier_pdf(good)

    assert "GOOD" in _texts(b"".join(merged.finish()))[-1]


@pytest.mark.parametrize("size", list(LabelSize))
@pytest.mark.parametrize(("width", "height"), [(595, 842), (842, 595), (283.5, 425.2), (100, 90)])
def test_carrier_page_is_fitted_to_the_paper(size: LabelSize, width: float, height: float) -> None:
    """A page of any size comes out on exactly the wanted paper with its whole frame visible."""
    carrier = _carrier_pdf("HELLO", width=width, height=height)

    fitted = fit_carrier_pdf(carrier, size)

    page = PdfReader(BytesIO(fitted), strict=True).pages[0]
    assert float(page.mediabox.width) == pytest.approx(size.width_mm / 25.4 * 72, abs=0.01)
    assert float(page.mediabox.height) == pytest.approx(size.height_mm / 25.4 * 72, abs=0.01)
    assert "HELLO" in page.extract_text()
    png = convert_carrier_pdf(carrier, format=LabelFormat.PNG, size=size)
    ink = Image.open(BytesIO(png)).convert("L").point([255 - i for i in range(256)]).getbbox()
    assert ink is not None
    wide = (ink[2] - ink[0]) / (size.width_mm * 8)
    high = (ink[3] - ink[1]) / (size.height_mm * 8)
    assert max(wide, high) > 0.55


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotated_carrier_page_is_upright_to_a_scanner(make_content: MakeContent, fonts: FontSet, rotation: int) -> None:
    """A page that is stored turned, with its rotation noted, still scans and fills the paper."""
    label = render(make_content(), format=LabelFormat.PDF, size=_SIZE, fonts=fonts)
    writer = PdfWriter(clone_from=BytesIO(label))
    writer.pages[0].rotate(rotation)
    out = BytesIO()
    writer.write(out)

    png = convert_carrier_pdf(out.getvalue(), format=LabelFormat.PNG, size=_SIZE)

    codes = zxingcpp.read_barcodes(Image.open(BytesIO(png)).convert("L"))
    assert [code.text for code in codes] == ["SF1990000000017"] * 3


def _stamped(pdf: bytes) -> bytes:
    """The file with a black stamp of 200 x 50 pt as an annotation on its first page."""
    writer = PdfWriter(clone_from=BytesIO(pdf))
    look = DecodedStreamObject()
    look.set_data(b"0 g 0 0 200 50 re f")
    box = ArrayObject(NumberObject(value) for value in (0, 0, 200, 50))
    look.update(
        {
            NameObject("/Type"): NameObject("/XObject"),
            NameObject("/Subtype"): NameObject("/Form"),
            NameObject("/BBox"): box,
        }
    )
    stamp = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Annot"),
            NameObject("/Subtype"): NameObject("/Stamp"),
            NameObject("/F"): NumberObject(4),
            NameObject("/Rect"): ArrayObject(NumberObject(v) for v in (100, 600, 300, 650)),
            NameObject("/AP"): DictionaryObject({NameObject("/N"): writer._add_object(look)}),
        }
    )
    writer.pages[0][NameObject("/Annots")] = ArrayObject([writer._add_object(stamp)])
    out = BytesIO()
    writer.write(out)
    return out.getvalue()


def test_annotation_of_a_carrier_page_is_printed() -> None:
    """What a carrier wrote as an annotation is drawn into the page, not lost."""
    stamped = _stamped(_carrier_pdf("PLAIN"))
    plain = convert_carrier_pdf(_carrier_pdf("PLAIN"), format=LabelFormat.PNG, size=_SIZE)

    noted = convert_carrier_pdf(stamped, format=LabelFormat.PNG, size=_SIZE)

    assert noted != plain
    assert b"/Annots" not in fit_carrier_pdf(stamped, _SIZE)


def test_several_pages_do_not_become_one_png() -> None:
    """A carrier's file of two pages is refused as PNG, with the formats that work."""
    with pytest.raises(UnsupportedOutput, match="2 pages"):
        convert_carrier_pdf(_carrier_pdf("A", "B"), format=LabelFormat.PNG, size=_SIZE)


def _encrypted() -> bytes:
    writer = PdfWriter(clone_from=BytesIO(_carrier_pdf("SECRET")))
    writer.encrypt("password", algorithm="RC4-128")
    out = BytesIO()
    writer.write(out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("pdf", "problem"),
    [
        (b"", "no PDF"),
        (b"<html>busy</html>", "no PDF"),
        (b"%PDF-1.4 rubbish", "damaged"),
        (b"%PDF-1.4\n" + b"\0" * (20 * 1024 * 1024), "larger than 20 MiB"),
        (_carrier_pdf(*["P"] * 51), "51 pages"),
        (_encrypted(), "password"),
        (_carrier_pdf("CUT")[:-400], "damaged|no PDF|CUT"),
    ],
    ids=["empty", "html", "rubbish", "huge", "pages", "locked", "cut"],
)
def test_rubbish_is_refused_with_a_remedy(pdf: bytes, problem: str) -> None:
    """What is no usable PDF is an error that says why and what to do."""
    with pytest.raises(BadCarrierPdf, match=problem) as caught:
        fit_carrier_pdf(pdf, _SIZE)

    assert "Ask the carrier" in caught.value.remedy


_MUTABLE = _carrier_pdf("MUTATED", "TWICE")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(_MUTABLE) - 1), st.integers(0, 255)), min_size=1, max_size=40))
def test_damaged_file_is_fitted_or_refused_and_nothing_else(changes: list[tuple[int, int]]) -> None:
    """Bytes overwritten anywhere lead to a readable file or to BadCarrierPdf, to no other error."""
    damaged = bytearray(_MUTABLE)
    for place, value in changes:
        damaged[place] = value

    try:
        fitted = fit_carrier_pdf(bytes(damaged), _SIZE)
    except BadCarrierPdf:
        return

    assert len(PdfReader(BytesIO(fitted), strict=True).pages) >= 1
