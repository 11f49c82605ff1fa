"""A label as a real PDF by hand: one page a piece, Helvetica, uncompressed (ISO 32000-1, 7.5)."""

from __future__ import annotations

from collections.abc import Sequence

_POINTS_PER_MM = 72 / 25.4

SIZES: dict[str, tuple[int, int]] = {
    "76130": (76, 130),
    "150": (100, 150),
    "180": (100, 180),
    "210": (100, 210),
}
"""Size in a template code -> width and height in mm."""

_CODE128 = """
    212222 222122 222221 121223 121322 131222 122213 122312 132212 221213 221312 231212 112232 122132 122231
    113222 123122 123221 223211 221132 221231 213212 223112 312131 311222 321122 321221 312212 322112 322211
    212123 212321 232121 111323 131123 131321 112313 132113 132311 211313 231113 231311 112133 112331 132131
    113123 113321 133121 313121 211331 231131 213113 213311 213131 311123 311321 331121 312113 312311 332111
    314111 221411 431111 111224 111422 121124 121421 141122 141221 112214 112412 122114 122411 142112 142211
    241211 221114 413111 241112 134111 111242 121142 121241 114212 124112 124211 411212 421112 421211 212141
    214121 412121 111143 111341 131141 114113 114311 411113 411311 113141 114131 311141 411131 211412 211214
    211232
""".split()
"""Bar and space widths in modules by symbol value (ISO/IEC 15417, table 1); 104 starts code set B."""
_STOP = "2331112"
_QUIET_MODULES = 10
_FRAME = 8  # points between the edge and the frame, which must stay out of the quiet zone


def label_pdf(numbers: Sequence[str], size_mm: tuple[int, int]) -> bytes:
    """A document with a page for each waybill number (ASCII), master first."""
    width, height = (round(side * _POINTS_PER_MM, 2) for side in size_mm)
    first_page = 4  # after catalog, page tree, font; a page and its content are two objects
    pages = [first_page + 2 * index for index in range(len(numbers))]
    kids = " ".join(f"{page} 0 R" for page in pages)
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for index, (page, number) in enumerate(zip(pages, numbers, strict=True), start=1):
        content = _content(number, f"{index}/{len(numbers)}", width, height)
        objects += [
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {width} {height}] "
            f"/Resources << /Font << /F1 3 0 R >> >> /Contents {page + 1} 0 R >>",
            f"<< /Length {len(content)} >>\nstream\n{content}\nendstream",
        ]
    return _document(objects)


def _content(number: str, piece: str, width: float, height: float) -> str:
    frame = f"1 w {_FRAME} {_FRAME} {width - 2 * _FRAME:.2f} {height - 2 * _FRAME:.2f} re S"
    title = f"BT /F1 12 Tf 20 {height - 30:.2f} Td (SF EXPRESS - simulator, not a shipment) Tj ET"
    text = f"BT /F1 22 Tf 20 {height / 2:.2f} Td ({number}) Tj 0 -30 Td ({piece}) Tj ET"
    return "\n".join((frame, title, text, _bars(number, width, height / 2 + 40)))


def _bars(number: str, width: float, bottom: float) -> str:
    """The number as Code128, code set B, across the page."""
    values = [104, *(ord(char) - 32 for char in number)]
    check = (104 + sum(place * value for place, value in enumerate(values[1:], start=1))) % 103
    widths = "".join(_CODE128[value] for value in (*values, check)) + _STOP
    inside = width - 2 * _FRAME
    module = inside / (sum(map(int, widths)) + 2 * _QUIET_MODULES)
    at, bars = _FRAME + _QUIET_MODULES * module, []
    for index, modules in enumerate(map(int, widths)):
        if index % 2 == 0:
            bars.append(f"{at:.3f} {bottom:.2f} {modules * module:.3f} 60 re f")
        at += modules * module
    return "\n".join(bars)


def _document(objects: Sequence[str]) -> bytes:
    out = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode("ascii")
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode("ascii")
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\n".encode("ascii")
    return bytes(out + f"startxref\n{start}\n%%EOF\n".encode("ascii"))
