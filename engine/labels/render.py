"""One label in one call: our own from its content, or a carrier's PDF in another format."""

from __future__ import annotations

from engine.labels.errors import UnsupportedOutput
from engine.labels.fontset import FontSet
from engine.labels.layout import lay_out
from engine.labels.model import DOTS_PER_MM, Dpi, LabelContent, LabelFormat, LabelSize
from engine.labels.pdf import render_pdf
from engine.labels.png import render_page, to_png
from engine.labels.scene import page_dots
from engine.labels.zpl import image_zpl, render_zpl


def render(
    content: LabelContent,
    *,
    format: LabelFormat,
    size: LabelSize,
    dpi: Dpi = 203,
    fonts: FontSet | None = None,
) -> bytes:
    """The label as a file. Raises LabelError naming the field that cannot be printed.

    `dpi` is the print head's resolution; a PDF is drawn on its dots too. `fonts` defaults to the
    bundled ones.
    """
    _check_dpi(dpi)
    fonts = fonts or FontSet.load()
    scene = lay_out(content, size, dpi, fonts)
    if format is LabelFormat.ZPL:
        return render_zpl(scene, fonts)
    pdf = render_pdf(scene, fonts)
    if format is LabelFormat.PDF:
        return pdf
    return to_png(render_page(pdf, scene.width, scene.height), dpi)


def convert_carrier_pdf(pdf: bytes, *, format: LabelFormat, size: LabelSize, dpi: Dpi = 203) -> bytes:
    """A carrier's PDF fitted to the paper: PDF, PNG (one page only) or ZPL (a picture a page).

    Raises BadCarrierPdf, or UnsupportedOutput for a PNG of more than one page.
    """
    from engine.labels.carrier_pdf import fit, read

    _check_dpi(dpi)
    fitted = fit(pdf, size)
    if format is LabelFormat.PDF:
        return fitted
    page_count = len(read(fitted).pages)
    if format is LabelFormat.PNG and page_count > 1:
        raise UnsupportedOutput("format", f"{page_count} pages do not go into one PNG", "Ask for PDF or ZPL")
    width, height = page_dots(size, dpi)
    images = (render_page(fitted, width, height, index) for index in range(page_count))
    if format is LabelFormat.PNG:
        return to_png(next(images), dpi)
    return b"".join(image_zpl(image) for image in images)


def fit_carrier_pdf(pdf: bytes, size: LabelSize) -> bytes:
    """The carrier's label as a PDF of exactly this paper, all pages. Raises BadCarrierPdf."""
    # Here and not above: pypdf is a seventh of what an engine loads, and many engines never meet a carrier's label.
    from engine.labels.carrier_pdf import fit

    return fit(pdf, size)


def _check_dpi(dpi: int) -> None:
    if dpi not in DOTS_PER_MM:
        known = " or ".join(str(value) for value in DOTS_PER_MM)
        raise UnsupportedOutput("dpi", f"no print head has {dpi} dpi here", f"Use {known}")
