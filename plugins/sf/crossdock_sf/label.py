"""SF's own label: `COM_RECE_CLOUD_PRINT_WAYBILLS`, 云打印面单 2.0 (sheet 4.7).

Rules of this file: nothing here has a side effect, so every failure is safe to repeat.
Single-piece waybills share a print call and come back as a file each. A multi-piece waybill has a
call of its own, so that its pages are one file. A file is fetched only from SF's store or from the
account's own host, because its address comes out of an answer; the token goes along as the header
`X-Auth-token` (trap 9).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlsplit

import msgspec

from crossdock_sdk import (
    Account,
    CallContext,
    CarrierError,
    CarrierLabel,
    ErrorClass,
    Flow,
    HttpRequest,
    HttpResponse,
    LabelOutcome,
    LabelRequest,
    SideEffect,
)
from crossdock_sf import wire

SERVICE_CODE = "COM_RECE_CLOUD_PRINT_WAYBILLS"
STORE = ("https", "eos-scp-core-shenzhen-futian1-oss.sf-express.com", 443)
TOKEN_HEADER = "x-auth-token"
DOCUMENTS_PER_CALL = 20

TEMPLATES: dict[tuple[int, int], str] = {
    (100, 150): "150",
    (76, 130): "76130",
    (100, 180): "180",
    (100, 210): "210",
}
"""(width_mm, height_mm) -> the size in `fm_<size>_standard_<partnerID>`."""

_ABOUT_A_DOCUMENT = (
    ErrorClass.INVALID_REQUEST,
    ErrorClass.NOT_FOUND,
    ErrorClass.NO_SERVICE,
    ErrorClass.PERMANENT,
)
_PORTS = {"http": 80, "https": 443}


class _File(msgspec.Struct, frozen=True, rename="camel"):
    url: str
    token: str
    waybill_no: str | None = None


class _Answer(msgspec.Struct, frozen=True):
    files: list[_File] | None = None


class _Group(msgspec.Struct, frozen=True):
    # One print call: positions in the caller's sequence and what stands there.
    template: str
    members: tuple[tuple[int, LabelRequest], ...]


def label(ctx: CallContext, requests: Sequence[LabelRequest]) -> Flow[list[LabelOutcome]]:
    """Fetch labels as PDF, one a request. A refused shared call is asked again waybill by waybill,
    so that one unknown number does not take the others' labels away.
    """
    outcomes: dict[int, LabelOutcome] = {}
    groups: list[_Group] = []
    for template, members in _by_template(ctx.account, requests, outcomes).items():
        groups += _groups(template, members)
    calls = 0
    while groups:
        group = groups.pop(0)
        try:
            files = yield from _print(ctx, group, calls)
        except CarrierError as error:
            if len(group.members) > 1 and _is_about_a_document(error):
                groups += [_Group(group.template, (member,)) for member in group.members]
            else:
                outcomes |= {position: _harmless(error) for position, _ in group.members}
        else:
            for position, request in group.members:
                outcomes[position] = yield from _fetch(ctx.account, request, files, group)
        calls += 1
    return [outcomes[position] for position in range(len(requests))]


def template_code(account: Account, request: LabelRequest) -> str:
    """The template for a label size; the configured one stands for 100 x 150 mm.

    Raises CarrierError(INVALID_REQUEST) for a size SF has no standard template for.
    """
    size = TEMPLATES.get((request.width_mm, request.height_mm))
    if size is None:
        sizes = ", ".join(f"{width} x {height}" for width, height in TEMPLATES)
        raise wire.refused_locally("size", f"SF prints labels of {sizes} mm only")
    configured = account.setting("template_code") if size == "150" else ""
    return configured or f"fm_{size}_standard_{account.setting('partner_id')}"


def print_body(template: str, requests: Sequence[LabelRequest]) -> dict[str, object]:
    """The business object of a print call: PDF files in the answer itself."""
    documents = [document for request in requests for document in _documents(request)]
    return {
        "templateCode": template,
        "version": "2.0",
        "fileType": "pdf",
        "sync": True,
        "documents": documents,
    }


def allowed(account: Account, url: str) -> bool:
    """True when a label may be fetched from `url`: SF's store, or the origin the account calls."""
    origin = _origin(url)
    return origin is not None and origin in (STORE, _origin(account.base_url))


def _documents(request: LabelRequest) -> list[dict[str, object]]:
    master, count = request.waybill_number, 1 + len(request.sub_waybill_numbers)
    if count == 1:
        return [{"masterWaybillNo": master}]
    documents: list[dict[str, object]] = [{"masterWaybillNo": master, "seq": 1, "sum": count}]
    return documents + [
        {"masterWaybillNo": master, "branchWaybillNo": branch, "seq": seq, "sum": count}
        for seq, branch in enumerate(request.sub_waybill_numbers, start=2)
    ]


def _by_template(
    account: Account, requests: Sequence[LabelRequest], outcomes: dict[int, LabelOutcome]
) -> Mapping[str, list[tuple[int, LabelRequest]]]:
    grouped: dict[str, list[tuple[int, LabelRequest]]] = {}
    for position, request in enumerate(requests):
        try:
            template = template_code(account, request)
        except CarrierError as error:
            outcomes[position] = error
            continue
        if len(request.sub_waybill_numbers) >= DOCUMENTS_PER_CALL:
            outcomes[position] = _not_one_file(f"prints {DOCUMENTS_PER_CALL} pieces a call")
            continue
        grouped.setdefault(template, []).append((position, request))
    return grouped


def _groups(template: str, members: Sequence[tuple[int, LabelRequest]]) -> Iterator[_Group]:
    singles = [member for member in members if not member[1].sub_waybill_numbers]
    for start in range(0, len(singles), DOCUMENTS_PER_CALL):
        yield _Group(template, tuple(singles[start : start + DOCUMENTS_PER_CALL]))
    for member in members:
        if member[1].sub_waybill_numbers:
            yield _Group(template, (member,))


def _print(ctx: CallContext, group: _Group, index: int) -> Flow[list[_File]]:
    body = print_body(group.template, [request for _, request in group.members])
    data = yield from wire.call(ctx, SERVICE_CODE, body, index=index)
    return wire.read(data, _Answer).files or []


def _is_about_a_document(error: CarrierError) -> bool:
    """False for what would befall every waybill alike: asking one by one would only add calls."""
    if error.error_class is ErrorClass.TEMPORARY:
        return error.side_effect is SideEffect.NONE  # 找不到该运单, and nothing else
    return error.error_class in _ABOUT_A_DOCUMENT


def _fetch(account: Account, request: LabelRequest, files: Sequence[_File], group: _Group) -> Flow[LabelOutcome]:
    try:
        file = _file_of(request, files, alone=len(group.members) == 1)
        response = yield _download(account, file)
        return CarrierLabel(request.waybill_number, _pdf(response))
    except CarrierError as error:
        return _harmless(error)


def _file_of(request: LabelRequest, files: Sequence[_File], *, alone: bool) -> _File:
    numbers = {request.waybill_number, *request.sub_waybill_numbers}
    # A nameless file can only be ours when nobody else's was asked for.
    own = [f for f in files if f.waybill_no in numbers or (alone and not f.waybill_no)]
    if not own:
        raise wire.contradiction("SF's print answer holds no file for this waybill")
    if len(own) > 1:
        raise _not_one_file(f"answered {len(own)} files for one waybill")
    return own[0]


def _download(account: Account, file: _File) -> HttpRequest:
    if not allowed(account, file.url):
        raise wire.contradiction("SF's print answer names a file on a host that is not SF's store")
    token = file.token.replace("\r", "").replace("\n", "").strip()
    if not token or not token.isascii() or not token.isprintable():
        raise wire.contradiction("SF's print answer holds no usable file token")
    return HttpRequest("GET", file.url, {TOKEN_HEADER: token})


def _pdf(response: HttpResponse) -> bytes:
    # The store answers 404 without the header, and also when a token is older than 24 h.
    if response.status != 200:
        raise wire.contradiction("SF's store did not hand out the label", f"HTTP {response.status}")
    if not response.body.startswith(b"%PDF-"):
        raise wire.contradiction("SF's store answered something that is not a PDF")
    return response.body


def _origin(url: str) -> tuple[str, str, int] | None:
    """(scheme, host, port) of an absolute http(s) URL without user part, None for anything else."""
    if not url.isascii() or not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc:
        return None
    return parts.scheme, parts.hostname, port or _PORTS[parts.scheme]


def _not_one_file(what: str) -> CarrierError:
    return CarrierError(
        ErrorClass.PERMANENT,
        message=f"SF {what} and a label must be one file; use the engine's own layout",
    )


def _harmless(error: CarrierError) -> CarrierError:
    """The same error, stating that printing leaves nothing behind."""
    return CarrierError(
        error.error_class,
        code=error.code,
        message=error.message,
        field=error.field,
        retry_after_s=error.retry_after_s,
        side_effect=SideEffect.NONE,
    )
