"""How values of the contract read: known ones, later ones, words that name none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from crossdock.v1 import core_pb2, order_service_pb2, return_service_pb2, track_status_pb2
from engine.cli.wording import at_most, enum_name, enum_value, local


@pytest.mark.parametrize(
    ("enum", "value", "name"),
    [
        (core_pb2.Order.State, core_pb2.Order.STATE_BOOKED, "BOOKED"),
        (order_service_pb2.OrderEvent.Kind, 0, "UNSPECIFIED"),
        (track_status_pb2.TrackStatus, track_status_pb2.TRACK_STATUS_IN_TRANSIT, "IN_TRANSIT"),
        (core_pb2.Order.State, 99, "99"),
    ],
)
def test_an_enum_reads_without_its_prefix(enum: object, value: int, name: str) -> None:
    """A value that came after this client is its number."""
    assert enum_name(enum, value) == name


@pytest.mark.parametrize("word", ["WRONG_SIZE", "wrong-size", "wrong_size"])
def test_a_word_names_a_value_in_either_case(word: str) -> None:
    """With - or _."""
    found = enum_value(return_service_pb2.ReturnReason, "--reason", word)

    assert found == return_service_pb2.RETURN_REASON_WRONG_SIZE


@pytest.mark.parametrize("word", ["lost", "unspecified", ""])
def test_a_word_that_names_no_value_ends_with_those_that_do(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The zero is no value to ask for."""
    with pytest.raises(SystemExit, match="2"):
        enum_value(core_pb2.Order.State, "--state", word)

    assert f"--state {word}: use one of ACCEPTED, BOOKING" in capsys.readouterr().err


def test_times_of_both_kinds_read_alike() -> None:
    """The contract's and Python's."""
    moment = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
    stamp = Timestamp()
    stamp.FromDatetime(moment)

    assert local(stamp, UTC) == local(moment, UTC) == "2026-11-21 08:30:00"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("limit", "found", "more"),
    [(2, [0, 1], "There are more; --limit 20 shows up to 20."), (3, [0, 1, 2], ""), (9, [0, 1, 2], "")],
)
async def test_a_listing_is_cut_at_its_limit(limit: int, found: list[int], more: str) -> None:
    """And says how to see more only when there is more."""

    async def listed() -> AsyncIterator[int]:
        for number in range(3):
            yield number

    assert await at_most(limit, listed()) == (found, more)
