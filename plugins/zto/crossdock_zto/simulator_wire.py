"""The simulator's gateway: application key, digest, required parameters; envelopes and pushes.

Written against the carrier sheet alone (sections 3, 4.9 and 5), not against the plug-in's own
reader.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from typing import Any

import msgspec

from crossdock_sdk import HttpRequest, HttpResponse
from crossdock_sdk.codec import form, to_json

APP_KEY = "zto-demo-app"
APP_SECRET = "zto-demo-secret-01"
ACCOUNT_ID = "test"
ACCOUNT_PASSWORD = "ZTO123"  # of the public sandbox, shared by everybody

PUSH_TYPE = "PreOrder"
"""msg_type of order status pushes: inferred, the sheet names only that of traces."""

TRACE_TYPE = "Traces"

_PLACE = ("province", "city", "district", "address")
_SENDER = ("senderName", "senderProvince", "senderCity", "senderDistrict", "senderAddress")
_RECEIVER = (
    "receiverName",
    "receiverProvince",
    "receiverCity",
    "receiverDistrict",
    "receiverAddress",
)

REQUIRED: dict[str, tuple[str, ...]] = {
    "zto.open.areaUnobstructed": _PLACE,
    "zto.open.obtainPicePrescription": (
        "transportType",
        "weight",
        *(f"sender.{key}" for key in _PLACE),
        *(f"addresser.{key}" for key in _PLACE),
    ),
    "zto.open.createOrder": (
        "partnerType",
        "orderType",
        "partnerOrderCode",
        *(f"senderInfo.{key}" for key in _SENDER),
        *(f"receiveInfo.{key}" for key in _RECEIVER),
    ),
    "zto.open.getOrderInfo": ("type",),
    "zto.open.cancelPreOrder": ("cancelType",),
    "zto.innovate.bagAddrMark": (
        "unionCode",
        "send_province",
        "send_city",
        "send_district",
        "send_address",
        "receive_province",
        "receive_city",
        "receive_district",
        "receive_address",
    ),
    "zto.merchant.waybill.track.query": ("billCode",),
    "zto.merchant.waybill.track.subsrcibe": ("billCode",),
}

ONE_OF: dict[str, tuple[tuple[str, ...], ...]] = {
    "zto.open.createOrder": (
        ("senderInfo.senderMobile", "senderInfo.senderPhone"),
        ("receiveInfo.receiverMobile", "receiveInfo.receiverPhone"),
    ),
    "zto.open.getOrderInfo": (("orderCode", "billCode"),),
    "zto.open.cancelPreOrder": (("orderCode", "billCode"),),
}
"""Groups of parameters of which one has to be there."""


class Rejected(Exception):
    """The simulator refuses the request with ZTO's `code` and `message`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message


def api_name(request: HttpRequest) -> str:
    """The last part of the URL's path."""
    return request.url.split("?", 1)[0].rsplit("/", 1)[-1]


def sign(text: bytes) -> str:
    """base64(md5(text + secret))."""
    raw = hashlib.md5(text + APP_SECRET.encode(), usedforsecurity=False).digest()
    return b64encode(raw).decode("ascii")


def verified_body(request: HttpRequest, api: str) -> dict[str, Any]:
    """The request's JSON object once the gateway has let it pass. Raises Rejected."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    if headers.get("x-appkey") != APP_KEY:
        raise Rejected("S210", "无权限访问该接口，请先绑定服务")
    if headers.get("x-datadigest") != sign(request.body):
        raise Rejected("S211", "签名错误")
    try:
        body = msgspec.json.decode(request.body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected("E403", "参数校验失败") from error
    missing = [path for path in REQUIRED[api] if _blank(body, path)]
    missing += [" / ".join(group) for group in ONE_OF.get(api, ()) if all(_blank(body, path) for path in group)]
    if missing:
        raise Rejected("S208", f"缺少必填参数: {', '.join(missing)}")
    return body


def success(result: object, *, code: str = "SYS000", message: str = "成功") -> HttpResponse:
    """ZTO's success envelope; createOrder passes its own code."""
    return _envelope({"result": result, "message": message, "status": True, "statusCode": code})


def refusal(code: str, message: str) -> HttpResponse:
    """ZTO's refusal envelope."""
    return _envelope({"result": None, "message": message, "status": False, "statusCode": code})


def order_push(url: str, order_code: str, bill_code: str, status: int) -> HttpRequest:
    """A signed order status push (section 4.9)."""
    data = {"order_code": order_code, "bill_code": bill_code, "pre_order_status": status, "error_msg": ""}
    return _push(url, PUSH_TYPE, data)


def trace_push(url: str, data: dict[str, object]) -> HttpRequest:
    """A signed trace push of one event (section 4.9)."""
    return _push(url, TRACE_TYPE, data)


def _push(url: str, kind: str, data: dict[str, object]) -> HttpRequest:
    text = to_json(data)
    fields = {"data": text.decode(), "data_digest": sign(text), "company_id": APP_KEY, "msg_type": kind}
    content_type = "application/x-www-form-urlencoded; charset=utf-8"
    return HttpRequest("POST", url, {"content-type": content_type}, form(fields))


def _envelope(value: dict[str, object]) -> HttpResponse:
    return HttpResponse(200, {"content-type": "application/json;charset=UTF-8"}, to_json(value))


def _blank(body: dict[str, Any], path: str) -> bool:
    """True when nothing stands at `path`; 0 is something."""
    value: Any = body
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value is None or value == ""
