"""The sdk's own nouns: isolation of the import, masking, manifests, codes, reading answers."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from datetime import UTC, datetime
from urllib.parse import quote_plus

import msgspec
import pytest
from acme.carrier import Acme
from hypothesis import given
from hypothesis import strategies as st

from crossdock_sdk import (
    Carrier,
    CarrierError,
    Code,
    CodeTable,
    ErrorClass,
    HttpRequest,
    HttpResponse,
    Manifest,
    ManifestError,
    Money,
    Secret,
    SideEffect,
)
from crossdock_sdk.codec import (
    form,
    from_local_text,
    local_text,
    read_json,
    to_json,
    unwrap_json,
)
from crossdock_sdk.signing import java_url_encode, md5_base64, same
from crossdock_sdk.testing import booking, party

HEAVY = ("grpc", "google", "httpx", "httptools", "pyreqwest", "engine", "asyncio", "socket", "ssl")
GOOD = """
code = "x1"
sdk = 1
operations = []
base_url = "https://x"
names = { en = "X", zh = "某" }
"""


@pytest.mark.parametrize("module", ["crossdock_sdk", "crossdock_sdk.codec", "crossdock_sdk.testing"])
def test_import_loads_nothing_heavy(module: str) -> None:
    """A carrier's author pays for msgspec and pluggy, and for no HTTP library, loop or engine."""
    script = f"import sys, {module}; print([m for m in {HEAVY!r} if m in sys.modules])"

    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=True)

    assert shown.stdout.strip() == "[]"


def test_secret_shows_nowhere() -> None:
    """repr, str, format, JSON, pickle and copies never give the text away."""
    secret = Secret("Zq-very-secret")

    assert "Zq" not in f"{secret!r} {secret} {[secret]}"
    assert secret.reveal() == "Zq-very-secret"
    for serialise in (pickle.dumps, copy.deepcopy, msgspec.json.encode):
        with pytest.raises(TypeError):
            serialise(secret)


def test_personal_data_is_masked_in_reprs() -> None:
    """A booking in a log line shows no name, phone or street."""
    shown = repr(booking()) + repr(party()) + repr(HttpRequest("POST", "http://x/?k=1", {}, b"x"))

    for personal in ("林样例", "13900001111", "样例一路", "k=1"):
        assert personal not in shown


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ('code = "X!"', "code 'X!'"),
        ("sdk = 2", "sdk = 2"),
        ('operations = ["fly"]', "operations"),
        ('operations = ["book"]', "[[service]]"),
        ("limitz = 1", "limitz"),
        ("limits = { book = { batch = 2 } }", "limits.book"),
        ("number = [{ pattern = 'A', good = ['B'] }]", "'B'"),
        ("number = [{ pattern = 'A', good = ['A'], bad = ['A'] }]", "'A'"),
        ("max_parcels = 'two'", "max_parcels"),
    ],
)
def test_wrong_manifest_is_refused_by_name(line: str, named: str) -> None:
    """A wrong key or value of a manifest is named in the error, with its file."""
    key = line.split(" =")[0]
    kept = [text for text in GOOD.strip().splitlines() if not text.startswith(f"{key} =")]

    with pytest.raises(ManifestError) as caught:
        Manifest.parse("\n".join([*kept, line]), source="crossdock_x/carrier.toml")

    assert named in str(caught.value)
    assert str(caught.value).startswith("crossdock_x/carrier.toml: ")


def test_operation_without_a_method_is_refused() -> None:
    """A manifest that promises what the class does not implement fails at construction."""
    manifest = msgspec.structs.replace(Manifest.load("acme"), operations=("book", "quote"))

    with pytest.raises(ManifestError, match="quote"):
        Acme(manifest)


def test_push_is_implemented_by_parse_push() -> None:
    """The operation `push` asks for the method parse_push."""
    manifest = msgspec.structs.replace(Manifest.load("acme"), operations=("push",))

    assert Acme(manifest).manifest is manifest
    with pytest.raises(ManifestError, match="push"):
        Carrier(manifest)


def test_unknown_code_proves_nothing() -> None:
    """A code that stands in no table is TEMPORARY with an unknown side effect."""
    error = CodeTable({"1": ErrorClass.AUTH}).error("2", "?")

    assert (error.error_class, error.side_effect) == (ErrorClass.TEMPORARY, SideEffect.UNKNOWN)


def test_code_rows_say_class_field_and_proof() -> None:
    """A row brings its class, our field, and whether temporary trouble means nothing was done."""
    table = CodeTable(
        {
            "1": Code(ErrorClass.INVALID_REQUEST, field="recipient.contact.phone"),
            "2": Code(ErrorClass.TEMPORARY, not_executed=True),
        }
    )

    assert table.error("1", "").field == "recipient.contact.phone"
    assert table.error("2", "").side_effect is SideEffect.NONE


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff\xfe", b'{"a":1}', b"[{", b"[" * 100_000, b'["\xff"]'])
def test_unreadable_answer_is_unknown_and_never_quoted(body: bytes) -> None:
    """Whatever cannot be read is TEMPORARY with unknown effect, described without its content."""
    with pytest.raises(CarrierError) as caught:
        read_json(HttpResponse(200, {}, body), list[object])

    assert caught.value.side_effect is SideEffect.UNKNOWN
    assert "<html" not in caught.value.message


def test_json_in_json_is_unwrapped() -> None:
    """Texts that hold JSON are decoded until something else appears; bad ones are ValueErrors."""
    assert unwrap_json('"{\\"a\\":1}"') == {"a": 1}
    assert unwrap_json({"a": "1"}) == {"a": "1"}
    for bad in ("{", "[" * 100_000):
        with pytest.raises(ValueError, match=r"nested too deeply|malformed|truncated"):
            unwrap_json(bad)


def test_bytes_are_what_was_signed() -> None:
    """JSON keeps Chinese text as it is and adds no blanks; forms are percent-encoded in order."""
    assert to_json({"名": "林 & 样"}) == '{"名":"林 & 样"}'.encode()
    assert form({"b": "1 2", "a": "é&"}) == b"b=1+2&a=%C3%A9%26"


def test_local_times_go_both_ways() -> None:
    """A carrier's text without offset is read in the zone of its manifest."""
    time = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)

    text = local_text(time, "Asia/Shanghai")

    assert text == "2026-03-02 09:30:00"
    assert from_local_text(text, "Asia/Shanghai") == time


def test_java_url_encoding_differs_from_python_where_it_must() -> None:
    """Java's URLEncoder keeps the asterisk and encodes the tilde."""
    assert java_url_encode("a b*~-_.中") == "a+b*%7E-_.%E4%B8%AD"


@given(st.text())
def test_java_url_encoding_is_pythons_in_all_else(text: str) -> None:
    """Short and empty texts included."""
    assert java_url_encode(text) == quote_plus(text, safe="*").replace("~", "%7E")


def test_digests_match_published_ones() -> None:
    """MD5 of the empty text (RFC 1321, appendix A.5), in Base64; comparison takes any text."""
    assert md5_base64("") == "1B2M2Y8AsgTpgAmY7PhCfg=="
    assert same("林", "林")
    assert not same("林", "陈")


@pytest.mark.parametrize(("minor_units", "text"), [(1990, "19.90"), (5, "0.05"), (-5, "-0.05"), (-1990, "-19.90")])
def test_money_is_written_without_floats(minor_units: int, text: str) -> None:
    """Amounts become decimal text exactly."""
    assert Money("CNY", minor_units).decimal() == text
