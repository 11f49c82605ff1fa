"""Whole runs against an engine's twin: what is sent, what is written, how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.cli.ship.problems import ShipError
from engine.cli.ship.progress import locked
from engine.cli.ship.summary import Summary
from tests.unit.cli.ship.engine_twin import RunningTwin
from tests.unit.cli.ship.support import order_row, read_results

Ship = Callable[..., Summary]


def test_all_rows_shipped(ship_rows: Ship, tmp_path: Path) -> None:
    """A clean file is booked, labelled in file order, and ends with 0."""
    summary = ship_rows([order_row(f"SO{n}") for n in range(5)])

    assert (summary.exit_code, summary.states, summary.label_count) == (0, {"BOOKED": 5}, 5)
    rows = read_results(tmp_path)
    assert [row["reference"] for row in rows] == ["SO0", "SO1", "SO2", "SO3", "SO4"]
    assert (tmp_path / "labels.pdf").read_text().split() == [row["waybill_number"] for row in rows]


def test_answers_out_of_order(ship_rows: Ship, engine: RunningTwin, tmp_path: Path) -> None:
    """Results stand in the order of the file although the answers come backwards."""
    engine.twin.answer_backwards_from = 4
    ship_rows([order_row(f"SO{n}") for n in range(4)])

    assert [index for what, index in engine.twin.log if what == "answered"] == [5, 4, 3, 2]
    assert [row["line"] for row in read_results(tmp_path)] == ["2", "3", "4", "5"]


def test_refused_rows_name_column_and_remedy(ship_rows: Ship, engine: RunningTwin, tmp_path: Path) -> None:
    """The engine's field paths become the file's columns, all violations are told, and the other rows ship."""
    engine.twin.invalid["SO1"] = (
        ("order.recipient.contact.phone", "has 10 digits; give 11"),
        ("order.recipient.address.city", "is unknown; give a city"),
    )
    summary = ship_rows([order_row("SO1"), order_row("SO2"), order_row("SO3", **{"重量(kg)": "1,5"})])

    first, second, third = read_results(tmp_path)
    assert (first["column"], first["error"]) == ("电话", "电话: has 10 digits; 市: is unknown")
    assert first["remedy"] == "电话: give 11; 市: give a city"
    assert second["state"] == "BOOKED"
    assert (third["column"], third["error"], third["remedy"]) == ("重量(kg)", "has a comma: 1,5", "write 1.5")
    assert (summary.exit_code, summary.shipped) == (1, 1)


def test_run_again_books_nothing_twice(ship_rows: Ship, engine: RunningTwin, tmp_path: Path) -> None:
    """The same file again shows the same waybills."""
    rows = [order_row("SO1"), order_row("SO2")]
    ship_rows(rows)
    before = read_results(tmp_path)
    ship_rows(rows)

    assert read_results(tmp_path) == before
    assert engine.twin.booked == ["SO1", "SO2"]


def test_repeat_goes_out_after_the_first_answer(ship_rows: Ship, engine: RunningTwin, tmp_path: Path) -> None:
    """A second line with the same order is sent when the first was answered, and shows the same order."""
    engine.twin.answer_backwards_from = 2
    summary = ship_rows([order_row("SO1"), order_row("SO1"), order_row("SO2")])

    assert engine.twin.log.index(("received", 3)) > engine.twin.log.index(("answered", 2))
    first, second, _ = read_results(tmp_path)
    assert (second["order_id"], second["state"], second["error"]) == (first["order_id"], "BOOKED", "")
    assert (summary.repeated, summary.exit_code, summary.label_count) == (1, 0, 2)


def test_repeat_with_other_content_is_refused(ship_rows: Ship, engine: RunningTwin, tmp_path: Path) -> None:
    """Of two lines with one order number the first wins; the second never reaches the engine."""
    ship_rows([order_row("SO1"), order_row("SO1", 收件人="换人")])

    second = read_results(tmp_path)[1]
    assert (second["column"], second["error"]) == ("订单号", "line 2 has the same order number with other content")
    assert [item.index for item in engine.twin.received] == [2]


def test_order_number_of_an_earlier_run_is_refused(ship_rows: Ship, tmp_path: Path) -> None:
    """A row that was changed after it was booked names the order number's column."""
    ship_rows([order_row("SO1")])
    summary = ship_rows([order_row("SO1", 收件人="换人")])

    row = read_results(tmp_path)[0]
    assert (row["column"], row["state"], summary.exit_code) == ("订单号", "", 1)


def test_connection_lost_in_the_middle(ship_rows: Ship, engine: RunningTwin, tmp_path: Path) -> None:
    """What was booked while the connection broke is answered again, not booked again."""
    engine.twin.cut_after = [3, 0, 2]
    summary = ship_rows([order_row(f"SO{n}") for n in range(8)])

    assert summary.exit_code == 0
    assert sorted(engine.twin.booked) == [f"SO{n}" for n in range(8)]
    assert [row["state"] for row in read_results(tmp_path)] == ["BOOKED"] * 8


def test_server_away_keeps_what_is_known(ship_rows: Ship, engine: RunningTwin, tmp_path: Path) -> None:
    """When the engine cannot be reached, results.csv shows former answers and which rows have none."""
    ship_rows([order_row("SO1")])
    engine.stop()
    summary = ship_rows([order_row("SO1"), order_row("SO2"), order_row("SO2")])

    first, second, third = read_results(tmp_path)
    assert summary.exit_code == 3
    assert "run the same command again" in summary.stopped
    assert (first["state"], first["waybill_number"]) == ("BOOKED", "SF0000000000001")
    assert second["error"] == third["error"] == "not answered"


def test_stopped_by_a_signal(ship_rows: Ship, engine: RunningTwin, tmp_path: Path) -> None:
    """Ctrl-C ends the run with 3 and a whole results.csv; the next run takes up what was left."""
    engine.twin.answer_backwards_from = 1000
    engine.twin.on_row = lambda index: os.kill(os.getpid(), signal.SIGINT) if index == 3 else None
    stopped = ship_rows([order_row("SO1"), order_row("SO2")])
    unanswered = [row["error"] for row in read_results(tmp_path)]
    engine.twin.answer_backwards_from, engine.twin.on_row = 0, lambda index: None
    again = ship_rows([order_row("SO1"), order_row("SO2")])

    assert (stopped.exit_code, unanswered) == (3, ["not answered", "not answered"])
    assert (again.exit_code, engine.twin.booked) == (0, ["SO1", "SO2"])


def test_file_that_breaks_off(ship_rows: Ship, engine: RunningTwin, tmp_path: Path) -> None:
    """A file that changes under the run ends it with what is known, instead of waiting for rows nobody sends."""

    def damage(index: int) -> None:
        if index == 2:
            with (tmp_path / "orders.csv").open("r+b") as file:
                file.seek(-20_000, os.SEEK_END)
                file.write(b"\xff\xff")

    engine.twin.on_row = damage
    summary = ship_rows([order_row(f"SO{n}") for n in range(3000)])

    assert summary.exit_code == 2
    assert "cannot be read any more" in summary.stopped


def test_unknown_api_key_stops_at_once(ship_rows: Ship, engine: RunningTwin) -> None:
    """A refused key is a matter of configuration, not of trying again."""
    engine.twin.api_key = "right"
    summary = ship_rows([order_row("SO1")])

    assert summary.exit_code == 2
    assert "CROSSDOCK_API_KEY" in summary.stopped


def test_overloaded_engine_gets_the_row_again(ship_rows: Ship, engine: RunningTwin) -> None:
    """A row the engine had no room for is sent again until it is taken."""
    engine.twin.busy["SO1"] = 2
    summary = ship_rows([order_row("SO1"), order_row("SO2")])

    assert (summary.exit_code, sorted(engine.twin.booked)) == (0, ["SO1", "SO2"])


def test_row_the_engine_fails_on_costs_only_itself(ship_rows: Ship, engine: RunningTwin, tmp_path: Path) -> None:
    """A defect that breaks the whole stream ends as one row's error; the others ship."""
    engine.twin.defective.add("SO3")
    engine.twin.invalid["SO5"] = (("order.recipient.address.city", "is unknown; give a city"),)
    summary = ship_rows([order_row(f"SO{n}") for n in range(6)])

    rows = read_results(tmp_path)
    assert rows[3]["error"].startswith("the engine failed on this row")
    assert (rows[5]["column"], rows[5]["error"]) == ("市", "is unknown")
    assert (summary.shipped, summary.exit_code) == (4, 1)


def test_open_rows_are_followed(ship_rows: Ship, engine: RunningTwin, tmp_path: Path) -> None:
    """A row that is still being booked is asked for until it is booked, and gets its label."""
    engine.twin.slow["SO1"] = 3
    summary = ship_rows([order_row("SO1")])

    assert (summary.exit_code, summary.label_count) == (0, 1)
    assert read_results(tmp_path)[0]["state"] == "BOOKED"


def test_row_that_stays_open(ship_rows: Ship, engine: RunningTwin, tmp_path: Path) -> None:
    """What does not settle in time is written as it is, with what to do."""
    engine.twin.slow["SO1"] = 1_000_000
    summary = ship_rows([order_row("SO1")])

    row = read_results(tmp_path)[0]
    assert (row["state"], row["remedy"], summary.exit_code) == ("BOOKING", "run the same command again", 1)
    assert not (tmp_path / "labels.pdf").exists()


def test_failed_row_is_retried_only_when_asked(ship_rows: Ship, engine: RunningTwin, tmp_path: Path) -> None:
    """FAILED stays FAILED on a plain run; with --retry-failed it is booked, and later plain runs show that."""
    engine.twin.failing.add("SO1")
    ship_rows([order_row("SO1")])
    engine.twin.failing.clear()
    ship_rows([order_row("SO1")])
    plain = read_results(tmp_path)[0]
    ship_rows([order_row("SO1")], retry_failed=True)
    retried = read_results(tmp_path)[0]
    ship_rows([order_row("SO1")])

    assert (plain["state"], plain["column"]) == ("FAILED", "市")
    assert retried["state"] == "BOOKED"
    assert read_results(tmp_path)[0] == retried
    assert engine.twin.booked == ["SO1"]


def test_label_that_cannot_be_printed(ship_rows: Ship, engine: RunningTwin, tmp_path: Path) -> None:
    """The row stays booked and names the column whose character no font has."""
    engine.twin.unprintable["SO1"] = "recipient.contact.name"
    summary = ship_rows([order_row("SO1"), order_row("SO2")])

    row = read_results(tmp_path)[0]
    assert (row["state"], row["column"], row["remedy"]) == ("BOOKED", "收件人", "add a font")
    assert (summary.label_count, summary.exit_code) == (1, 1)


def test_refusals_are_grouped(ship_rows: Ship) -> None:
    """Rows with the same thing wrong in the same column count as one line of the summary."""
    summary = ship_rows([order_row(f"SO{n}", **{"重量(kg)": f"-{n}.5"}) for n in range(12)])

    assert [(group.column, group.error, group.count) for group in summary.problems] == [("重量(kg)", "is negative", 12)]


def test_second_run_in_the_same_folder(tmp_path: Path) -> None:
    """Two runs at once would mix their results; the second one is told so."""
    with locked(tmp_path), pytest.raises(ShipError, match="another run writes here"), locked(tmp_path):
        asyncio.run(asyncio.sleep(0))
