"""SF's own labels: built, fetched from the right host only, refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from sf_kit import (
    ACCOUNT,
    SF,
    answer,
    change,
    context,
    fields,
    fixture,
    gateway,
    message,
    play,
    refused,
)

from crossdock_sdk import (
    CarrierLabel,
    ErrorClass,
    HttpRequest,
    HttpResponse,
    LabelOutcome,
    LabelRequest,
    SideEffect,
)
from crossdock_sf import label

ONE = LabelRequest("SF1990000000017")
TWO = LabelRequest("SF1990000000018")
MANY = LabelRequest("SF1990000000020", ("SF1990000000021", "SF1990000000022"))
STORE = "https://eos-scp-core-shenzhen-futian1-oss.sf-express.com"
PDF = HttpResponse(200, {}, b"%PDF-1.4 label")


def _files(*files: tuple[str, str], token: str = "AUTH_1") -> HttpResponse:
    listed = [{"waybillNo": number, "url": url, "token": token} for number, url in files]
    return answer({"success": True, "requestId": "1", "obj": {"files": listed}})


def _failure(text: str) -> HttpResponse:
    return answer({"success": False, "requestId": "1", "errorMessage": text, "obj": None})


def _label(*responses: HttpResponse) -> tuple[LabelOutcome, list[HttpRequest]]:
    outcomes, requests = play(SF.label(context(), [ONE]), *responses)
    return outcomes[0], requests


def test_print_call_is_built_as_in_the_sample() -> None:
    """One waybill makes the document's sample request."""
    request = next(SF.label(context(), [ONE]))

    assert fields(request)["serviceCode"] == "COM_RECE_CLOUD_PRINT_WAYBILLS"
    assert message(request) == msgspec.json.decode(fixture("print.request.json"))


def test_sample_answer_is_fetched_with_its_token() -> None:
    """The file is fetched by GET, the token in its header, and comes back untouched."""
    outcome, requests = _label(answer(fixture("print.inner.json")), PDF)

    assert outcome == CarrierLabel(ONE.waybill_number, PDF.body)
    assert requests[1] == HttpRequest(
        "GET",
        f"{STORE}:443/v1.2/demo/SF1990000000017.pdf",
        {"x-auth-token": "AUTH_tkv12_demo"},
    )


def test_multi_piece_waybill_lists_its_branches() -> None:
    """Master and children are documents of one call, counted, master first."""
    body = message(next(SF.label(context(), [MANY])))

    assert body["documents"] == [
        {"masterWaybillNo": MANY.waybill_number, "seq": 1, "sum": 3},
        {
            "masterWaybillNo": MANY.waybill_number,
            "branchWaybillNo": "SF1990000000021",
            "seq": 2,
            "sum": 3,
        },
        {
            "masterWaybillNo": MANY.waybill_number,
            "branchWaybillNo": "SF1990000000022",
            "seq": 3,
            "sum": 3,
        },
    ]


def test_single_pieces_share_a_call_and_keep_their_own_files() -> None:
    """Files are told apart by waybill number, whatever their order."""
    files = _files((TWO.waybill_number, f"{STORE}/2"), (ONE.waybill_number, f"{STORE}/1"))
    first, second = HttpResponse(200, {}, b"%PDF-1"), HttpResponse(200, {}, b"%PDF-2")

    outcomes, requests = play(SF.label(context(), [ONE, TWO]), files, first, second)

    assert len(message(requests[0])["documents"]) == 2
    assert [request.url for request in requests[1:]] == [f"{STORE}/1", f"{STORE}/2"]
    assert outcomes == [
        CarrierLabel(ONE.waybill_number, b"%PDF-1"),
        CarrierLabel(TWO.waybill_number, b"%PDF-2"),
    ]


def test_no_call_holds_more_than_twenty_documents() -> None:
    """The 21st waybill goes into a second call."""
    requests = [LabelRequest(f"SF19900000000{n:02d}") for n in range(21)]

    def files(numbers: list[LabelRequest]) -> HttpResponse:
        return _files(*((r.waybill_number, f"{STORE}/{r.waybill_number}") for r in numbers))

    outcomes, made = play(
        SF.label(context(), requests),
        files(requests[:20]), *[PDF] * 20, files(requests[20:]), PDF,
    )  # fmt: skip

    assert all(isinstance(outcome, CarrierLabel) for outcome in outcomes)
    assert [len(message(made[n])["documents"]) for n in (0, 21)] == [20, 1]


def test_unknown_waybill_does_not_take_its_mates_label_away() -> None:
    """A refused shared call is asked again one by one; only the culprit fails."""
    outcomes, requests = play(
        SF.label(context(), [ONE, TWO]),
        _failure("找不到该运单"),
        _failure("找不到该运单"),
        _files((TWO.waybill_number, f"{STORE}/2")),
        PDF,
    )

    assert refused(outcomes[0]).error_class is ErrorClass.TEMPORARY
    assert refused(outcomes[0]).side_effect is SideEffect.NONE
    assert isinstance(outcomes[1], CarrierLabel)
    assert len({fields(request)["requestID"] for request in requests[:3]}) == 3


@pytest.mark.parametrize("code", ["A1005", "A1006", "A1099"])
def test_failure_of_everybody_is_not_asked_again(code: str) -> None:
    """A busy or broken gateway is not answered with a call for each waybill."""
    outcomes, requests = play(SF.label(context(), [ONE, TWO]), gateway(code))

    assert [refused(outcome).code for outcome in outcomes] == [code, code]
    assert len(requests) == 1


@pytest.mark.parametrize(
    "url",
    [
        f"{STORE}/v1.2/a.pdf",
        f"{STORE}:443/v1.2/a.pdf",
        "https://sf.example/v1.2/a.pdf",
        "https://sf.example:443/a",
    ],
)
def test_store_and_own_host_are_allowed(url: str) -> None:
    """SF's store and the origin of the account's base_url hand out labels."""
    assert label.allowed(ACCOUNT, url)


@pytest.mark.parametrize(
    "url",
    [
        f"{STORE}.evil.example/a",
        f"{STORE}:8443/a",
        STORE.replace("https", "http") + "/a",
        "https://user@sf.example/a",
        "https://eos-scp-core-shenzhen-futian1-oss.sf-express.com@evil.example/a",
        "http://sf.example/a",
        "https://sf.example:444/a",
        "https://sf.example:99999/a",
        "https://sf.example\\@evil.example/a",
        "https://sf.example /a",
        "https://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "//sf.example/a",
        "https://[::1/a",
        "",
    ],
)
def test_other_hosts_are_never_fetched_from(url: str) -> None:
    """A print answer cannot send us anywhere else, and no token goes there."""
    outcome, requests = _label(_files((ONE.waybill_number, url)))

    assert not label.allowed(ACCOUNT, url)
    assert refused(outcome).error_class is ErrorClass.TEMPORARY
    assert len(requests) == 1


def test_loopback_account_may_fetch_from_its_own_port_only() -> None:
    """A simulator on loopback serves its own labels; another local port is not its."""
    account = change(ACCOUNT, base_url="http://127.0.0.1:8080/std/service")

    assert label.allowed(account, "http://127.0.0.1:8080/v1.2/a.pdf")
    assert not label.allowed(account, "http://127.0.0.1:8081/v1.2/a.pdf")


def test_line_breaks_in_a_token_are_dropped() -> None:
    """A token becomes one header value and cannot start another header."""
    _, requests = _label(_files((ONE.waybill_number, f"{STORE}/1"), token="AUTH\r\nX-Evil: 1\n"), PDF)

    assert requests[1].headers == {"x-auth-token": "AUTHX-Evil: 1"}


@pytest.mark.parametrize("token", ["", "\r\n", "令牌", "a\x00b"])
def test_unusable_token_is_not_sent(token: str) -> None:
    """A token that no header can carry ends the fetch."""
    outcome, requests = _label(_files((ONE.waybill_number, f"{STORE}/1"), token=token))

    assert refused(outcome).error_class is ErrorClass.TEMPORARY
    assert len(requests) == 1


@pytest.mark.parametrize(
    "file",
    [HttpResponse(404, {}, b""), HttpResponse(200, {}, b"<html>"), HttpResponse(200, {}, b"")],
)
def test_file_that_is_no_pdf_can_be_asked_for_again(file: HttpResponse) -> None:
    """A missing or odd file is TEMPORARY and leaves nothing behind."""
    outcome, _ = _label(_files((ONE.waybill_number, f"{STORE}/1")), file)
    error = refused(outcome)

    assert (error.error_class, error.side_effect) == (ErrorClass.TEMPORARY, SideEffect.NONE)


def test_another_waybills_file_is_never_taken() -> None:
    """A file under a foreign number is not our label."""
    outcome, requests = _label(_files((TWO.waybill_number, f"{STORE}/2")))

    assert refused(outcome).error_class is ErrorClass.TEMPORARY
    assert len(requests) == 1


def test_several_files_for_one_waybill_are_a_clear_refusal() -> None:
    """A label is one file; SF answering more is said so instead of dropping pages."""
    files = [(MANY.waybill_number, f"{STORE}/1"), (MANY.sub_waybill_numbers[0], f"{STORE}/2")]

    outcomes, _ = play(SF.label(context(), [MANY]), _files(*files))
    error = refused(outcomes[0])

    assert error.error_class is ErrorClass.PERMANENT
    assert "2 files" in error.message


def test_more_pieces_than_a_call_takes_are_refused_without_one() -> None:
    """Twenty-one pieces cannot be one file."""
    request = change(MANY, sub_waybill_numbers=tuple(f"SF19900000001{n:02d}" for n in range(20)))

    outcomes, requests = play(SF.label(context(), [request]))

    assert refused(outcomes[0]).error_class is ErrorClass.PERMANENT
    assert requests == []


@pytest.mark.parametrize(
    ("size", "settings", "expected"),
    [
        ((100, 150), {}, "fm_150_standard_DEMOPARTNER"),
        ((76, 130), {}, "fm_76130_standard_DEMOPARTNER"),
        ((100, 180), {}, "fm_180_standard_DEMOPARTNER"),
        ((100, 150), {"template_code": "fm_150_own"}, "fm_150_own"),
        ((76, 130), {"template_code": "fm_150_own"}, "fm_76130_standard_DEMOPARTNER"),
    ],
)
def test_template_follows_the_label_size(size: tuple[int, int], settings: dict[str, str], expected: str) -> None:
    """Each size has its standard template; the configured one is the 100 x 150 mm label."""
    account = change(ACCOUNT, settings={**ACCOUNT.settings, **settings})

    assert label.template_code(account, change(ONE, width_mm=size[0], height_mm=size[1])) == expected


def test_size_without_a_template_is_refused_without_a_call() -> None:
    """A size that SF does not print fails alone and names the sizes there are."""
    odd = change(ONE, width_mm=50, height_mm=50)

    outcomes, _ = play(SF.label(context(), [odd, TWO]), _files((TWO.waybill_number, f"{STORE}/2")), PDF)

    assert refused(outcomes[0]).error_class is ErrorClass.INVALID_REQUEST
    assert "76 x 130" in refused(outcomes[0]).message
    assert isinstance(outcomes[1], CarrierLabel)


@pytest.mark.parametrize("obj", [None, {}, {"files": None}, {"files": []}, {"files": [{}]}, []])
def test_print_answer_without_files_is_temporary(obj: Any) -> None:
    """Success without a usable file is no label."""
    outcome, _ = _label(answer({"success": True, "requestId": "1", "obj": obj}))

    assert refused(outcome).error_class is ErrorClass.TEMPORARY
