"""What can be wrong with a file, a row or a run, and how it is said.

Rules: every problem says what is wrong and what to do; a value is quoted only when it looks like a number, since a
cell of a shifted row may hold somebody's name or phone.

ShipError                    the command stops
    ShipError.exit_code 2    usage, file or configuration
    Interrupted    3         the engine cannot be reached, or the run was stopped
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec
from google.rpc import error_details_pb2, status_pb2

EXIT_SHIPPED = 0
EXIT_REFUSED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 3

_NUMBER_LIKE = re.compile(r"[-+0-9.,，。 ]{1,12}|[零〇一二两三四五六七八九十百千万半]{1,6}")
_VALUE = re.compile(rf": (?:{_NUMBER_LIKE.pattern})$")
_VARIABLE = re.compile(r"'[^']*'|[0-9a-f]{8}-[0-9a-f-]{27}|[0-9]{2,}|\b(?<=line )[0-9]")


class ShipError(Exception):
    """The command cannot go on; the message says why and what to do."""

    exit_code = EXIT_USAGE


class Interrupted(ShipError):
    """The engine could not be reached for long enough, or the run was stopped; run the same command again."""

    exit_code = EXIT_INTERRUPTED


class Problem(msgspec.Struct, frozen=True):
    """One thing wrong with a row: the file's own column (may be empty), what is wrong, what to do."""

    column: str
    error: str
    remedy: str


def joined(problems: Sequence[Problem]) -> Problem:
    """All problems of a row as one: the first one's column, every text."""
    if len(problems) == 1:
        return problems[0]
    return Problem(
        problems[0].column,
        "; ".join(_named(p.column, p.error) for p in problems),
        "; ".join(_named(p.column, p.remedy) for p in problems),
    )


def _named(column: str, text: str) -> str:
    return f"{column}: {text}" if column else text


def about(error: str, value: str) -> str:
    """The error with the value behind it, when that can only be a number."""
    return f"{error}: {value}" if _NUMBER_LIKE.fullmatch(value) else error


def kind_of(column: str, error: str) -> str:
    """The error of a column without what differs from row to row, to count equal ones together."""
    first = error.removeprefix(f"{column}: ").split("; ", 1)[0].split(" (", 1)[0]
    return _VARIABLE.sub("…", _VALUE.sub("", first))


def split_remedy(text: str) -> tuple[str, str]:
    """`what is wrong; what to do` taken apart, as the engine writes its messages."""
    error, _, remedy = text.partition("; ")
    return error, remedy


def status_problem(status: status_pb2.Status, column_of: Callable[[str], str], reference_column: str) -> Problem:
    """What a refused row's status says, in the words of the merchant's file. `column_of` maps a field path."""
    reason = reason_of(status)
    if reason == "IDEMPOTENCY_KEY_REUSED":
        return Problem(
            reference_column,
            "this order number was shipped before with other content",
            "give the row its own order number, or restore the row as it was shipped",
        )
    bad = error_details_pb2.BadRequest()
    for detail in status.details:
        if detail.Unpack(bad) and bad.field_violations:
            return joined([violation_problem(v.field, v.description, column_of) for v in bad.field_violations])
    # A message may list several causes; what to do stands behind the last semicolon.
    error, semicolon, remedy = status.message.rpartition("; ")
    if not semicolon:
        error, remedy = status.message, "ask who runs the engine"
    return Problem("", error or reason, remedy)


def violation_problem(field: str, description: str, column_of: Callable[[str], str]) -> Problem:
    """One violation; a field no column fills is named by its path (the warehouse is the engine's own setting)."""
    column = column_of(field)
    error, remedy = split_remedy(description)
    if not column:
        error = f"{field}: {error}"
    if field.removeprefix("order.").startswith("shipper"):
        remedy = f"{remedy} (the tenant's warehouse in the engine's configuration)"
    return Problem(column, error, remedy)


def reason_of(status: status_pb2.Status) -> str:
    """The ErrorInfo reason, empty when there is none."""
    info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        if detail.Unpack(info):
            return str(info.reason)
    return ""


def retry_delay_s(status: status_pb2.Status, default_s: float) -> float:
    """How long the engine asks to wait before another try."""
    info = error_details_pb2.RetryInfo()
    for detail in status.details:
        if detail.Unpack(info):
            return float(info.retry_delay.seconds) + float(info.retry_delay.nanos) / 1e9
    return default_s
