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
    frame = f"1 w 8 8 {width - 16:.2f} {height - 16:.2f} re S"
    title = f"BT /F1 12 Tf 20 {height - 30:.2f} Td (SF EXPRESS - simulator, not a shipment) Tj ET"
    text = f"BT /F1 22 Tf 20 {height / 2:.2f} Td ({number}) Tj 0 -30 Td ({piece}) Tj ET"
    return "\n".join((frame, title, text))


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
