"""Fonts of one PDF document: numbers glyphs while pages are drawn, embeds subsets at the end.

All pages of a document share one subset per face. A glyph's number in the document is its
number in the subset, so that the encoding is Identity-H and no mapping is needed (ISO 32000-1
section 9.7).
"""

from __future__ import annotations

import hashlib

from engine.labels.fontset import Face, FontSet
from engine.labels.pdf_file import PdfFile


class DocumentFonts:
    """Which glyphs of which faces a document uses."""

    def __init__(self, fonts: FontSet) -> None:
        self._fonts = fonts
        self._numbers: list[dict[int, int]] = [{} for _ in fonts.faces]
        self._code_points: list[list[int]] = [[] for _ in fonts.faces]

    def encode(self, text: str, field: str, *, bold: bool) -> list[tuple[int, bytes]]:
        """(face index, hexadecimal glyph numbers) of each stretch of text set in one face."""
        runs: list[tuple[int, list[int]]] = []
        for character in text:
            glyph = self._fonts.glyph(character, field, bold=bold)
            numbers = self._numbers[glyph.face_index]
            number = numbers.get(glyph.glyph_id)
            if number is None:
                number = numbers[glyph.glyph_id] = len(numbers) + 1
                self._code_points[glyph.face_index].append(ord(character))
            if runs and runs[-1][0] == glyph.face_index:
                runs[-1][1].append(number)
            else:
                runs.append((glyph.face_index, [number]))
        return [(index, b"".join(b"%04X" % number for number in numbers)) for index, numbers in runs]

    def write(self, file: PdfFile) -> bytes:
        """Embeds every face that was used; returns the pages' /Font dictionary."""
        entries = [
            b"/F%d %d 0 R" % (index, _embed(file, face, self._code_points[index]))
            for index, face in enumerate(self._fonts.faces)
            if self._code_points[index]
        ]
        return b"<<%b>>" % b"".join(entries)


def _embed(file: PdfFile, face: Face, code_points: list[int]) -> int:
    font, descendant, descriptor, program, unicode_map = (file.allocate() for _ in range(5))
    data = face.subset(code_points)
    file.write_stream(program, b"/Length1 %d" % len(data), data)
    file.write_stream(unicode_map, b"", _to_unicode(code_points))
    name = _subset_tag(code_points) + b"+" + face.postscript_name.encode("ascii", "replace")
    metrics = b"".join(b"/%b %d" % (key.encode("ascii"), value) for key, value in face.metrics().items())
    box = b" ".join(b"%d" % value for value in face.bounding_box())
    file.write(
        descriptor,
        b"<</Type/FontDescriptor/FontName/%b/Flags 4/ItalicAngle 0%b/FontBBox[%b]"
        b"/FontFile2 %d 0 R>>" % (name, metrics, box, program),
    )
    widths = b" ".join(b"%d" % face.advance(code_point) for code_point in code_points)
    file.write(
        descendant,
        b"<</Type/Font/Subtype/CIDFontType2/BaseFont/%b/CIDToGIDMap/Identity/DW 1000/W[1[%b]]"
        b"/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>"
        b"/FontDescriptor %d 0 R>>" % (name, widths, descriptor),
    )
    file.write(
        font,
        b"<</Type/Font/Subtype/Type0/BaseFont/%b/Encoding/Identity-H/DescendantFonts[%d 0 R]"
        b"/ToUnicode %d 0 R>>" % (name, descendant, unicode_map),
    )
    return font


def _subset_tag(code_points: list[int]) -> bytes:
    # Six capitals that differ between subsets, as the format asks; the same input, the same file.
    digest = hashlib.sha256(",".join(map(str, code_points)).encode("ascii")).digest()
    return bytes(0x41 + value % 26 for value in digest[:6])


def _to_unicode(code_points: list[int]) -> bytes:
    parts = [
        b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap\n"
        b"/CIDSystemInfo <</Registry(Adobe)/Ordering(UCS)/Supplement 0>> def\n"
        b"/CMapName /Adobe-Identity-UCS def /CMapType 2 def\n"
        b"1 begincodespacerange <0000> <FFFF> endcodespacerange\n"
    ]
    for start in range(0, len(code_points), 100):
        block = code_points[start : start + 100]
        parts.append(b"%d beginbfchar\n" % len(block))
        for number, code_point in enumerate(block, start + 1):
            text = chr(code_point).encode("utf-16-be").hex().upper().encode("ascii")
            parts.append(b"<%04X> <%b>\n" % (number, text))
        parts.append(b"endbfchar\n")
    parts.append(b"endcmap CMapName currentdict /CMap defineresource pop end end\n")
    return b"".join(parts)
