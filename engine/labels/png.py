"""The PNG back end: renders a PDF page to one bit per printer dot with pdfium.

pdfium is not safe to call from two threads, so one lock serves the whole process; whoever
renders many labels gains nothing from threads here and should ask for PDF or ZPL.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import pypdfium2  # type: ignore[import-untyped]
import pypdfium2.raw as pdfium  # type: ignore[import-untyped]
from PIL import Image

from engine.labels.errors import BadCarrierPdf
from engine.labels.model import DOTS_PER_MM, Dpi

#: Grey below this becomes black: above the middle, so that thin strokes of Han text survive.
_BLACK_BELOW = 150
_THRESHOLD = [0 if value < _BLACK_BELOW else 255 for value in range(256)]
_LOCK = threading.Lock()


def render_page(pdf: bytes, width: int, height: int, index: int = 0) -> Image.Image:
    """One page, stretched to exactly these dots, as a 1-bit image (0 is black)."""
    with _opened(pdf) as document:
        page = document[index]
        bitmap = pypdfium2.PdfBitmap.new_native(width, height, pdfium.FPDFBitmap_Gray)
        try:
            bitmap.fill_rect((255, 255, 255, 255), 0, 0, width, height)
            flags = pdfium.FPDF_GRAYSCALE | pdfium.FPDF_PRINTING | pdfium.FPDF_ANNOT
            pdfium.FPDF_RenderPageBitmap(bitmap.raw, page.raw, 0, 0, width, height, 0, flags)
            grey: Image.Image = bitmap.to_pil().copy()
        finally:
            bitmap.close()
            page.close()
    return grey.point(_THRESHOLD, "1")


def to_png(image: Image.Image, dpi: Dpi) -> bytes:
    """A 1-bit image as a PNG file that knows its resolution."""
    out = BytesIO()
    dots_per_inch = DOTS_PER_MM[dpi] * 25.4
    image.save(out, "PNG", dpi=(dots_per_inch, dots_per_inch), compress_level=6)
    return out.getvalue()


def flatten(pdf: bytes) -> bytes:
    """The same document with annotations and form fields drawn into the pages."""
    out = BytesIO()
    with _opened(pdf) as document:
        for index in range(len(document)):
            page = document[index]
            pdfium.FPDFPage_Flatten(page.raw, pdfium.FLAT_PRINT)
            page.close()
        document.save(out)
    return out.getvalue()


@contextmanager
def _opened(pdf: bytes) -> Iterator[pypdfium2.PdfDocument]:
    with _LOCK:
        try:
            document = pypdfium2.PdfDocument(pdf)
        except pypdfium2.PdfiumError as error:
            raise BadCarrierPdf(
                "pdf", "the file cannot be read as a PDF", "Ask the carrier for the label again"
            ) from error
        try:
            yield document
        finally:
            document.close()
