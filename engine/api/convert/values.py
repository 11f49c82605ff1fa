"""Times and spans between protobuf and Python. Integers only: a float of seconds since 1970 loses microseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)


def to_timestamp(time: datetime, message: Timestamp) -> None:
    """Write an aware time into `message`."""
    since = time - _EPOCH
    message.seconds = since // _SECOND
    message.nanos = since.microseconds * 1000


def from_timestamp(message: Timestamp) -> datetime:
    """The aware UTC time of `message`."""
    return _EPOCH + timedelta(seconds=message.seconds, microseconds=message.nanos // 1000)


def to_duration(seconds: float, message: Duration) -> None:
    """Write a span into `message`."""
    micros = round(seconds * 1_000_000)
    message.seconds = micros // 1_000_000
    message.nanos = micros % 1_000_000 * 1000
