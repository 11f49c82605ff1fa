"""The files of a run: what is known after a kill, and cells no spreadsheet runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.cli.ship.progress import PROGRESS_NAME, Progress
from engine.cli.ship.results import HEADER, Result, safe_cell, write_results


def test_progress_outlives_a_kill(tmp_path: Path) -> None:
    """What was answered is on disk at once; a line cut off in the middle is left out, what follows is not."""
    progress = Progress.open(tmp_path, "engine")
    progress.answered("k1", "k1", Result(2, "SO1", "o1", "BOOKED", "sf", "SF1"))
    progress.sending("k2", "retry-id")
    with (tmp_path / PROGRESS_NAME).open("ab") as file:
        file.write(b'{"key":"k3","serv')
    progress.close()
    again = Progress.open(tmp_path, "engine")
    again.close()

    known, retried = again.known("k1"), again.known("k2")
    assert known is not None
    assert known.result(9, "SO1") == Result(9, "SO1", "o1", "BOOKED", "sf", "SF1")
    assert retried is not None
    assert (retried.request_id, retried.is_answer, again.known("k3")) == ("retry-id", False, None)


def test_progress_of_another_engine_is_kept_apart(tmp_path: Path) -> None:
    """What one engine refused is not shown as another's answer, and is not lost."""
    refused = Result(2, "SO1", column="市", error="is unknown", remedy="give a city")
    first = Progress.open(tmp_path, "one")
    first.answered("k1", "k1", refused)
    first.close()
    second, third = Progress.open(tmp_path, "two"), Progress.open(tmp_path, "one")
    second.close()
    third.close()

    assert second.known("k1") is None
    assert third.known("k1") is not None


def test_progress_keeps_one_line_per_row(tmp_path: Path) -> None:
    """Running again and again does not let the file grow."""
    for _ in range(3):
        progress = Progress.open(tmp_path, "engine")
        progress.answered("k1", "k1", Result(2, "SO1", "o1", "BOOKED"))
        progress.close()
    Progress.open(tmp_path, "engine").close()

    assert len((tmp_path / PROGRESS_NAME).read_bytes().splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=cmd|'/c calc'!A1", "'=cmd|'/c calc'!A1"),
        ("+SO1", "'+SO1"),
        ("-SO1", "'-SO1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("-1.2", "-1.2"),
        ("+8619900000000", "+8619900000000"),
        ("SF7444000000022", "SF7444000000022"),
        ("73100012345678", "73100012345678"),
        ("", ""),
    ],
)
def test_cell_is_never_a_formula(text: str, cell: str) -> None:
    """What a spreadsheet would run gets a quote in front; numbers and waybill numbers stay as they are."""
    assert safe_cell(text) == cell


def test_results_file(tmp_path: Path) -> None:
    """UTF-8 with mark, the documented header, one row each, quoted where a cell needs it."""
    path = tmp_path / "results.csv"
    write_results(path, [Result(2, "SO1", column="电话", error="a, b", remedy="c")])

    content = path.read_bytes()
    assert content.startswith(b"\xef\xbb\xbf" + ",".join(HEADER).encode() + b"\r\n")
    assert content.decode("utf-8-sig").splitlines()[1] == '2,SO1,,,,,电话,"a, b",c'
