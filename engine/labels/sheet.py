"""A sheet to lay a label out on: takes millimetres and points, keeps whole printer dots.

The only place that rounds. Lines and symbols land on dots, so that a bar is as wide on paper as
it was meant; text is placed as it falls.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.labels import textfit
from engine.labels.cleaning import clean_text
from engine.labels.errors import LabelError
from engine.labels.fontset import FontSet
from engine.labels.model import DOTS_PER_MM, Dpi, LabelSize
from engine.labels.scene import (
    Box,
    Code128Symbol,
    QrSymbol,
    Rect,
    Scene,
    TextRun,
)
from engine.labels.symbols import CODE128_QUIET_MODULES, QR_QUIET_MODULES, Bars, Matrix

MM_PER_PT = 25.4 / 72
#: Below this, print at 203 dpi is no longer read without effort.
MIN_PT = 6.0
MIN_CODE128_HEIGHT_MM = 10.0
#: Bars and modules thinner than this are lost on worn print heads.
MIN_MODULE_DOTS = {203: 2, 300: 2}
MAX_CODE128_MODULE_MM = 0.55
MAX_QR_MODULE_MM = 1.0
#: ZPL's ^BQ enlarges a module to at most ten dots.
MAX_QR_MODULE_DOTS = 10


class Sheet:
    """Collects what is drawn; `scene` hands it over."""

    def __init__(self, size: LabelSize, dpi: Dpi, fonts: FontSet) -> None:
        self.size = size
        self.dpi = dpi
        self.fonts = fonts
        self._dots = DOTS_PER_MM[dpi]
        self._rects: list[Rect] = []
        self._bands: list[Rect] = []
        self._texts: list[TextRun] = []
        self._barcodes: list[Code128Symbol] = []
        self._qr_codes: list[QrSymbol] = []

    def scene(self) -> Scene:
        """Everything drawn so far."""
        return Scene(
            self.size,
            self.dpi,
            tuple(self._rects),
            tuple(self._bands),
            tuple(self._texts),
            tuple(self._barcodes),
            tuple(self._qr_codes),
        )

    def horizontal(self, x: float, y: float, length: float, thickness: float = 0.25) -> None:
        """A line with `y` in its middle."""
        dots = max(2, round(thickness * self._dots))
        x0, x1 = round(x * self._dots), round((x + length) * self._dots)
        self._rects.append(Rect(x0, round(y * self._dots - dots / 2), x1 - x0, dots))

    def vertical(self, x: float, y: float, length: float, thickness: float = 0.25) -> None:
        """A line with `x` in its middle."""
        dots = max(2, round(thickness * self._dots))
        y0, y1 = round(y * self._dots), round((y + length) * self._dots)
        self._rects.append(Rect(round(x * self._dots - dots / 2), y0, dots, y1 - y0))

    def frame(self, box: Box, thickness: float = 0.25) -> None:
        """An outline around a box, with closed corners."""
        half = thickness / 2
        for y in (box.y, box.y + box.height):
            self.horizontal(box.x - half, y, box.width + thickness, thickness)
        for x in (box.x, box.x + box.width):
            self.vertical(x, box.y - half, box.height + thickness, thickness)

    def band(self, box: Box) -> None:
        """A black box for white text."""
        self._bands.append(self._snap(box))

    def text(
        self,
        text: str,
        box: Box,
        *,
        field: str,
        max_pt: float,
        min_pt: float = MIN_PT,
        max_lines: int = 1,
        bold: bool = False,
        white: bool = False,
        align: str = "L",
        valign: str = "M",
        may_cut: bool = False,
    ) -> None:
        """Text as large as fits the box between the two sizes, wrapped to at most `max_lines`.

        Raises TextDoesNotFit, or ends the text with "…" where `may_cut`; raises
        UnprintableCharacter, or writes "[U+2615]" in its place where `may_cut`.
        """
        clean = clean_text(text)
        if may_cut:
            clean = self._spell_out(clean)
        if not clean:
            return
        advances = self.fonts.advances(clean, field, bold=bold)
        ems = [size * MM_PER_PT for size in _sizes(max_pt, min_pt)]
        if may_cut:
            fitted = textfit.fit_or_cut(
                clean, advances, width=box.width, height=box.height, ems=ems, max_lines=max_lines
            )
        else:
            fitted = textfit.fit_whole(
                clean,
                advances,
                field=field,
                width=box.width,
                height=box.height,
                ems=ems,
                max_lines=max_lines,
                min_pt=min_pt,
            )
        self._place(fitted, box, field, bold=bold, white=white, align=align, valign=valign)

    def _place(
        self,
        fitted: textfit.Fitted,
        box: Box,
        field: str,
        *,
        bold: bool,
        white: bool,
        align: str,
        valign: str,
    ) -> None:
        em = fitted.em
        used = em * (1 + textfit.LEADING * (len(fitted.lines) - 1))
        top = box.y + {"T": 0.0, "M": (box.height - used) / 2, "B": box.height - used}[valign]
        for index, (line, units) in enumerate(zip(fitted.lines, fitted.widths, strict=True)):
            width = units * em / 1000
            shift = {"L": 0.0, "C": (box.width - width) / 2, "R": box.width - width}[align]
            self._texts.append(
                TextRun(
                    text=line,
                    field=field,
                    x=(box.x + shift) * self._dots,
                    baseline=(top + em * (textfit.BASELINE + textfit.LEADING * index)) * self._dots,
                    width=width * self._dots,
                    em=em * self._dots,
                    bold=bold,
                    white=white,
                    align=align,
                    box=self._snap(box),
                )
            )

    def code128(self, text: str, bars: Bars, box: Box, field: str) -> None:
        """A barcode in the middle of the box with its quiet zones, as wide as dots allow."""
        module_count = len(bars.modules) + 2 * CODE128_QUIET_MODULES
        available = int(box.width * self._dots)
        largest = int(MAX_CODE128_MODULE_MM * self._dots)
        module_dots = min(available // module_count, largest)
        if module_dots < MIN_MODULE_DOTS[self.dpi]:
            raise LabelError(
                field,
                f"the barcode needs {module_count * 2 / self._dots:.0f} mm of width",
                "Choose a wider label or a higher resolution",
            )
        width = module_dots * len(bars.modules)
        x = round(box.x * self._dots) + (available - width) // 2
        y, bottom = round(box.y * self._dots), round((box.y + box.height) * self._dots)
        self._barcodes.append(Code128Symbol(text, bars.modules, x, y, module_dots, bottom - y))

    def qr(self, text: str, matrix: Matrix, box: Box, field: str) -> None:
        """A QR code in the middle of the box, quiet zone inside it."""
        module_count = matrix.side + 2 * QR_QUIET_MODULES
        available = int(min(box.width, box.height) * self._dots)
        largest = min(int(MAX_QR_MODULE_MM * self._dots), MAX_QR_MODULE_DOTS)
        module_dots = min(available // module_count, largest)
        if module_dots < MIN_MODULE_DOTS[self.dpi]:
            raise LabelError(
                field,
                f"the QR code needs {module_count * 2 / self._dots:.0f} mm",
                "Send a shorter text, or choose a larger label or a higher resolution",
            )
        side = module_dots * matrix.side
        x = round((box.x + box.width / 2) * self._dots - side / 2)
        y = round((box.y + box.height / 2) * self._dots - side / 2)
        self._qr_codes.append(QrSymbol(text, matrix.rows, x, y, module_dots))

    def _snap(self, box: Box) -> Rect:
        x0, y0 = round(box.x * self._dots), round(box.y * self._dots)
        x1 = round((box.x + box.width) * self._dots)
        y1 = round((box.y + box.height) * self._dots)
        return Rect(x0, y0, x1 - x0, y1 - y0)

    def _spell_out(self, text: str) -> str:
        if all(self.fonts.has(character) for character in text):
            return text
        return "".join(c if self.fonts.has(c) else f"[U+{ord(c):04X}]" for c in text)


def _sizes(max_pt: float, min_pt: float) -> Sequence[float]:
    sizes: list[float] = []
    size = max_pt
    while size > min_pt:
        sizes.append(size)
        size -= 0.5 if size <= 12 else 1.0 if size <= 24 else 2.0
    return [*sizes, min_pt]
