"""The log shows what happened, never who it happened to."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from crossdock_sdk import Account, HttpRequest, Secret
from engine.log import LEVELS, MASKED_KEYS, configure, logger
from tests.fakes.rows import NOW, PARTY, draft

CANARIES = ("欧阳小满", "13987654321", "建设街357号", "s3cret")


@pytest.fixture
def written() -> Iterator[io.BytesIO]:
    """The log as configured at level info; put back afterwards."""
    stream = io.BytesIO()
    configure("info", stream)
    yield stream
    structlog.reset_defaults()


def lines(stream: io.BytesIO) -> list[dict[str, Any]]:
    """What was written, line by line."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object(written: io.BytesIO) -> None:
    """With level, time, event and the caller's values."""
    logger().info("order booked", order_id="o1", attempts=2, when=NOW, seen=("a", None, True), raw=b"abc")

    (line,) = lines(written)
    assert datetime.fromisoformat(line.pop("timestamp")).tzinfo == UTC
    assert line == {
        "event": "order booked",
        "level": "info",
        "order_id": "o1",
        "attempts": 2,
        "when": NOW.isoformat(),
        "seen": ["a", None, True],
        "raw": "3 bytes",
    }


@pytest.mark.parametrize(
    "value",
    [
        PARTY,
        PARTY.contact,
        draft(),
        [PARTY],
        {"any": {"depth": [PARTY]}},
        Secret("s3cret"),
        Account("a", "sf", "https://x", secrets={"check_word": Secret("s3cret")}),
        HttpRequest("POST", "https://x", {"authorization": "s3cret"}, "欧阳小满".encode()),
    ],
    ids=lambda v: type(v).__name__,
)
def test_structs_are_shown_by_their_masking_repr(written: io.BytesIO, value: object) -> None:
    """Under any key and at any depth, personal data and secrets never reach the line."""
    logger().info("odd", value=value)

    text = written.getvalue().decode()
    assert lines(written)
    assert not [canary for canary in CANARIES if canary in text]


@pytest.mark.parametrize("key", sorted(MASKED_KEYS))
def test_a_key_that_names_a_secret_or_a_person_is_masked(written: io.BytesIO, key: str) -> None:
    """In any spelling of the case, at the top and below."""
    logger().info("x", **{key: "s3cret", "below": {key.upper(): "s3cret", "rows": [{key: "s3cret"}]}})

    (line,) = lines(written)
    assert "s3cret" not in written.getvalue().decode()
    assert (line[key], line["below"][key.upper()]) == ("***", "***")


def test_an_exception_is_one_field_of_the_line(written: io.BytesIO) -> None:
    """So that a traceback does not break the stream of objects."""
    try:
        raise ValueError("broken")
    except ValueError:
        logger().error("defect", exc_info=True)

    assert "ValueError: broken" in lines(written)[0]["exception"]


@pytest.mark.parametrize("level", LEVELS)
def test_what_is_below_the_level_is_not_written(level: str) -> None:
    """Each level shows itself and what is worse."""
    stream = io.BytesIO()
    configure(level, stream)
    for name in LEVELS:
        getattr(logger(), name)(name)
    structlog.reset_defaults()

    assert [line["level"] for line in lines(stream)] == [n for n in LEVELS if LEVELS[n] >= LEVELS[level]]


def test_what_the_store_says_is_quoted_and_what_a_library_says_is_not(capfd: pytest.CaptureFixture[str]) -> None:
    """The reason why a process ended must be readable; a library's text may hold what it was given."""
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, []
    try:
        configure("info", io.BytesIO())
        logging.getLogger("crossdock.store").critical('the disk "failed"')
        logging.getLogger("library").error("cannot deliver to 欧阳小满")
    finally:
        root.handlers = handlers
        structlog.reset_defaults()

    own, foreign = (json.loads(line) for line in capfd.readouterr().err.splitlines())
    assert (own["level"], own["logger"], own["event"]) == ("critical", "crossdock.store", 'the disk "failed"')
    assert (foreign["level"], foreign["logger"]) == ("error", "library")
    assert not [canary for canary in CANARIES if canary in str(foreign)]
