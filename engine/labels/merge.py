"""Many labels as one file, made and sent piece by piece.

A merged PDF is one document: our own labels share one font subset per face, carriers' pages
stand among them in the given order. Bytes leave as pages are made; what stays is the set of
used glyphs and 8 bytes per object, so that ten thousand labels need no more memory than ten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from engine.labels.errors import LabelError, UnsupportedOutput
from engine.labels.fontset import FontSet
from engine.labels.layout import lay_out
from engine.labels.model import Dpi, LabelContent, LabelFormat, LabelSize
from engine.labels.pdf import LabelDocument
from engine.labels.render import convert_carrier_pdf, render

if TYPE_CHECKING:
    from engine.labels.carrier_pdf import PageImporter

#: One of our labels, or a PDF a carrier made.
MergeItem = LabelContent | bytes

CHUNK_BYTES = 64 * 1024


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


def merge(
    items: Iterable[MergeItem],
    *,
    format: LabelFormat,
    size: LabelSize,
    dpi: Dpi = 203,
    fonts: FontSet | None = None,
) -> Iterator[bytes]:
    """All labels as one PDF or one ZPL job, in chunks of about 64 KiB, in the given order.

    Raises UnsupportedOutput at once for PNG, which holds one page only. A LabelError while
    iterating names the item in `item_index`; what was sent before is then no complete file.
    """
    if format is LabelFormat.PNG:
        raise UnsupportedOutput("format", "labels cannot be merged into one PNG", "Merge as PDF or ZPL")
    if format is LabelFormat.ZPL:
        return _in_chunks(_zpl_parts(items, size, dpi, fonts))
    return _in_chunks(_pdf_parts(items, size, dpi, fonts))


def merge_pdf(
    items: Iterable[MergeItem], *, size: LabelSize, dpi: Dpi = 203, fonts: FontSet | None = None
) -> Iterator[bytes]:
    """`merge` into one PDF."""
    return merge(items, format=LabelFormat.PDF, size=size, dpi=dpi, fonts=fonts)


def _pdf_parts(items: Iterable[MergeItem], size: LabelSize, dpi: Dpi, fonts: FontSet | None) -> Iterator[bytes]:
    merged = MergedPdf(size, dpi, fonts)

    def add(item: MergeItem) -> bytes:
        if isinstance(item, bytes):
            merged.add_carrier_pdf(item)
        else:
            merged.add(item)
        return merged.take()

    yield from _each(items, add)
    yield from merged.finish()


def _zpl_parts(items: Iterable[MergeItem], size: LabelSize, dpi: Dpi, fonts: FontSet | None) -> Iterator[bytes]:
    def make(item: MergeItem) -> bytes:
        if isinstance(item, bytes):
            return convert_carrier_pdf(item, format=LabelFormat.ZPL, size=size, dpi=dpi)
        return render(item, format=LabelFormat.ZPL, size=size, dpi=dpi, fonts=fonts)

    yield from _each(items, make)


def _each(items: Iterable[MergeItem], make: Callable[[MergeItem], bytes]) -> Iterator[bytes]:
    count = 0
    for item in items:
        try:
            data = make(item)
        except LabelError as error:
            error.item_index = count
            raise
        count += 1
        yield data
    if not count:
        raise LabelError("items", "there is nothing to merge", "Name at least one label")


def _in_chunks(parts: Iterator[bytes]) -> Iterator[bytes]:
    waiting: list[bytes] = []
    size = 0
    for part in parts:
        waiting.append(part)
        size += len(part)
        if size >= CHUNK_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)
