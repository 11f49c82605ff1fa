"""Reading a file: encodings, delimiters, damaged rows, and the number of every line."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.cli.ship.problems import ShipError
from engine.cli.ship.reading import check_encoding, detect_encoding, read_rows, split_rows

TEXT = "订单号,备注\nSO1,您好😀\n"


def rows_of(text: str) -> list[tuple[int, tuple[str, ...] | str]]:
    """(line, cells or damage) of each row after the header."""
    lines = text.splitlines(keepends=True)
    return [(row.line, row.damage or row.cells) for row in list(split_rows(lines))[1:]]


@pytest.mark.parametrize(
    ("encoding", "found"),
    [("utf-8-sig", "utf-8-sig"), ("utf-8", "utf-8"), ("gb18030", "gb18030"), ("utf-16", "utf-16")],
)
def test_encoding_is_found_out(tmp_path: Path, encoding: str, found: str) -> None:
    """Mark first, then strict UTF-8, then GB18030; the text comes out the same, emoji included."""
    path = tmp_path / "orders.csv"
    path.write_bytes(TEXT.encode(encoding))

    assert detect_encoding(path) == found
    assert [row.cells for row in read_rows(path, found)] == [("订单号", "备注"), ("SO1", "您好😀")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xef\xbb\xbfa,b\n1,\xff\n", "line 2 is no utf-8-sig"),
        (b"a,b\n1,2\n3,\xff\xff\n", r"neither UTF-8 \(line 3\) nor GB18030 \(line 3\)"),
        (b"a,b\n1,\xe8", r"neither UTF-8 \(line 2\) nor GB18030 \(line 2\)"),
    ],
)
def test_undecodable_file(tmp_path: Path, content: bytes, message: str) -> None:
    """A file that is no text names the line and says what to do."""
    path = tmp_path / "orders.csv"
    path.write_bytes(content)

    with pytest.raises(ShipError, match=message):
        detect_encoding(path)


def test_named_encoding_must_decode(tmp_path: Path) -> None:
    """An encoding named by the caller is checked as strictly as one found out."""
    path = tmp_path / "orders.csv"
    path.write_bytes(TEXT.encode("gb18030"))

    assert check_encoding(path, "gb18030") == "gb18030"
    with pytest.raises(ShipError, match="line 1 is no utf-8"):
        check_encoding(path, "utf8")


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_delimiter_comes_from_the_header(delimiter: str) -> None:
    """Comma, tab and semicolon are told apart, also when other rows hold more of another."""
    assert rows_of(f"a{delimiter}b\n1{delimiter}x\n") == [(2, ("1", "x"))]


def test_line_numbers_with_breaks_inside_quotes() -> None:
    """A row is numbered by the line on which it begins, whatever stands in it and whatever ends lines."""
    text = 'a,b\r\n1,"x\n\ty"\r\n2,z\r\n\r\n3,"q""q"\r\n'

    assert rows_of(text) == [(2, ("1", "x\n\ty")), (4, ("2", "z")), (6, ("3", 'q"q'))]


def test_blank_rows_are_left_out() -> None:
    """Rows a spreadsheet leaves behind, empty or delimiters only, are no orders."""
    assert rows_of("a,b,c\n\n,,\n , ,\n,,,,,\n1,2,3\n\n") == [(6, ("1", "2", "3"))]


@pytest.mark.parametrize(
    ("damaged", "why"),
    [
        ("1,2", "has 2 fields, the header has 3"),
        ("1,2,3,4", "has 4 fields, the header has 3"),
        ('1,"2"x,3', "text follows a closing double quote"),
        # The quote closes where the next row opens one.
        ('1,"2,3', "text follows a closing double quote"),
    ],
)
def test_damaged_row_costs_only_itself(damaged: str, why: str) -> None:
    """A row that cannot be taken apart gets an error; the rows around it are read, quoted breaks included."""
    found = rows_of(f'a,b,c\n0,0,0\n{damaged}\n4,"5\n5",6\n7,8,9\n')

    assert found == [(2, ("0", "0", "0")), (3, why), (4, ("4", "5\n5", "6")), (6, ("7", "8", "9"))]


def test_quote_that_is_never_closed_in_a_long_file() -> None:
    """An unclosed quote does not swallow the rest of the file."""
    text = 'a,b\n1,"oops\n' + "".join(f"{n},x\n" for n in range(3, 500))
    found = rows_of(text)

    assert found[0] == (2, "a double quote is never closed")
    assert [line for line, _ in found[1:]] == list(range(3, 500))


def test_damaged_row_with_a_break_is_one_row() -> None:
    """The second half of a damaged row is no row of its own."""
    assert rows_of('a,b,c\n1,"x\ny"\n4,5,6\n') == [(2, "has 2 fields, the header has 3"), (4, ("4", "5", "6"))]


def test_empty_file() -> None:
    """A file without a header says so."""
    with pytest.raises(ShipError, match="the first line must name the columns"):
        list(split_rows([]))
