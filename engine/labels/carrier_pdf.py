"""Carriers' own labels: checks that it is a PDF, takes its pages over, fits them to the paper.

A page becomes a form object that is placed, turned and scaled on a page of the wanted size;
links, scripts, attachments and everything else that hangs off a PDF stay behind. Annotations
are drawn into the page first. What a carrier sends is not trusted: size, pages, objects and
nesting are limited.
"""

from __future__ import annotations

import hashlib
from io import BytesIO

from pypdf import PageObject, PdfReader
from pypdf.generic import (
    ArrayObject,
    DictionaryObject,
    IndirectObject,
    PdfObject,
    StreamObject,
)

from engine.labels.errors import BadCarrierPdf
from engine.labels.model import LabelSize
from engine.labels.pdf_file import PdfFile, number_text
from engine.labels.png import flatten

MAX_BYTES = 20 * 1024 * 1024
MAX_PAGES = 50
MAX_CONTENT_BYTES = 50 * 1024 * 1024
MAX_OBJECTS = 20_000
MAX_DEPTH = 48
#: A page this close to the paper (half a millimetre) is placed as it is, so that bars stay sharp.
_SAME_SIZE_PT = 1.5
#: Equal streams remembered across carriers' files (logos, fonts), to write each only once.
_MAX_KNOWN_STREAMS = 10_000

_DROPPED_KEYS = frozenset(("/Length", "/Parent", "/Metadata", "/PieceInfo", "/StructParents", "/StructParent", "/AA"))
_ASK_AGAIN = "Ask the carrier for the label again, or print the engine's own label"

_Matrix = tuple[float, float, float, float, float, float]


class PageImporter:
    """Places the pages of other PDF files on pages of one file that is being written."""

    def __init__(self, file: PdfFile) -> None:
        self._file = file
        self._streams: dict[bytes, int] = {}
        self._numbers: dict[tuple[int, int], int] = {}
        self._waiting: list[tuple[int, IndirectObject]] = []
        self._object_count = 0

    def add(self, pdf: bytes, size: LabelSize) -> int:
        """Adds every page of `pdf`, fitted to the paper; returns how many. Raises BadCarrierPdf."""
        reader = read(pdf)
        self._numbers.clear()
        self._waiting.clear()
        self._object_count = 0
        known = set(self._streams)
        try:
            for page in reader.pages:
                self._add_page(page, size)
        except BaseException as error:
            # A stream that was promised a number may never have been written.
            for digest in set(self._streams) - known:
                del self._streams[digest]
            if isinstance(error, BadCarrierPdf) or not isinstance(error, Exception):
                raise
            # pypdf meets broken files with errors of any kind; none of them is our caller's.
            raise _broken() from error
        return len(reader.pages)

    def _add_page(self, page: PageObject, size: LabelSize) -> None:
        box = page.cropbox
        x0, y0, x1, y1 = (float(edge) for edge in (box.left, box.bottom, box.right, box.top))
        if x1 - x0 < 1 or y1 - y0 < 1:
            raise BadCarrierPdf("pdf", "a page has no area", _ASK_AGAIN)
        content = _content(page)
        resources = self._copy(page.get("/Resources", DictionaryObject()), 0)
        group = page.get("/Group")
        entries = b"/Type/XObject/Subtype/Form/BBox[%b]/Resources %b" % (
            b" ".join(number_text(edge) for edge in (x0, y0, x1, y1)),
            resources,
        )
        if group is not None:
            entries += b"/Group " + self._copy(group, 0)
        form, contents = self._file.allocate(), self._file.allocate()
        self._file.write_stream(form, entries, content)
        self._write_waiting()
        paper = size.width_mm / 25.4 * 72, size.height_mm / 25.4 * 72
        matrix = _place((x0, y0, x1, y1), page.rotation % 360, paper)
        numbers = b" ".join(number_text(value) for value in matrix)
        self._file.write_stream(contents, b"", b"q %b cm /P Do Q" % numbers)
        self._file.write_page(*paper, contents, b"<</XObject<</P %d 0 R>>>>" % form)

    def _copy(self, value: PdfObject, depth: int) -> bytes:
        if depth > MAX_DEPTH:
            raise BadCarrierPdf("pdf", "the file is nested too deeply", _ASK_AGAIN)
        if isinstance(value, IndirectObject):
            return b"%d 0 R" % self._number(value)
        if isinstance(value, StreamObject):
            # A stream must be an object of its own; this one stood in place, as pypdf may build it.
            number = self._file.allocate()
            self._write_stream(number, value, depth)
            return b"%d 0 R" % number
        if isinstance(value, DictionaryObject):
            return b"<<%b>>" % self._entries(value, depth)
        if isinstance(value, ArrayObject):
            return b"[%b]" % b" ".join(self._copy(item, depth + 1) for item in list(value))
        out = BytesIO()
        value.write_to_stream(out)
        return out.getvalue()

    def _entries(self, value: DictionaryObject, depth: int) -> bytes:
        parts: list[bytes] = []
        for key in value:
            if key not in _DROPPED_KEYS:
                out = BytesIO()
                key.write_to_stream(out)
                parts.append(out.getvalue() + b" " + self._copy(value.raw_get(key), depth + 1))
        return b"".join(parts)

    def _number(self, reference: IndirectObject) -> int:
        key = (reference.idnum, reference.generation)
        number = self._numbers.get(key)
        if number is None:
            self._object_count += 1
            if self._object_count > MAX_OBJECTS:
                raise BadCarrierPdf("pdf", f"more than {MAX_OBJECTS} objects", _ASK_AGAIN)
            target = reference.get_object()
            digest = _digest(target)
            number = self._streams.get(digest) if digest else None
            if number is None:
                number = self._file.allocate()
                self._waiting.append((number, reference))
                if digest and len(self._streams) < _MAX_KNOWN_STREAMS:
                    self._streams[digest] = number
            self._numbers[key] = number
        return number

    def _write_waiting(self) -> None:
        while self._waiting:
            number, reference = self._waiting.pop()
            target = reference.get_object()
            if isinstance(target, StreamObject):
                self._write_stream(number, target, 0)
            else:
                body = b"null" if target is None else self._copy(target, 0)
                self._file.write(number, body)

    def _write_stream(self, number: int, stream: StreamObject, depth: int) -> None:
        self._file.write_raw_stream(number, self._entries(stream, depth), _raw(stream))


def read(pdf: bytes) -> PdfReader:
    """The opened file. Raises BadCarrierPdf, saying what is wrong with it."""
    if len(pdf) > MAX_BYTES:
        limit = MAX_BYTES // 1024 // 1024
        raise BadCarrierPdf("pdf", f"the file is larger than {limit} MiB", _ASK_AGAIN)
    if b"%PDF-" not in pdf[:1024]:
        raise BadCarrierPdf("pdf", "the file is no PDF", _ASK_AGAIN)
    try:
        reader = PdfReader(BytesIO(pdf))
        locked = reader.is_encrypted and not reader.decrypt("")
        page_count = 0 if locked else len(reader.pages)
        has_notes = not locked and page_count <= MAX_PAGES and _has_annotations(reader)
    except Exception as error:
        # See PageImporter.add.
        raise _broken() from error
    if locked:
        raise BadCarrierPdf("pdf", "the file is locked with a password", _ASK_AGAIN)
    if not 1 <= page_count <= MAX_PAGES:
        raise BadCarrierPdf("pdf", f"{page_count} pages, not 1 to {MAX_PAGES}", _ASK_AGAIN)
    return PdfReader(BytesIO(flatten(pdf))) if has_notes else reader


def _has_annotations(reader: PdfReader) -> bool:
    return any("/Annots" in page for page in reader.pages)


def fit(pdf: bytes, size: LabelSize) -> bytes:
    """The carrier's label as a PDF of exactly this paper, all pages. Raises BadCarrierPdf.

    A page of another size is scaled as a whole and centred; a page that lies on its side is turned.
    """
    file = PdfFile()
    PageImporter(file).add(pdf, size)
    return b"".join(file.finish())


def _broken() -> BadCarrierPdf:
    return BadCarrierPdf("pdf", "the file is damaged", _ASK_AGAIN)


def _content(page: PageObject) -> bytes:
    raw = page.get("/Contents")
    target = raw.get_object() if raw is not None else None
    streams = list(target) if isinstance(target, ArrayObject) else [target]
    parts: list[bytes] = []
    for item in streams:
        stream = item.get_object() if item is not None else None
        if isinstance(stream, StreamObject):
            parts.append(stream.get_data())
        if sum(map(len, parts)) > MAX_CONTENT_BYTES:
            raise BadCarrierPdf("pdf", "a page unpacks to more than 50 MiB", _ASK_AGAIN)
    return b"\n".join(parts)


def _raw(stream: StreamObject) -> bytes:
    data = stream._data
    return data if isinstance(data, bytes) else bytes(data, "latin-1")


def _digest(target: PdfObject | None) -> bytes:
    """What makes two streams equal; empty for all that refers to other objects."""
    if not isinstance(target, StreamObject):
        return b""
    keys = [key for key in target if key not in _DROPPED_KEYS]
    if any(not isinstance(target.raw_get(key), (str, int, float)) for key in keys):
        return b""
    head = repr([(key, target.raw_get(key)) for key in sorted(keys)]).encode("utf-8", "replace")
    return hashlib.sha256(head + b"\n" + _raw(target)).digest()


def _place(box: tuple[float, float, float, float], rotation: int, paper: tuple[float, float]) -> _Matrix:
    """The matrix that brings a page's visible box, turned clockwise, to the middle of the paper."""
    x0, y0, x1, y1 = box
    width, height = x1 - x0, y1 - y0
    lies = (height > width) if rotation in (90, 270) else (width > height)
    if lies != (paper[0] > paper[1]) and abs(width - height) > _SAME_SIZE_PT:
        rotation = (rotation + 90) % 360
    if rotation in (90, 270):
        width, height = height, width
    same = abs(width - paper[0]) < _SAME_SIZE_PT and abs(height - paper[1]) < _SAME_SIZE_PT
    scale = 1.0 if same else min(paper[0] / width, paper[1] / height)
    dx, dy = (paper[0] - width * scale) / 2, (paper[1] - height * scale) / 2
    a, b, c, d, e, f = {
        0: (1, 0, 0, 1, -x0, -y0),
        90: (0, -1, 1, 0, -y0, x1),
        180: (-1, 0, 0, -1, x1, y1),
        270: (0, 1, -1, 0, y1, -x0),
    }[rotation]
    return a * scale, b * scale, c * scale, d * scale, e * scale + dx, f * scale + dy
