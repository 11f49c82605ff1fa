"""A label laid out: boxes, lines of text and symbols at fixed places, in the printer's own dots.

Origin is the top left corner, x to the right, y down. One dot is 1/8 mm at 203 dpi and 1/11.81
mm at 300 dpi. Back ends draw a scene and decide nothing; everything that can fail has failed
before.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from engine.labels.model import DOTS_PER_MM, Dpi, LabelSize


class Box(NamedTuple):
    """A rectangle in millimetres."""

    x: float
    y: float
    width: float
    height: float

    def inset(self, dx: float, dy: float | None = None) -> Box:
        """The box made smaller on all sides."""
        dy = dx if dy is None else dy
        return Box(self.x + dx, self.y + dy, self.width - 2 * dx, self.height - 2 * dy)

    def left(self, width: float) -> Box:
        """The part of this width at the left edge."""
        return Box(self.x, self.y, width, self.height)

    def right(self, width: float) -> Box:
        """The part of this width at the right edge."""
        return Box(self.x + self.width - width, self.y, width, self.height)

    def after(self, width: float) -> Box:
        """What is left when this width is taken from the left."""
        return self.right(self.width - width)

    def before(self, width: float) -> Box:
        """What is left when this width is taken from the right."""
        return self.left(self.width - width)

    def top(self, height: float) -> Box:
        """The part of this height at the top."""
        return Box(self.x, self.y, self.width, height)

    def below(self, height: float) -> Box:
        """What is left when this height is taken from the top."""
        return Box(self.x, self.y + height, self.width, self.height - height)


class Rect(msgspec.Struct, frozen=True):
    """A filled black rectangle (a line is a thin one), in dots."""

    x: int
    y: int
    width: int
    height: int


class TextRun(msgspec.Struct, frozen=True, kw_only=True):
    """One line of text, in dots; `em` is its size and `box` is where it must stay."""

    text: str
    field: str
    x: float
    baseline: float
    width: float
    em: float
    bold: bool
    #: White on black: it stands on a Rect that was drawn before.
    white: bool
    #: L, C or R: where the run is anchored, for printers that set it in a font of their own.
    align: str
    box: Rect


class Code128Symbol(msgspec.Struct, frozen=True):
    """A linear barcode; `x` is the first bar, in dots."""

    text: str
    modules: tuple[bool, ...]
    x: int
    y: int
    module_dots: int
    height: int


class QrSymbol(msgspec.Struct, frozen=True):
    """A QR code; `x` and `y` are its first module, in dots."""

    text: str
    rows: tuple[tuple[bool, ...], ...]
    x: int
    y: int
    module_dots: int


class Scene(msgspec.Struct, frozen=True):
    """One label, ready to draw."""

    size: LabelSize
    dpi: Dpi
    rects: tuple[Rect, ...]
    #: Black boxes that carry white text.
    bands: tuple[Rect, ...]
    texts: tuple[TextRun, ...]
    barcodes: tuple[Code128Symbol, ...]
    qr_codes: tuple[QrSymbol, ...]

    @property
    def width(self) -> int:
        """Width in dots."""
        return page_dots(self.size, self.dpi)[0]

    @property
    def height(self) -> int:
        """Height in dots."""
        return page_dots(self.size, self.dpi)[1]


def page_dots(size: LabelSize, dpi: Dpi) -> tuple[int, int]:
    """Width and height of the paper in whole dots."""
    dots_per_mm = DOTS_PER_MM[dpi]
    return round(size.width_mm * dots_per_mm), round(size.height_mm * dots_per_mm)


def dark_runs(row: tuple[bool, ...]) -> list[tuple[int, int]]:
    """(start, length) of each stretch of dark modules."""
    runs: list[tuple[int, int]] = []
    start = -1
    for index, dark in enumerate((*row, False)):
        if dark and start < 0:
            start = index
        elif not dark and start >= 0:
            runs.append((start, index - start))
            start = -1
    return runs
