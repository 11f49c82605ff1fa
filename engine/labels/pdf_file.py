"""Writes a PDF file object by object, so that a document of any length needs little memory.

Knows the file format (ISO 32000-1 section 7) and nothing of labels. What is written can be
taken away at once; only the place of each object is remembered (8 bytes each) until the table
at the end.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterable

HEADER = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"
_COMPRESSION_LEVEL = 6
#: Kids of one node of the page tree: keeps the tree two levels deep up to 10,000 pages and beyond.
_PAGES_PER_NODE = 100


class PdfFile:
    """An open PDF file. Allocate numbers, write objects, take bytes, finish."""

    def __init__(self) -> None:
        self._offsets = array("Q", [0])
        self._chunks: list[bytes] = [HEADER]
        self._position = len(HEADER)
        self._root_pages = self.allocate()
        self._nodes: list[tuple[int, int]] = []
        self._node = 0
        self._kids: list[int] = []

    @property
    def page_count(self) -> int:
        """Pages written so far."""
        return sum(count for _, count in self._nodes) + len(self._kids)

    def allocate(self) -> int:
        """A number for an object that will be written later."""
        self._offsets.append(0)
        return len(self._offsets) - 1

    def take(self) -> bytes:
        """The bytes written since the last call."""
        data = b"".join(self._chunks)
        self._chunks.clear()
        return data

    def write(self, number: int, body: bytes) -> None:
        """Writes one object."""
        self._offsets[number] = self._position
        self._put(b"%d 0 obj\n%b\nendobj\n" % (number, body))

    def write_stream(self, number: int, entries: bytes, data: bytes) -> None:
        """Writes a stream, compressed; `entries` are its keys besides filter and length."""
        packed = zlib.compress(data, _COMPRESSION_LEVEL)
        self.write_raw_stream(number, entries + b"/Filter/FlateDecode", packed)

    def write_raw_stream(self, number: int, entries: bytes, data: bytes) -> None:
        """Writes a stream as it is."""
        head = b"<<%b/Length %d>>\nstream\n" % (entries, len(data))
        self.write(number, head + data + b"\nendstream")

    def write_page(self, width_pt: float, height_pt: float, contents: int, resources: bytes) -> None:
        """Adds a page. `resources` is a dictionary or a reference to one."""
        if not self._node:
            self._node = self.allocate()
        page = self.allocate()
        self.write(
            page,
            b"<</Type/Page/Parent %d 0 R/MediaBox[0 0 %b %b]/Contents %d 0 R/Resources %b>>"
            % (self._node, number_text(width_pt), number_text(height_pt), contents, resources),
        )
        self._kids.append(page)
        if len(self._kids) == _PAGES_PER_NODE:
            self._close_node()

    def finish(self) -> Iterable[bytes]:
        """Writes the page tree, the catalogue and the table; yields what is still to be sent."""
        if self._kids:
            self._close_node()
        kids = b" ".join(b"%d 0 R" % number for number, _ in self._nodes)
        self.write(
            self._root_pages,
            b"<</Type/Pages/Count %d/Kids[%b]>>" % (self.page_count, kids),
        )
        catalogue, info = self.allocate(), self.allocate()
        self.write(catalogue, b"<</Type/Catalog/Pages %d 0 R>>" % self._root_pages)
        self.write(info, b"<</Producer(Crossdock)>>")
        yield self.take()
        yield from self._table(catalogue, info)

    def _table(self, catalogue: int, info: int) -> Iterable[bytes]:
        count = len(self._offsets)
        yield b"xref\n0 %d\n0000000000 65535 f \n" % count
        for start in range(1, count, 4096):
            yield b"".join(
                b"%010d 00000 n \n" % offset if offset else b"0000000000 65535 f \n"
                for offset in self._offsets[start : start + 4096]
            )
        yield b"trailer\n<</Size %d/Root %d 0 R/Info %d 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (
            count,
            catalogue,
            info,
            self._position,
        )

    def _close_node(self) -> None:
        kids = b" ".join(b"%d 0 R" % number for number in self._kids)
        self.write(
            self._node,
            b"<</Type/Pages/Parent %d 0 R/Count %d/Kids[%b]>>" % (self._root_pages, len(self._kids), kids),
        )
        self._nodes.append((self._node, len(self._kids)))
        self._node = 0
        self._kids = []

    def _put(self, data: bytes) -> None:
        self._chunks.append(data)
        self._position += len(data)


def number_text(value: float) -> bytes:
    """A number as PDF writes it: no exponent, no needless zeros."""
    return (f"{value:.5f}".rstrip("0").rstrip(".") or "0").encode("ascii")
