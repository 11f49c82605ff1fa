"""The envelope: how a call to `std/service` is signed and sent, and how its answer is unwrapped.

Rules of this file: the business object is serialised once; that text is signed and sent (trap 3).
Flags are compared, never cast, because SF writes them as boolean and as text (trap 4).
What cannot be read proves nothing: TEMPORARY with unknown effect (trap 6).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from crossdock_sdk import (
    Account,
    CallContext,
    CarrierError,
    ErrorClass,
    Flow,
    HttpRequest,
    HttpResponse,
    SideEffect,
)
from crossdock_sdk.codec import to_json, unreadable
from crossdock_sdk.signing import java_url_encode, md5_base64, md5_hex
from crossdock_sf import codes

T = TypeVar("T")
Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

ZONE = "Asia/Shanghai"
CONTENT_TYPE = "application/x-www-form-urlencoded;charset=UTF-8"

_HEADERS = {"content-type": CONTENT_TYPE}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_WRAPS = 4  # "some gateways wrapped it more than once" (sheet 3)


def _sm3(raw: bytes) -> bytes:
    # Imported on use: two of the three modes need nothing but MD5.
    from cryptography.hazmat.primitives.hashes import SM3, Hash

    state = Hash(SM3())
    state.update(raw)
    return state.finalize()


def _sm3_base64(text: str) -> str:
    return b64encode(_sm3(text.encode())).decode("ascii")


# Mode -> whether the text is URL-encoded before it is hashed, and the hash.
_MODES: dict[str, tuple[bool, Callable[[str], str]]] = {
    "standard_md5": (True, md5_base64),
    "simple_md5": (False, md5_base64),
    "sm3": (True, _sm3_base64),
}
DEFAULT_MODE = "standard_md5"


def digest(mode: str, msg_data: str, timestamp: str, check_word: str, *, encoded: str = "") -> str:
    """`msgDigest` of a call in one of the three signature modes (sheet 3, 数字签名方式).

    `encoded` is java_url_encode(msg_data) for a caller who has it already: the encoding goes
    character by character, so its parts may be joined.
    """
    url_encoded, hashed = _MODES[mode]
    if not url_encoded:
        return hashed(msg_data + timestamp + check_word)
    return hashed((encoded or java_url_encode(msg_data)) + java_url_encode(timestamp + check_word))


def timestamp_text(now: datetime) -> str:
    """Milliseconds since 1970 as SF's own Java code sends them. Exact: no float in between."""
    since = now - _EPOCH
    return str((since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000)


def signed(ctx: CallContext, service_code: str, body: Mapping[str, object], *, index: int = 0) -> HttpRequest:
    """One signed call. `index` counts the calls of a flow: each gets a request id of its own.

    Raises CarrierError(AUTH), nothing sent, when the account is not configured for signing.
    """
    account = ctx.account
    partner_id, check_word, mode = _credentials(account)
    msg_data = to_json(body).decode()
    encoded = java_url_encode(msg_data)
    timestamp = timestamp_text(ctx.now)
    request_id = ctx.nonce if index == 0 else md5_hex(f"{ctx.nonce}/{index}")
    msg_digest = digest(mode, msg_data, timestamp, check_word, encoded=encoded)
    # Java's encoding is a form encoding too, and SF's own client sends it: one pass serves both. Of the rest only
    # what the account's owner wrote and Base64 can hold anything to encode.
    sent = (
        f"partnerID={java_url_encode(partner_id)}&requestID={request_id}&serviceCode={service_code}"
        f"&timestamp={timestamp}&msgDigest={java_url_encode(msg_digest)}&msgData={encoded}"
    )
    return HttpRequest("POST", account.base_url, _HEADERS, sent.encode("ascii"))


def call(ctx: CallContext, service_code: str, body: Mapping[str, object], *, index: int = 0) -> Flow[bytes]:
    """Send one call; returns the JSON of `msgData` (or of `obj`, for the print services).

    Raises CarrierError for every refusal and for every answer that cannot be understood.
    """
    response = yield signed(ctx, service_code, body, index=index)
    return unwrap(response)


def one_by_one(items: Iterable[Item], step: Callable[[int, Item], Flow[Outcome]]) -> Flow[list[Outcome | CarrierError]]:
    """Run a single-item flow for each item; a refusal of one is nobody else's outcome."""
    outcomes: list[Outcome | CarrierError] = []
    for index, item in enumerate(items):
        try:
            outcomes.append((yield from step(index, item)))
        except CarrierError as error:
            outcomes.append(error)
    return outcomes


class _Envelope(msgspec.Struct, frozen=True):
    # `{"succ":"fail"}`, the other failure the document knows, has none of these fields.
    apiResultCode: str | None = None
    apiErrorMsg: Any = None
    apiResultData: msgspec.Raw = msgspec.Raw(b"null")


class _Inner(msgspec.Struct, frozen=True):
    success: bool | str | None = None
    errorCode: str | int | None = None
    errorMsg: Any = None
    errorMessage: Any = None  # print services
    msgData: msgspec.Raw = msgspec.Raw(b"null")
    obj: msgspec.Raw = msgspec.Raw(b"null")  # print services


def unwrap(response: HttpResponse) -> bytes:
    """The payload of an answer: envelope, then the JSON text inside it, then its success test.

    Raises CarrierError: the gateway's code, the inner code, or TEMPORARY for anything unreadable.
    """
    if response.status == 429:
        raise CarrierError(
            ErrorClass.RATE_LIMITED,
            code="HTTP 429",
            message="the carrier's front end asks for fewer calls",
            retry_after_s=_seconds(response.headers.get("retry-after", "")),
            side_effect=SideEffect.UNKNOWN,  # SF documents no 429: who answered is not known
        )
    envelope = _decode(response, response.body, _Envelope)
    if not envelope.apiResultCode:
        raise unreadable(response, "it has no apiResultCode")
    if envelope.apiResultCode != codes.PASSED_ON:
        raise codes.gateway_error(envelope.apiResultCode, _text(envelope.apiErrorMsg))
    if response.status != 200:
        raise unreadable(response, "status and apiResultCode contradict each other")
    return _payload(_decode(response, envelope.apiResultData, _Inner))


def read(data: bytes, shape: type[T]) -> T:
    """Decode a payload into `shape`. Raises CarrierError(TEMPORARY) when it does not fit."""
    try:
        return msgspec.json.decode(_peel(data), type=shape)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise contradiction("the answer's content has not the documented shape") from error


def contradiction(message: str, code: str = "") -> CarrierError:
    """A readable answer that does not add up: nothing is proved, the look-up must decide."""
    return CarrierError(ErrorClass.TEMPORARY, code=code, message=message)


def refused_locally(field: str, message: str) -> CarrierError:
    """A request SF could not be told; nothing was sent."""
    return CarrierError(ErrorClass.INVALID_REQUEST, message=message, field=field)


def _payload(inner: _Inner) -> bytes:
    code = "" if inner.errorCode is None else str(inner.errorCode)
    text = _text(inner.errorMsg) or _text(inner.errorMessage)
    if inner.success is True or inner.success == "true":
        if code not in ("", codes.OK):
            raise contradiction("success with an error code", code)
        data = bytes(inner.msgData)
        return bytes(inner.obj) if data == b"null" else data
    if inner.success is False or inner.success == "false":
        raise codes.business_error(code, text)
    raise contradiction("the answer does not say whether it succeeded", code)


def _decode(response: HttpResponse, raw: bytes, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(_peel(raw), type=shape)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise unreadable(response, str(error)) from error
    except RecursionError as error:
        raise unreadable(response, "nested too deeply") from error


def _peel(raw: bytes) -> bytes:
    """Take JSON text out of JSON strings until something else appears."""
    text = bytes(raw).strip()
    for _ in range(_MAX_WRAPS):
        if not text.startswith(b'"'):
            break
        text = msgspec.json.decode(text, type=str).encode().strip()
    return text


def _credentials(account: Account) -> tuple[str, str, str]:
    partner_id, check_word = account.setting("partner_id"), account.secret("check_word")
    mode = account.setting("signature_mode") or DEFAULT_MODE
    for key, value in (("partner_id", partner_id), ("check_word", check_word)):
        if not value:
            raise _unconfigured(account, f"lacks `{key}`; copy it from the Fengqiao console")
    if mode not in _MODES:
        modes = ", ".join(_MODES)
        raise _unconfigured(account, f"has signature_mode {mode!r}; use one of {modes}")
    return partner_id, check_word, mode


def _unconfigured(account: Account, what: str) -> CarrierError:
    return CarrierError(ErrorClass.AUTH, message=f"account {account.account_id} {what}")


def _text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return to_json(value).decode()


def _seconds(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() and len(text) < 7 else None
