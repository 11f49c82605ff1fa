"""Forms and local times as carriers send them: read as the standard library reads them, only sooner."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossdock_sdk.codec import from_local_text, read_form

PIECES = st.sampled_from(
    [b"%", b"=", b"+", b"%3D", b"%E5%BF%AB", b"%e5", b"a", b"7", b"F", b"\r", b"\n", b" ", b"_", b"."]
)
FIELD = st.lists(PIECES, max_size=8).map(b"".join)


def by_the_library(body: bytes) -> list[tuple[str, str]] | None:
    """What the standard library makes of it, strictly; None when it refuses."""
    try:
        return parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError:
        return None


@given(st.lists(st.tuples(FIELD.map(lambda name: name.replace(b"=", b"")), FIELD), min_size=1, max_size=4))
def test_a_form_reads_as_the_standard_library_reads_it(fields: list[tuple[bytes, bytes]]) -> None:
    """Any mix of escapes, broken escapes, signs and line ends."""
    body = b"&".join(name + b"=" + value for name, value in fields)
    try:
        found: list[tuple[str, str]] | None = read_form(body, max_fields=10)
    except ValueError:
        found = None

    assert found == by_the_library(body)


@given(st.dictionaries(st.text(min_size=1), st.text(), min_size=1, max_size=5))
def test_what_was_escaped_comes_back(fields: dict[str, str]) -> None:
    """Any text, in any script."""
    try:
        body = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in fields.items()).encode()
    except UnicodeEncodeError:
        return  # half a surrogate pair is no text

    assert dict(read_form(body, max_fields=10)) == fields


@pytest.mark.parametrize("body", [b"a", b"a=1&b", b"a=1&", "a=快".encode(), b"a=%ff", b"&".join([b"a=1"] * 11)])
def test_what_is_no_form_is_refused(body: bytes) -> None:
    """No value, no ASCII, no UTF-8, too many fields."""
    with pytest.raises(ValueError, match=r"form|codec"):
        read_form(body, max_fields=10)


@pytest.mark.parametrize(
    "text",
    [
        "2026-W47-6 10:00:00",
        "2026-11-21T10:00:00",
        "2026-11-21 10:00+08",
        "2026-11-21 100000.0",
        "2026-11-31 10:00:00",
        "2026-11-21 24:00:00",
        "２026-11-21 10:00:00",
        "2026-11-21",
        "",
    ],
)
def test_what_is_no_local_time_is_refused(text: str) -> None:
    """Other spellings of ISO 8601 are not what carriers promise."""
    with pytest.raises(ValueError, match=r".+"):
        from_local_text(text, "Asia/Shanghai")


@pytest.mark.parametrize("text", ["2026-11-21 10:00:00", "2026-11-21 10:0:0"])
def test_a_local_time_has_its_zone(text: str) -> None:
    """Shanghai is eight hours ahead; leading zeros may be missing."""
    assert from_local_text(text, "Asia/Shanghai") == datetime(2026, 11, 21, 2, tzinfo=UTC)
