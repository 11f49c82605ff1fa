"""SF's side of the wire: `std/service` of Fengqiao and its label store, with a ledger.

Order of checks as seen in the sandbox: permission for the service code before the signature.
Sandbox rules: monthly account 7551234567, waybill numbers of the series SF7444. A used orderId is
refused with 8016, as documented; `replays=True` answers the first order again, as one shipper saw.
A cancelled order is still found by a search, with the documented fields, none of which tells that
it is void: the sheet says nothing about it, and this is the least helpful answer it allows.
Parcels travel by the clock (`simulator_story`), are asked for (`simulator_track`) and pushed (`simulator_push`); once
collected, an order cannot be cancelled any more.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

import msgspec

from crossdock_sdk import Account, HttpRequest, HttpResponse, Secret
from crossdock_sdk.codec import from_local_text, local_text, to_json
from crossdock_sdk.signing import md5_hex, same
from crossdock_sdk.simulator import CarrierSimulator, Entry, Ledger
from crossdock_sf import simulator_geo as geo
from crossdock_sf import simulator_orders as orders
from crossdock_sf import simulator_story as story
from crossdock_sf import simulator_track as routes
from crossdock_sf.codes import OK, PRODUCTS
from crossdock_sf.simulator_orders import Refusal
from crossdock_sf.simulator_pdf import SIZES, label_pdf
from crossdock_sf.simulator_push import Postman
from crossdock_sf.wire import DEFAULT_MODE, ZONE, digest

PARTNER_ID = "DEMOPARTNER"
CHECK_WORD = "DemoCheckWord0123456789AbCdEfGhI"
PUSH_TOKEN = "demo-push-token-5f2e32dd9464"
ACKNOWLEDGED = (b'"0000"', b"<Head>OK</Head>")
"""What SF looks for in the answer to a push; anything else brings the push again."""
SERVICE_PATH = "/std/service"
STORE_PATH = "/v1.2/demo/"
HELD_S = 5.0
"""How long a manual check takes before the order is accepted."""

OPERATIONS: dict[str, str] = {
    "EXP_RECE_QUERY_DELIVERTM": "quote",
    "EXP_RECE_CREATE_ORDER": "book",
    "EXP_RECE_SEARCH_ORDER_RESP": "find",
    "EXP_RECE_UPDATE_ORDER": "cancel",
    "COM_RECE_CLOUD_PRINT_WAYBILLS": "label",
    "EXP_RECE_SEARCH_ROUTES": "track",
    "EXP_RECE_REGISTER_ROUTE": "subscribe",
}
"""Service codes granted to the test account, and the operation each is."""

_SERVICE_CODE = re.compile(rb"(?:^|&)serviceCode=([A-Z_]+)(?:&|$)")
_FIELDS = ("partnerID", "requestID", "serviceCode", "timestamp", "msgDigest", "msgData")


class SfSimulator(CarrierSimulator):
    """A Fengqiao sandbox for one test account.

    bound: whether the account sees its own parcels' routes without a phone ending. push_format: `json` or `xml`, as
    the console offers; push_seed: of the disorder pushes arrive in.
    """

    code: ClassVar[str] = "sf"

    def __init__(
        self,
        ledger: Ledger,
        *,
        clock: Callable[[], datetime],
        push_url: str = "",
        signature_mode: str = DEFAULT_MODE,
        replays: bool = False,
        bound: bool = True,
        push_format: str = "json",
        push_seed: int = 0,
    ) -> None:
        super().__init__(ledger, clock=clock, push_url=push_url)
        self.signature_mode = signature_mode
        self.replays = replays
        self.bound = bound
        self._parcels = routes.Parcels(ledger)
        self._postman = Postman(ledger, seed=push_seed, as_xml=push_format == "xml")
        self._issued = sum(_numbers_of(entry) for entry in ledger.entries)
        # Orders without a waybill: time, order, filterResult, remark. Nothing of them is live, so a
        # restart may forget them.
        self._undecided: dict[str, tuple[datetime, orders.Json, int, str]] = {}

    @classmethod
    def account(cls, base_url: str) -> Account:
        """The test account; `base_url` is the simulator's root or its full service URL."""
        return Account(
            account_id="sf-simulator",
            carrier="sf",
            base_url=base_url.rstrip("/").removesuffix(SERVICE_PATH) + SERVICE_PATH,
            settings={
                "partner_id": PARTNER_ID,
                "monthly_card": orders.MONTHLY_CARD,
                "signature_mode": DEFAULT_MODE,
                "pay_method": "1",
            },
            secrets={"check_word": Secret(CHECK_WORD), "push_token": Secret(PUSH_TOKEN)},
        )

    def operation(self, request: HttpRequest) -> str:
        """The SDK operation of a request; fetching a label file is part of `label`."""
        path = urlsplit(request.url).path
        if path.startswith(STORE_PATH):
            return "label"
        if path != SERVICE_PATH:
            return ""
        named = _SERVICE_CODE.search(request.body)  # the whole form is parsed once, in `handle`
        return OPERATIONS.get(named[1].decode("ascii"), "") if named else ""

    def failing(self) -> HttpResponse:
        """A1099: the gateway's system error."""
        return _gateway("A1099", "系统异常")

    def busy(self) -> HttpResponse:
        """A1005: rate limited."""
        return _gateway("A1005", "API调用频率超限")

    def tick(self) -> None:
        """Queue the route pushes that have fallen due."""
        if self.push_url:
            url = f"{self.push_url.rstrip('/')}/{PUSH_TOKEN}"
            self.outbox += self._postman.collect(url, self.clock(), self.speed)

    def is_acknowledged(self, status: int, body: bytes) -> bool:
        """The document's acknowledgement of a route push, in either form."""
        return status == 200 and any(mark in body for mark in ACKNOWLEDGED)

    def push_lost(self, push: HttpRequest) -> None:
        """SF sends a batch again until it is acknowledged."""
        self._postman.again(push, self.clock())

    def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer as Fengqiao would; GET under the store's path hands out a label file."""
        path = urlsplit(request.url).path
        if request.method == "GET" and path.startswith(STORE_PATH):
            return self._file(path.removeprefix(STORE_PATH), request)
        if request.method != "POST" or path != SERVICE_PATH:
            return HttpResponse(404, {}, b"")
        fields = _form(request)
        if code := self._gate(fields):
            return _gateway(code, "")
        try:
            body = msgspec.json.decode(fields["msgData"].encode(), type=dict[str, Any])
        except msgspec.DecodeError:
            return _gateway("A1001", "msgData")
        return _passed_on(fields["requestID"], self._serve(OPERATIONS[fields["serviceCode"]], body))

    def _gate(self, fields: dict[str, str]) -> str:
        """The gateway's refusal code, "" when the call may pass."""
        if any(not fields.get(name) for name in _FIELDS):
            return "A1001"
        if fields["partnerID"] != PARTNER_ID or fields["serviceCode"] not in OPERATIONS:
            return "A1004"
        expected = digest(self.signature_mode, fields["msgData"], fields["timestamp"], CHECK_WORD)
        return "" if same(fields["msgDigest"], expected) else "A1006"

    def _serve(self, operation: str, body: dict[str, Any]) -> dict[str, Any]:
        handlers = {
            "quote": self._quote,
            "book": self._create,
            "find": self._search,
            "cancel": self._cancel,
            "track": self._track,
            "subscribe": routes.register_route,
        }
        try:
            if operation == "label":
                return self._print(body)
            data = handlers[operation](body)
        except Refusal as refusal:
            return _failure(refusal.code, refusal.text)
        except (TypeError, ValueError, AttributeError, KeyError):
            return _failure("S0003", "数据异常")  # "data error or runtime exception" (sheet 5)
        return {"success": True, "errorCode": OK, "errorMsg": None, "msgData": data}

    def _create(self, order: dict[str, Any]) -> dict[str, Any]:
        if self.faults.refuse_bookings:
            raise Refusal("8177", "高峰期产能管控，暂无法下单")
        orders.check_order(order)
        reference = order["orderId"]
        if first := self.ledger.first(reference):
            if self.replays:
                return orders.creation_answer(reference, first.waybill_number, first.facts)
            raise Refusal("8016", "重复下单")
        if reference in self._undecided:
            raise Refusal("8016", "重复下单")
        result, remark = orders.screening(order)
        if result != 2:
            self._undecided[reference] = (self.clock(), order, result, remark)
            return orders.undecided_answer(reference, result, remark)
        entry = self._accept(order)
        return orders.creation_answer(reference, entry.waybill_number, entry.facts)

    def _accept(self, order: orders.Json) -> Entry:
        count = orders.numbers_needed(order)
        last = self.first_serial + self._issued
        numbers = [f"SF7444{last + n:09d}" for n in range(1, count + 1)]
        self._issued += count
        facts = orders.facts_of(order, numbers) | {"phone_tails": routes.tail_marks(order)}
        return self.ledger.book(self.clock(), order["orderId"], numbers[0], **facts)

    def _search(self, body: dict[str, Any]) -> dict[str, Any]:
        reference = str(body.get("orderId", ""))
        if reference in self._undecided and not self.ledger.first(reference):
            since, order, result, remark = self._undecided[reference]
            if result == 3 or self.clock() - since < timedelta(seconds=HELD_S):
                return orders.undecided_answer(reference, str(result), remark)
            self._accept(order)
        entry = self.ledger.first(reference)
        blind = timedelta(seconds=self.faults.lookup_blind_s)
        if entry is None or self.clock() - entry.time < blind:
            raise Refusal("6150", "找不到该订单")
        return orders.search_answer(reference, entry.waybill_number, entry.facts, PARTNER_ID)

    def _cancel(self, body: dict[str, Any]) -> dict[str, Any]:
        reference = str(body.get("orderId", ""))
        entry = self.ledger.first(reference)
        if entry is None:
            return self._drop_held(reference)
        if entry.waybill_number in self.ledger.cancelled:
            raise Refusal("8037", "已消单")
        if body.get("dealType", 1) != 2:
            raise Refusal("8252", "已确认")  # confirmation is automatic: nothing left to confirm
        if story.is_collected(entry, self.clock(), self.speed):
            raise Refusal("8168", "已有路由信息，不能取消")
        self.ledger.cancel(self.clock(), reference, entry.waybill_number)
        numbers = orders.number_list(entry.waybill_number, entry.facts)
        return {"orderId": reference, "waybillNoInfoList": numbers, "resStatus": 2}

    def _drop_held(self, reference: str) -> dict[str, Any]:
        """Cancel an order that still waits for its manual check: it must never come alive."""
        since, order, result, _ = self._undecided.get(reference, (self.clock(), {}, 0, ""))
        if result != 1:
            raise Refusal("8024", "未下单")
        self._undecided[reference] = (since, order, 3, "3")
        return {"orderId": reference, "waybillNoInfoList": None, "resStatus": 2}

    def _track(self, body: dict[str, Any]) -> dict[str, Any]:
        return routes.search_routes(
            body, self._parcels, self.ledger, now=self.clock(), speed=self.speed, bound=self.bound
        )

    def _quote(self, body: dict[str, Any]) -> dict[str, Any]:
        source, target = body.get("srcAddress") or {}, body.get("destAddress") or {}
        if not all(place.get("province") and place.get("city") for place in (source, target)):
            raise Refusal("S0002", "省市不能为空")
        if body.get("monthlyCard"):
            orders.check_monthly_card(body["monthlyCard"], pays_sender=False)
        if not (geo.known_province(source["province"]) and geo.known_province(target["province"])):
            return {"deliverTmDto": []}
        wanted = str(body.get("businessType") or "")
        if wanted and wanted not in geo.PRODUCT_TERMS:
            raise Refusal("20036", "产品不适用")
        distance = geo.distance_class(source["province"], target["province"])
        shipped = self.clock()
        if text := body.get("consignedTime"):
            shipped = from_local_text(text, ZONE)
        weight_g = round(float(body.get("weight", 1)) * 1000)
        offers = [
            _offer(product, distance, weight_g, shipped) for product in ([wanted] if wanted else geo.PRODUCT_TERMS)
        ]
        return {"deliverTmDto": offers}

    def _print(self, body: dict[str, Any]) -> dict[str, Any]:
        template, documents = str(body.get("templateCode", "")), body.get("documents") or []
        size = template.removeprefix("fm_").split("_", 1)[0]
        if not template.endswith(f"_{PARTNER_ID}") or size not in SIZES:
            return _print_failure(f"templateCode:{template} is not matched the clientCode:{PARTNER_ID}")
        if not 1 <= len(documents) <= 20:
            return _print_failure("documents: 1 to 20")
        pieces: dict[str, list[str]] = {}
        for document in documents:
            master = str(document.get("masterWaybillNo", ""))
            number = str(document.get("branchWaybillNo") or master)
            entry = self.ledger.by_waybill.get(master)
            if entry is None or number not in (master, *entry.facts["children"]):
                return _print_failure(f"找不到该运单:{number}")
            pieces.setdefault(master, []).append(number)
        return {
            "success": True,
            "requestId": md5_hex("/".join(pieces)),
            "obj": {
                "clientCode": PARTNER_ID,
                "fileType": "pdf",
                "templateCode": template,
                "files": [self._file_entry(size, master, pieces[master]) for master in pieces],
            },
        }

    def _file_entry(self, size: str, master: str, numbers: list[str]) -> dict[str, Any]:
        name = f"{size}/{'_'.join(numbers)}.pdf"
        root = self.base_url.rstrip("/").removesuffix(SERVICE_PATH)
        return {
            "areaNo": 1,
            "pageNo": 1,
            "pageCount": len(numbers),
            "seqNo": 1,
            "token": _token(name),
            "url": f"{root}{STORE_PATH}{name}",
            "waybillNo": master,
        }

    def _file(self, name: str, request: HttpRequest) -> HttpResponse:
        """The store: 404 without its token header, and to anybody who sends Authorization."""
        headers = {key.lower(): value for key, value in request.headers.items()}
        size, _, numbers = name.removesuffix(".pdf").partition("/")
        token_fits = same(headers.get("x-auth-token", ""), _token(name))
        if not token_fits or "authorization" in headers or size not in SIZES:
            return HttpResponse(404, {}, b"")
        pdf = label_pdf(numbers.split("_"), SIZES[size])
        return HttpResponse(200, {"content-type": "application/pdf"}, pdf)


def _numbers_of(entry: Entry) -> int:
    if entry.kind != "BOOKED":
        return 0
    return 1 + len(entry.facts["children"]) + len(entry.facts["receipts"])


def _offer(product: str, distance: str, weight_g: int, shipped: datetime) -> dict[str, Any]:
    fen = geo.price_fen(product, distance, weight_g)
    time = local_text(geo.arrival(product, distance, shipped), ZONE)
    return {
        "businessType": product,
        "businessTypeDesc": PRODUCTS[product],
        "deliverTime": f"{time},{time}",
        "fee": msgspec.Raw(f"{fen // 100}.{fen % 100:02d}".encode()),
        "searchPrice": "1",
        "closeTime": None,
    }


def _token(name: str) -> str:
    return "AUTH_tkv12_" + md5_hex(f"{CHECK_WORD}/{name}")


def _form(request: HttpRequest) -> dict[str, str]:
    try:
        text = request.body.decode("ascii")
        return dict(parse_qsl(text, keep_blank_values=True, errors="strict"))
    except ValueError:  # UnicodeDecodeError too
        return {}


def _failure(code: str, text: str) -> dict[str, Any]:
    return {"success": False, "errorCode": code, "errorMsg": text, "msgData": None}


def _print_failure(text: str) -> dict[str, Any]:
    return {"success": False, "requestId": md5_hex(text), "errorMessage": text, "obj": None}


def _passed_on(request_id: str, inner: dict[str, Any]) -> HttpResponse:
    envelope = {
        "apiErrorMsg": "",
        "apiResponseID": md5_hex(request_id).upper(),
        "apiResultCode": "A1000",
        "apiResultData": to_json(inner).decode(),
    }
    return _json(envelope)


def _gateway(code: str, text: str) -> HttpResponse:
    return _json({"apiErrorMsg": text, "apiResponseID": "", "apiResultCode": code, "apiResultData": ""})


def _json(envelope: dict[str, str]) -> HttpResponse:
    return HttpResponse(200, {"content-type": "application/json;charset=UTF-8"}, to_json(envelope))
