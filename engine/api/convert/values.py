"""Times and spans between protobuf and Python. Integers only: a float of seconds since 1970 loses microseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# timestamp.proto: from 0001-01-01T00:00:00Z to 9999-12-31T23:59:59.999999999Z, which is also what `datetime` holds.
_FIRST_S, _LAST_S, _LAST_NANO = -62_135_596_800, 253_402_300_799, 999_999_999

NO_TIME = ("is no time of the years 1 to 9999", "write seconds since 1970 and 0 to 999999999 nanoseconds")
"""What is wrong with a timestamp that is not valid, and the remedy."""


def to_timestamp(time: datetime, message: Timestamp) -> None:
    """Write an aware time into `message`."""
    since = time - _EPOCH
    message.seconds = since.days * 86_400 + since.seconds
    message.nanos = since.microseconds * 1000


def is_valid(message: Timestamp) -> bool:
    """Whether it is a time at all: the wire also carries numbers far outside the calendar."""
    return _FIRST_S <= message.seconds <= _LAST_S and 0 <= message.nanos <= _LAST_NANO


def from_timestamp(message: Timestamp) -> datetime:
    """The aware UTC time of a valid `message`."""
    return _EPOCH + timedelta(seconds=message.seconds, microseconds=message.nanos // 1000)


def to_duration(seconds: float, message: Duration) -> None:
    """Write a span into `message`."""
    micros = round(seconds * 1_000_000)
    message.seconds = micros // 1_000_000
    message.nanos = micros % 1_000_000 * 1000
