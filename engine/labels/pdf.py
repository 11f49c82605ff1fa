"""The PDF back end: scenes become pages of one document, beside pages that carriers made.

Lines and symbols are drawn in whole printer dots, so that a print at the scene's resolution is
exact.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.labels.fontset import FontSet
from engine.labels.model import DOTS_PER_MM, Dpi
from engine.labels.pdf_file import PdfFile, number_text
from engine.labels.pdf_fonts import DocumentFonts
from engine.labels.scene import Rect, Scene, dark_runs


class LabelDocument:
    """A PDF that grows page by page; `take` gives what has been written so far.

    Memory is bounded by one page, the glyphs in use and 8 bytes per object.
    """

    def __init__(self, fonts: FontSet) -> None:
        self.file = PdfFile()
        self._fonts = DocumentFonts(fonts)
        # Every page refers to one resource object, written last, when the glyphs are known.
        self._resources = 0

    def add(self, scene: Scene) -> None:
        """Adds one label as a page."""
        if not self._resources:
            self._resources = self.file.allocate()
        contents = self.file.allocate()
        self.file.write_stream(contents, b"", self._draw(scene))
        width_pt = scene.width * dot_pt(scene.dpi)
        height_pt = scene.height * dot_pt(scene.dpi)
        self.file.write_page(width_pt, height_pt, contents, b"%d 0 R" % self._resources)

    def take(self) -> bytes:
        """The bytes written since the last call."""
        return self.file.take()

    def finish(self) -> Iterator[bytes]:
        """Embeds the fonts and closes the file."""
        if self._resources:
            fonts = self._fonts.write(self.file)
            self.file.write(self._resources, b"<</Font %b/ProcSet[/PDF/Text]>>" % fonts)
            yield self.file.take()
        yield from self.file.finish()

    def _draw(self, scene: Scene) -> bytes:
        unit = dot_pt(scene.dpi)
        height_pt = scene.height * unit
        scale = f"{unit:.8f}"
        parts = [f"q {scale} 0 0 -{scale} 0 {height_pt:.5f} cm 0 g".encode("ascii")]
        parts += [_rectangle(rect) for rect in (*scene.rects, *scene.bands)]
        parts += _symbols(scene)
        parts.append(b"f Q BT")
        white = False
        for run in scene.texts:
            if run.white != white:
                parts.append(b"1 g" if run.white else b"0 g")
                white = run.white
            size = number_text(run.em * unit)
            x, y = number_text(run.x * unit), number_text(height_pt - run.baseline * unit)
            parts.append(b"1 0 0 1 %b %b Tm" % (x, y))
            for face_index, glyphs in self._fonts.encode(run.text, run.field, bold=run.bold):
                parts.append(b"/F%d %b Tf<%b>Tj" % (face_index, size, glyphs))
        parts.append(b"ET")
        return b"\n".join(parts)


def dot_pt(dpi: Dpi) -> float:
    """One printer dot in points."""
    return 72 / 25.4 / DOTS_PER_MM[dpi]


def render_pdf(scene: Scene, fonts: FontSet) -> bytes:
    """One label as a PDF file."""
    document = LabelDocument(fonts)
    document.add(scene)
    return b"".join(document.finish())


def _rectangle(rect: Rect) -> bytes:
    return b"%d %d %d %d re" % (rect.x, rect.y, rect.width, rect.height)


def _symbols(scene: Scene) -> list[bytes]:
    parts: list[bytes] = []
    for bars in scene.barcodes:
        module = bars.module_dots
        for start, length in dark_runs(bars.modules):
            x = bars.x + start * module
            parts.append(_rectangle(Rect(x, bars.y, length * module, bars.height)))
    for code in scene.qr_codes:
        module = code.module_dots
        for index, row in enumerate(code.rows):
            y = code.y + index * module
            for start, length in dark_runs(row):
                x = code.x + start * module
                parts.append(_rectangle(Rect(x, y, length * module, module)))
    return parts
