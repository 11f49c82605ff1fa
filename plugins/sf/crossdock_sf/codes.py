"""What SF's codes mean: gateway and business errors, refusal texts, products. Literal tables only.

Rules of this file: a row is copied from section 5 of the carrier sheet, its class is the sheet's.
A code that does not prove what became of the order is listed in `UNPROVEN` as well.
A text decides only when the code does not: SF's print service, for one, sends no code.
"""

from __future__ import annotations

import re

from crossdock_sdk import CarrierError, Code, CodeTable, ErrorClass, SideEffect

_INVALID = ErrorClass.INVALID_REQUEST
_AUTH = ErrorClass.AUTH
_NOT_FOUND = ErrorClass.NOT_FOUND
_DUPLICATE = ErrorClass.DUPLICATE
_NO_SERVICE = ErrorClass.NO_SERVICE
_TEMPORARY = ErrorClass.TEMPORARY
_PERMANENT = ErrorClass.PERMANENT

PASSED_ON = "A1000"
"""The gateway passed the call on. Not success: the inner answer decides (trap 4)."""

OK = "S0000"
ALREADY_CANCELLED = "8037"

GATEWAY = CodeTable(
    {
        "A1001": _INVALID,  # required field empty, wrong content type, or msgData not JSON
        "A1002": _AUTH,  # request or token expired
        "A1003": _AUTH,  # IP not on the application's allow-list
        "A1004": _AUTH,  # not granted, wrong environment, or granted under 2 minutes ago
        "A1005": ErrorClass.RATE_LIMITED,
        "A1006": _AUTH,  # bad signature: check word or signature_mode
        "A1007": _DUPLICATE,  # repeated request
        "A1008": _INVALID,  # decryption failed
        "A1009": _TEMPORARY,  # backend unreachable
        "A1010": _PERMANENT,  # sandbox state of an old customer
        "A1011": _AUTH,  # OAuth failed
        "A1099": _TEMPORARY,  # system error
    }
)

BUSINESS = CodeTable(
    {
        "S0001": _INVALID,  # not JSON
        "S0002": _INVALID,  # field empty
        "S0003": _TEMPORARY,  # data error or runtime exception
        "S0004": _INVALID,  # too long
        "S0005": _INVALID,  # too big
        "S0006": _INVALID,  # too small
        "S0007": _INVALID,  # wrong type
        "1010": Code(_INVALID, "shipper.address"),
        "1011": Code(_INVALID, "shipper.contact.name"),
        "1012": Code(_INVALID, "shipper.contact.phone"),
        "1014": Code(_INVALID, "recipient.address"),
        "1015": Code(_INVALID, "recipient.contact.name"),
        "1016": Code(_INVALID, "recipient.contact.phone"),
        "1020": Code(_INVALID, "recipient.address.postal_code"),  # export
        "1023": Code(_INVALID, "parcels.items.title"),  # export
        "1028": Code(_INVALID, "parcels.items.quantity"),  # export
        "1038": Code(_INVALID, "parcels.items.unit_price"),  # export: declared value
        "4001": _TEMPORARY,  # XML generation: system error
        "4002": _INVALID,  # XML generation: parse error
        "6126": _INVALID,  # monthly account malformed
        # 6127 to 6139: service name, volume, route query type, COD amount; which is which: not told
        "6127": _INVALID,
        "6128": _INVALID,
        "6130": _INVALID,
        "6133": _INVALID,
        "6138": _INVALID,
        "6139": _INVALID,
        "6150": _NOT_FOUND,  # order not found
        "6200": _INVALID,  # 6200 to 6207: international fields missing
        "6201": _INVALID,
        "6202": _INVALID,
        "6203": _INVALID,
        "6204": _INVALID,
        "6205": _INVALID,
        "6206": _INVALID,
        "6207": _INVALID,
        "8003": _INVALID,  # too many numbers in a query
        "8013": _INVALID,  # no numbers in a query
        "8016": _DUPLICATE,  # order id already used
        "8017": _INVALID,  # order and waybill do not match
        "8018": _NOT_FOUND,  # nothing known
        "8019": _PERMANENT,  # already confirmed or cancelled
        "8024": _NOT_FOUND,  # not ordered
        "8027": _INVALID,  # unknown business template
        "8037": _PERMANENT,  # already cancelled
        "8051": Code(_NO_SERVICE, "service"),  # 8051 to 8053: timed delivery impossible
        "8052": Code(_NO_SERVICE, "service"),
        "8053": Code(_NO_SERVICE, "service"),
        "8057": Code(_INVALID, "service"),  # product missing or not configured
        "8067": Code(_INVALID, "parcels"),  # too many child numbers
        "8096": Code(_INVALID, "options.pickup_start_time"),  # outside opening hours
        "8114": _AUTH,  # monthly account barred
        "8117": Code(_INVALID, "parcels"),  # more than 307 parcels
        "8119": _AUTH,  # monthly account dead
        "8168": _PERMANENT,  # already has route events
        "8177": ErrorClass.CAPACITY,  # peak-season capacity control
        "8179": _AUTH,  # monthly account without agreement
        "8191": _INVALID,  # number format
        "8194": _INVALID,  # customs value
        "8196": _INVALID,  # phone data; whose is not told
        "8247": _INVALID,  # illegal waybill; also a sandbox number in production
        "8252": _PERMANENT,  # already confirmed
        "8253": _PERMANENT,  # cancel conflict; only seen in a test
        "8256": _INVALID,  # product does not allow cash or collect payment
        "20011": Code(_INVALID, "service"),  # timed delivery does not fit the product
        "20012": Code(_INVALID, "parcels.weight_g"),  # timed delivery over 300 kg
        "20028": _AUTH,  # monthly account does not match
        "20035": Code(_PERMANENT, "parcels.items"),  # prohibited goods
        "20036": Code(_NO_SERVICE, "service"),  # product not applicable
    }
)

UNPROVEN = frozenset(
    {
        "A1007",  # a repeat of which request, and what became of the first? (trap 6)
        "8016",  # this call booked nothing, but our reference is taken: an order may be live
        "8019",  # "confirmed or cancelled": two opposite ends in one code
        "8252",  # confirmed: whether an earlier cancel did its work is not told
        "8253",  # meaning not documented
    }
)
"""Refusals whose class is known while the order's state is not: side effect UNKNOWN."""

TEXTS: tuple[tuple[str, Code], ...] = (
    ("产品尚未开通", Code(_NO_SERVICE, "service")),  # product not open on this lane
    ("is not matched the clientCode", Code(_INVALID)),  # print template of another account
    # Seconds after booking the label backend has not seen the waybill yet.
    ("找不到该运单", Code(_TEMPORARY, not_executed=True)),
)

PRODUCTS: dict[str, str] = {
    "1": "顺丰特快",  # was called 标快; routing code T4
    "2": "顺丰标快",  # routing code T6
    "5": "顺丰次晨",
    "6": "顺丰即日",
    "12": "医药专递",
    "111": "干配",
    "112": "空配",
    "154": "重货包裹",
    "155": "小票零担",
    "199": "极速包裹",
    "201": "冷运特惠",
    "202": "微小件",
    "204": "陆运微小件",
    "208": "特惠专配",
    "266": "空配(新)",
}
"""Products worth knowing (sheet 4.4). Names changed: trust the returned routing (trap 15)."""

SCREENING_REASONS: dict[str, tuple[str, str]] = {
    "1": ("recipient.address", "the recipient is outside SF's area"),
    "2": ("shipper.address", "the shipper is outside SF's area"),
    "3": ("", "SF's screening refused the order for another reason"),
}
"""`remark` of filterResult 3 -> our field, meaning (sheet 4.1 A)."""


def gateway_error(code: str, text: str) -> CarrierError:
    """The error for an `apiResultCode` other than A1000."""
    return _honest(GATEWAY.error(code, shown(text)))


def business_error(code: str, text: str) -> CarrierError:
    """The error for a refused inner answer; an unknown code is judged by its text."""
    if code not in BUSINESS.rows:
        for needle, row in TEXTS:
            if needle in text:
                return CodeTable({code: row}).error(code, shown(text))
    return _honest(BUSINESS.error(code, shown(text)))


def shown(text: str) -> str:
    """SF's text as it may be shown: no control characters, phone or account digits; 200 characters.

    SF repeats the offending value in some texts, and that value may be a phone number.
    """
    one_line = re.sub(r"[\x00-\x1f\x7f]+", " ", text)
    return re.sub(r"(?<!SF)(?<![0-9])[0-9]{7,}", "***", one_line)[:200]


def _honest(error: CarrierError) -> CarrierError:
    if error.code not in UNPROVEN:
        return error
    return CarrierError(
        error.error_class,
        code=error.code,
        message=error.message,
        field=error.field,
        side_effect=SideEffect.UNKNOWN,
    )
