"""Reads a delimited order file: its encoding, its delimiter, its rows with their line numbers.

Rules: nothing is guessed: an encoding is taken only when the whole file decodes. A damaged row costs only itself: when
a quoted field is never closed, reading goes on at the next line that is a whole row. Line numbers are those of the
file as an editor shows them, header = 1; a row that spans lines has the number of its first.
"""

from __future__ import annotations

import codecs
import csv
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from engine.cli.ship.problems import ShipError

DELIMITERS = (",", "\t", ";")
LONGEST_ROW_LINES = 64
"""Lines one row may span; an unclosed quote is given up after so many."""

_CHUNK_BYTES = 1 << 20
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


class Row(msgspec.Struct, frozen=True):
    """One row: its first line, and its cells or why they cannot be told apart."""

    line: int
    cells: tuple[str, ...] = ()
    damage: str = ""
    remedy: str = ""

    def __repr__(self) -> str:
        return f"Row(line={self.line}, cells=***{len(self.cells)}, damage={self.damage!r})"


def detect_encoding(path: Path) -> str:
    """`utf-8-sig`, `utf-16`, `utf-8` or `gb18030`. Raises ShipError when the file is none of them."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise ShipError(f"{path}: {error.strerror}; name a file that can be read") from error
    for mark, encoding in _MARKS:
        if start.startswith(mark):
            _check_decodes(path, encoding)
            return encoding
    not_utf8 = _undecodable_line(path, "utf-8")
    if not_utf8 is None:
        return "utf-8"
    not_gb = _undecodable_line(path, "gb18030")
    if not_gb is None:
        return "gb18030"
    raise ShipError(
        f"{path}: is neither UTF-8 (line {not_utf8}) nor GB18030 (line {not_gb}); "
        "save it as CSV UTF-8, or name its encoding with --encoding"
    )


def check_encoding(path: Path, encoding: str) -> str:
    """The encoding the caller names, if the whole file decodes with it. Raises ShipError."""
    if codecs.lookup(encoding).name == "utf-8":
        encoding = "utf-8-sig"  # takes the mark away where there is one
    _check_decodes(path, encoding)
    return encoding


def _check_decodes(path: Path, encoding: str) -> None:
    line = _undecodable_line(path, encoding)
    if line is not None:
        raise ShipError(
            f"{path}: line {line} is no {encoding}; save the file again, or name its encoding with --encoding"
        )


def _undecodable_line(path: Path, encoding: str) -> int | None:
    """The first line that does not decode, None when all do."""
    decoder = codecs.getincrementaldecoder(encoding)()
    line = 1
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                before = decoder.getstate()
                try:
                    line += decoder.decode(chunk).count("\n")
                except UnicodeDecodeError:
                    decoder.setstate(before)
                    return line + _lines_before_error(decoder, chunk)
            decoder.decode(b"", final=True)
    except OSError as error:
        raise ShipError(f"{path}: {error.strerror}; name a file that can be read") from error
    except UnicodeDecodeError:
        return line
    return None


def _lines_before_error(decoder: codecs.IncrementalDecoder, chunk: bytes) -> int:
    """Line breaks of the chunk that come before what cannot be decoded; once per file, so byte lines do."""
    count = 0
    for piece in chunk.splitlines(keepends=True):
        try:
            count += decoder.decode(piece).count("\n")
        except UnicodeDecodeError:
            break
    return count


def read_rows(path: Path, encoding: str) -> Iterator[Row]:
    """The rows from the header on, blank ones left out. The first one read is the header."""
    # newline="" keeps line breaks inside quotes as they are, as the csv module asks for.
    try:
        with path.open(encoding=encoding, newline="") as file:
            yield from split_rows(file)
    except (OSError, UnicodeDecodeError) as error:
        raise ShipError(
            f"{path}: cannot be read any more ({type(error).__name__}); run again when it is whole"
        ) from error


def split_rows(lines: Iterable[str]) -> Iterator[Row]:
    """Rows of lines. The header's own delimiter and width hold for all that follow."""
    source = _Lines(lines)
    header = source.next_line()
    if header is None or not header.strip():
        raise ShipError("line 1: is empty; the first line must name the columns")
    delimiter = max(DELIMITERS, key=header.count)
    source.push_back([header])
    first = _take(source, delimiter, 0)
    if first.damage:
        raise ShipError(f"line 1: {first.damage}; {first.remedy}")
    yield first
    width = len(first.cells)
    while (row := _next_row(source, delimiter, width)) is not None:
        if row.damage or any(cell and not cell.isspace() for cell in row.cells):
            yield row


def _next_row(source: _Lines, delimiter: str, width: int) -> Row | None:
    line = source.next_line()
    if line is None:
        return None
    if '"' not in line:
        # By far the most rows: what has no quotes needs no state machine.
        cells = tuple(line.rstrip("\r\n").split(delimiter))
        if len(cells) == width:
            return Row(source.number, cells)
        if not line.strip():
            return Row(source.number)
    source.push_back([line])
    return _take(source, delimiter, width)


def _take(source: _Lines, delimiter: str, width: int) -> Row:
    """The next row; a damaged one gives back every line that is a whole row by itself."""
    row, used = _parse(source, delimiter, width)
    if not row.damage or len(used) == 1:
        return row
    source.push_back(used[1:])
    for _ in used[1:]:
        next_row, next_used = _parse(source, delimiter, width)
        source.push_back(next_used)
        if not next_row.damage:
            break
        source.next_line()
    return row


def _parse(source: _Lines, delimiter: str, width: int) -> tuple[Row, list[str]]:
    """One row by the rules of RFC 4180, and the lines it took. `width` 0 takes any number of cells."""
    number = source.number + 1
    used: list[str] = []

    def feed() -> Iterator[str]:
        while len(used) < LONGEST_ROW_LINES and (line := source.next_line()) is not None:
            used.append(line)
            yield line

    try:
        cells = tuple(next(csv.reader(feed(), delimiter=delimiter, strict=True)))
    except csv.Error as error:
        return _damaged(number, used, str(error)), used
    except StopIteration:
        return Row(number), used
    if width and len(cells) != width and any(cell.strip() for cell in cells):
        text = f"has {len(cells)} fields, the header has {width}"
        remedy = "put fields that hold the delimiter or a line break in double quotes, and give every column a field"
        return Row(number, damage=text, remedy=remedy), used
    return Row(number, cells), used


def _damaged(number: int, used: list[str], why: str) -> Row:
    if "unexpected end of data" in why or len(used) >= LONGEST_ROW_LINES:
        return Row(number, damage="a double quote is never closed", remedy="close it, or take it away")
    if "field larger" in why:
        return Row(number, damage="a field has more than 131072 characters", remedy="shorten it")
    return Row(
        number,
        damage="text follows a closing double quote",
        remedy='write a double quote inside a quoted field twice ("")',
    )


class _Lines:
    """Lines with the number of the last one given, and a way back."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._returned: deque[str] = deque()
        self.number = 0

    def next_line(self) -> str | None:
        """The next line with its end, None after the last."""
        line = self._returned.popleft() if self._returned else next(self._lines, None)
        if line is not None:
            self.number += 1
        return line

    def push_back(self, lines: list[str]) -> None:
        """Give lines back that `next_line` gave."""
        self._returned.extendleft(reversed(lines))
        self.number -= len(lines)
