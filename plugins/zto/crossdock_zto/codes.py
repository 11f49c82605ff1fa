"""ZTO's refusals as data (carrier sheet section 5), grouped by the operations that answer them.

A row counts only where ZTO documents it: an intercept code on a booking is not understood and
proves nothing. HTTP is 200 for all of them.
"""

from __future__ import annotations

from crossdock_sdk import Code, CodeTable, ErrorClass

Rows = dict[str, Code | ErrorClass]

GATEWAY: Rows = {
    "S200": ErrorClass.TEMPORARY,  # back end timed out: the order may exist
    "S202": ErrorClass.TEMPORARY,  # back end threw: it may have thrown after booking
    "S203": ErrorClass.TEMPORARY,  # "service unavailable": nobody says that nothing was done
    "S206": ErrorClass.RATE_LIMITED,  # minute or hour quota, refused before the back end
    "S221": ErrorClass.RATE_LIMITED,  # flow control (qps), refused before the back end
    "S207": ErrorClass.PERMANENT,  # API does not exist
    "S208": ErrorClass.INVALID_REQUEST,  # a required parameter is missing
    "S210": ErrorClass.AUTH,  # API not bound to the application in the console
    "S211": ErrorClass.AUTH,  # wrong signature
    "S212": ErrorClass.AUTH,  # our address is not on the application's IP list
    "S214": ErrorClass.AUTH,  # the application was switched to signing with a timestamp
    "E403": ErrorClass.INVALID_REQUEST,  # parameter check failed
    "E500": ErrorClass.TEMPORARY,  # unknown fault
}

BOOKING: Rows = {
    "DEF001": ErrorClass.INVALID_REQUEST,  # accountId / customerId missing
    "F002": ErrorClass.BALANCE,  # no waybill numbers left on the account
    "p-o001": ErrorClass.INVALID_REQUEST,  # no handler for this orderType
    "p-o003": ErrorClass.AUTH,  # waybill account or customer code unknown or not bound
    "p-ow002": ErrorClass.TEMPORARY,  # accepted, result empty: the order may exist
}

TRACKING: Rows = {
    "E404": ErrorClass.AUTH,  # waybill account not bound
    "E409": Code(ErrorClass.AUTH, "phone_tail"),  # phone does not belong to the waybill
    "E413": Code(ErrorClass.INVALID_REQUEST, "phone_tail"),  # last 4 digits of a phone needed
    "E416": Code(ErrorClass.INVALID_REQUEST, "waybill_number"),  # not a ZTO number
    "E418": ErrorClass.AUTH,  # branch not authorised
}

INTERCEPT: Rows = {
    **dict.fromkeys(("E23101", "E23112", "E23119", "E23120", "E23137"), ErrorClass.PERMANENT),
    "E23102": ErrorClass.NOT_FOUND,
    **dict.fromkeys(("E23108", "E23148", "E23149", "E23150"), ErrorClass.INVALID_REQUEST),
    **dict.fromkeys(("E23116", "E23121", "E23127", "E23151", "E23157", "E23160"), ErrorClass.DUPLICATE),
    **dict.fromkeys(("E23118", "E23135", "E23144", "E23154"), ErrorClass.AUTH),
    **dict.fromkeys(("E23114", "E23115", "E23122", "E23136", "E23138"), ErrorClass.NO_SERVICE),
    "E23130": ErrorClass.PERMANENT,  # not in interception
}

TEXTS: Rows = {
    # Known by its message only: the code beside it is not documented.
    "查询不到该订单": ErrorClass.NOT_FOUND,
}

BOOK_CODES = CodeTable(GATEWAY | BOOKING)
"""For createOrder: anything else is not understood, hence UNKNOWN."""

TRACK_CODES = CodeTable(GATEWAY | TRACKING)
"""For track query and subscription."""

CODES = CodeTable(GATEWAY | BOOKING | TRACKING | INTERCEPT | TEXTS)
"""For every other call."""

OPEN = "B04"
"""The one `forbidType` of areaUnobstructed that means "delivered there" (section 4.1)."""
