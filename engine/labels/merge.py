"""Many labels as one PDF, made and taken piece by piece.

A merged PDF is one document: our own labels share one font subset per face, carriers' pages
stand among them in the given order. Bytes leave as pages are made; what stays is the set of
used glyphs and 8 bytes per object, so that ten thousand labels need no more memory than ten.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from engine.labels.errors import LabelError
from engine.labels.fontset import FontSet
from engine.labels.layout import lay_out
from engine.labels.model import Dpi, LabelContent, LabelSize
from engine.labels.pdf import LabelDocument

if TYPE_CHECKING:
    from engine.labels.carrier_pdf import PageImporter

#: One of our labels, or a PDF a carrier made.
MergeItem = LabelContent | bytes


class MergedPdf:
    """A PDF that labels are added to, in order. `take` what is ready, `finish` once.

    A failed `add` of our own label leaves nothing behind; a failed carrier's file may leave its
    first pages. A caller that must not send those checks such items with `fit_carrier_pdf` before.
    """

    def __init__(self, size: LabelSize, dpi: Dpi, fonts: FontSet | None = None) -> None:
        self._size = size
        self._dpi = dpi
        self._fonts = fonts or FontSet.load()
        self._document = LabelDocument(self._fonts)
        self._importer: PageImporter | None = None

    @property
    def page_count(self) -> int:
        """Pages added so far."""
        return self._document.file.page_count

    def add(self, content: LabelContent) -> None:
        """Adds one of our own labels. Raises LabelError."""
        self._document.add(lay_out(content, self._size, self._dpi, self._fonts))

    def add_carrier_pdf(self, pdf: bytes) -> int:
        """Adds all pages of a carrier's label; returns how many. Raises BadCarrierPdf."""
        if self._importer is None:
            from engine.labels.carrier_pdf import PageImporter  # see render.fit_carrier_pdf

            self._importer = PageImporter(self._document.file)
        return self._importer.add(pdf, self._size)

    def take(self) -> bytes:
        """The bytes that are ready to be sent and were not taken yet."""
        return self._document.take()

    def finish(self) -> Iterator[bytes]:
        """The rest of the file. Raises LabelError if no page was added."""
        if not self.page_count:
            raise LabelError("items", "there is nothing to merge", "Name at least one label")
        return self._document.finish()
