"""What became of each row, and the file that tells it: results.csv, one row per input row, in input order.

Rule: no cell may be run as a formula by a spreadsheet; numbers and waybill numbers stay as they are.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

from crossdock.v1 import core_pb2
from engine.cli.ship.orders import OrderReader
from engine.cli.ship.problems import Problem, split_remedy

HEADER = ("line", "reference", "order_id", "state", "carrier", "waybill_number", "column", "error", "remedy")
BOOKED, FAILED = "BOOKED", "FAILED"
OPEN_STATES = frozenset({"ACCEPTED", "BOOKING", "CANCELLING"})
"""States the engine is still working on."""

REFUSED_STANDING, NOT_ANSWERED_STANDING = "refused", "not answered"
NOT_ANSWERED = Problem("", "not answered", "run the same command again; nothing is booked twice")
STILL_BOOKING = Problem("", "is still being booked", "run the same command again")

_STATES = {value: name.removeprefix("STATE_") for name, value in core_pb2.Order.State.items()}
_NUMBER = re.compile(r"[-+]?[0-9]+(\.[0-9]+)?")
# Tab and carriage return lead into a formula as well (OWASP, CSV injection).
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class Result(msgspec.Struct, frozen=True):
    """What became of one row. `line` is where it begins in the file; `state` is empty when the engine has no order."""

    line: int
    reference: str
    order_id: str = ""
    state: str = ""
    carrier: str = ""
    waybill_number: str = ""
    column: str = ""
    error: str = ""
    remedy: str = ""

    @property
    def standing(self) -> str:
        """The state, or why there is none."""
        if self.state:
            return self.state
        return NOT_ANSWERED_STANDING if self.error == NOT_ANSWERED.error else REFUSED_STANDING

    @property
    def is_shipped(self) -> bool:
        """Whether there is nothing left to do for this row."""
        return self.state == BOOKED and not self.error


def refused(line: int, reference: str, problem: Problem) -> Result:
    """The result of a row that has no order."""
    return Result(line, reference, column=problem.column, error=problem.error, remedy=problem.remedy)


def with_problem(result: Result, problem: Problem) -> Result:
    """The same row with something to do about it."""
    return msgspec.structs.replace(result, column=problem.column, error=problem.error, remedy=problem.remedy)


def of_order(line: int, reference: str, order: core_pb2.Order, reader: OrderReader) -> Result:
    """The result of a row the engine has an order for, failed ones with the reason."""
    state = _STATES.get(order.state, f"STATE_{order.state}")
    result = Result(line, reference, order.order_id, state, order.booking.carrier, order.booking.waybill_number)
    if state == BOOKED or state in OPEN_STATES:
        return result
    if order.HasField("failure"):
        return with_problem(result, _failure(order.failure, reader))
    if state == "CANCELLED":
        return with_problem(
            result, Problem("", "the order was cancelled", "give the row a new order number to ship it")
        )
    return with_problem(result, Problem("", f"the order is {state}", "ask who runs the engine"))


def _failure(failure: core_pb2.Failure, reader: OrderReader) -> Problem:
    column = reader.column_of_path(failure.field) if failure.field else ""
    error, remedy = failure.message, failure.remedy
    if not remedy:
        error, remedy = split_remedy(failure.message)
    remedy = remedy or "correct the row, or run again with --retry-failed"
    return Problem(column, error or failure.reason, remedy)


def write_results(path: Path, results: Iterable[Result]) -> None:
    """Write results.csv whole or not at all: UTF-8 with mark, so that spreadsheets read the Chinese."""
    draft = path.with_name(f".{path.name}.part")
    with draft.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow(HEADER)
        for result in results:
            writer.writerow([result.line, *(safe_cell(text) for text in msgspec.structs.astuple(result)[1:])])
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def safe_cell(text: str) -> str:
    """The text as a cell no spreadsheet takes for a formula."""
    if text.startswith(_FORMULA_STARTS) and not _NUMBER.fullmatch(text):
        return f"'{text}"
    return text
