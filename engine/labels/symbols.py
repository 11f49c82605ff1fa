"""Barcodes as module matrices. zxing-cpp encodes them; the back ends draw whole printer dots.

Code 128: ISO/IEC 15417. QR: ISO/IEC 18004, error correction M (15 %), which survives a scuffed
label.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

import zxingcpp

from engine.labels.errors import UnusableSymbol

#: ISO/IEC 15417 asks for ten modules of white on both sides, ISO/IEC 18004 for four all around.
CODE128_QUIET_MODULES = 10
QR_QUIET_MODULES = 4
#: A longer number would make bars too thin for the narrowest label.
MAX_CODE128_CHARACTERS = 26
MAX_QR_BYTES = 300

#: No `>`, `^`, `~` or control characters: they are commands to label printers.
_CODE128_TEXT = re.compile(r"[0-9A-Za-z \-./$+%]+")


class Bars(NamedTuple):
    """A linear code: True is a dark module. Without quiet zones."""

    modules: tuple[bool, ...]


class Matrix(NamedTuple):
    """A QR code, row by row from the top: True is dark. Without the quiet zone."""

    rows: tuple[tuple[bool, ...], ...]

    @property
    def side(self) -> int:
        """Modules per edge."""
        return len(self.rows)


@lru_cache(maxsize=128)
def code128(text: str, field: str) -> Bars:
    """The bars of a waybill number. Raises UnusableSymbol for what printers cannot encode."""
    if not _CODE128_TEXT.fullmatch(text) or len(text) > MAX_CODE128_CHARACTERS:
        raise UnusableSymbol(
            field,
            "not a text for a Code 128 barcode",
            f"Use 1 to {MAX_CODE128_CHARACTERS} of the characters A-Z a-z 0-9 space - . / $ + %",
        )
    barcode = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.Code128)
    return Bars(_rows(barcode, 1)[0])  # every row is the same


@lru_cache(maxsize=128)
def qr(text: str, field: str) -> Matrix:
    """The modules of a QR code for 1 to 300 bytes of UTF-8. Raises UnusableSymbol."""
    if not 1 <= len(text.encode("utf-8", "replace")) <= MAX_QR_BYTES:
        raise UnusableSymbol(
            field,
            f"a QR code on a label holds 1 to {MAX_QR_BYTES} bytes",
            "Send a shorter text",
        )
    barcode = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.QRCode, ec_level="M")
    return Matrix(_rows(barcode))


def _rows(barcode: zxingcpp.Barcode, most: int | None = None) -> tuple[tuple[bool, ...], ...]:
    """Rows of modules from the top, `most` of them."""
    image: Any = barcode.to_image(scale=1, add_quiet_zones=False, add_hrt=False)
    height, width = image.shape
    data = memoryview(image).tobytes()
    starts = range(0, height * width, width)[:most]
    return tuple([tuple([not grey for grey in data[start : start + width]]) for start in starts])
