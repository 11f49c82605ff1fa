"""ZTO's envelope both ways: signed JSON out, `{"result", "message", "status", "statusCode"}` back.

Rules of the wire (carrier sheet sections 3 and 8): the digest is over exactly the bytes sent;
success is `status === true` and nothing else, since createOrder says "0000" and the others
"SYS000".
"""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from crossdock_sdk import (
    Account,
    CarrierError,
    CodeTable,
    ErrorClass,
    HttpRequest,
    HttpResponse,
)
from crossdock_sdk.codec import read_json, to_json, unreadable
from crossdock_sdk.signing import md5_base64
from crossdock_zto.codes import TEXTS

T = TypeVar("T")

# The carrier checks its own rule (E416); a stricter pattern here could disown a real booking
# (section 1).
_WAYBILL = re.compile(r"[0-9]{12,15}")
_ORDER_CODE = re.compile(r"[0-9]{18}")
# ZTO's texts sometimes repeat the value they dislike.
_MOBILE = re.compile(r"(?<![0-9])1[0-9]{10}(?![0-9])")
_MAX_TEXT = 200
_MAX_FIELD = 1_000


class Envelope(msgspec.Struct, frozen=True, rename="camel"):
    """What every answer is wrapped in. `status` is untyped: only the literal true is success."""

    status: object = None
    status_code: str | int | None = None
    message: str | None = None
    result: msgspec.Raw = msgspec.Raw(b"null")

    @property
    def code(self) -> str:
        """The status code as text, "" when there is none."""
        return "" if self.status_code is None else str(self.status_code)

    @property
    def text(self) -> str:
        """ZTO's message without phone numbers, short enough for a log line."""
        return _MOBILE.sub("***", self.message or "").strip()[:_MAX_TEXT]


def digest(text: bytes, secret: str) -> str:
    """base64(md5(text + secret)): the signature of calls and of pushes (sections 3 and 4.9)."""
    return md5_base64(text + secret.encode())


def call(account: Account, api: str, body: object) -> HttpRequest:
    """A signed POST of `body` to the API named `api`, serialised once."""
    raw = to_json(body)
    headers = {
        "content-type": "application/json; charset=utf-8",
        "x-appKey": account.setting("app_key"),
        "x-dataDigest": digest(raw, account.secret("app_secret")),
    }
    return HttpRequest("POST", f"{account.base_url.rstrip('/')}/{api}", headers, raw)


def open_envelope(response: HttpResponse) -> Envelope:
    """The envelope of an answer. Raises CarrierError (TEMPORARY, effect unknown) when there is
    none.

    ZTO's own refusals come with HTTP 200 (section 5); any other status is a gateway speaking.
    """
    if response.status != 200:
        raise CarrierError(
            ErrorClass.TEMPORARY,
            code=f"HTTP {response.status}",
            message="not an answer of the open platform, which always says HTTP 200",
        )
    try:
        return read_json(response, Envelope)
    except RecursionError as error:
        raise unreadable(response, "nested too deeply") from error


def refusal(envelope: Envelope, codes: CodeTable) -> CarrierError | None:
    """The refusal an envelope carries, None for success. A text counts where `codes` knows it."""
    text = (envelope.message or "").strip()
    # The sheet shows this text without saying which status stands beside it, so it wins over
    # `status`.
    if text in TEXTS and text in codes.rows and envelope.code not in codes.rows:
        return CarrierError(codes.rows[text].error_class, code=envelope.code, message=text)
    if envelope.status is True:
        return None
    return codes.error(envelope.code, envelope.text)


def result(response: HttpResponse, shape: type[T], codes: CodeTable) -> T:
    """The `result` of a successful answer as `shape`; raises CarrierError for everything else."""
    envelope = open_envelope(response)
    refused = refusal(envelope, codes)
    if refused is not None:
        raise refused
    try:
        return msgspec.json.decode(envelope.result, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise unclear(envelope.code, "the answer says success but its result is not what ZTO documents") from error


def unclear(code: str, message: str) -> CarrierError:
    """An answer that proves nothing: TEMPORARY with unknown effect."""
    return CarrierError(ErrorClass.TEMPORARY, code=code, message=message)


def is_waybill(text: str) -> bool:
    """True for anything that may be a waybill number of ZTO's."""
    return _WAYBILL.fullmatch(text) is not None


def is_order_code(text: str) -> bool:
    """True for ZTO's own order id: yymmdd and a serial, 18 digits (section 1)."""
    return _ORDER_CODE.fullmatch(text) is not None


def text_of(value: object) -> str:
    """A JSON value as text: texts stripped and at most 1,000 characters, whole numbers written out, else ""."""
    if isinstance(value, str):
        return value.strip()[:_MAX_FIELD]
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""
