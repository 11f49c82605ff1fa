"""Playing flows by hand, and against a simulator in the same process."""

from __future__ import annotations

from collections.abc import Generator

import msgspec
import pytest
from acme.carrier import Acme
from acme.simulator import AcmeSimulator

from crossdock_sdk import (
    Booked,
    CarrierError,
    ErrorClass,
    HttpRequest,
    HttpResponse,
    Manifest,
)
from crossdock_sdk.simulator import Ledger
from crossdock_sdk.testing import (
    FakeClock,
    booking,
    context,
    drive,
    exchange,
    lane,
    play,
    requests_of,
)

ACME = Acme(Manifest.load("acme"))
ACCOUNT = AcmeSimulator.account("http://127.0.0.1:18080")
OK = HttpResponse(200, {}, b'{"code":"OK","number":"AC00000001","reference":"R1"}')


def two_steps() -> Generator[HttpRequest, HttpResponse, int]:
    """A flow that asks twice and adds up the statuses."""
    first = yield HttpRequest("GET", "http://x/1")
    second = yield HttpRequest("GET", "http://x/2")
    return first.status + second.status


def test_play_gives_answers_in_order_and_returns_the_result() -> None:
    """Each answer goes to one request; the flow's return value comes back."""
    assert play(two_steps(), HttpResponse(200), HttpResponse(4)) == 204


def test_play_lets_carrier_errors_through() -> None:
    """A refusal is the flow's result as much as a value is."""
    flow = ACME.book(context(ACCOUNT), [booking()])

    with pytest.raises(CarrierError) as caught:
        play(flow, HttpResponse(200, {}, b'{"code":"FULL"}'))

    assert caught.value.error_class is ErrorClass.CAPACITY


def test_play_says_when_an_answer_is_missing() -> None:
    """A flow that asks more often than there are answers is an error of the test."""
    with pytest.raises(AssertionError, match="answer to request 2"):
        play(two_steps(), HttpResponse(200))


def test_play_says_when_answers_are_left_over() -> None:
    """A flow that asks less often than expected is an error too."""
    with pytest.raises(AssertionError, match="1 answers left over"):
        play(two_steps(), HttpResponse(1), HttpResponse(2), HttpResponse(3))


def test_requests_of_shows_what_goes_out() -> None:
    """The requests come back complete, bytes as they would be sent."""
    (request,) = requests_of(ACME.book(context(ACCOUNT), [booking("R1")]))

    assert request.url == "http://127.0.0.1:18080/v1/book"
    assert msgspec.json.decode(request.body)["reference"] == "R1"


def test_requests_of_goes_on_while_there_are_answers() -> None:
    """Each answer brings the next request; a flow that ends early ends the list."""
    assert [r.url[-1] for r in requests_of(two_steps(), HttpResponse(200))] == ["1", "2"]
    assert len(requests_of(two_steps(), *[HttpResponse(200)] * 5)) == 2


def test_drive_runs_against_a_simulator() -> None:
    """A flow and a simulator meet without a socket."""
    simulator = AcmeSimulator(Ledger(), clock=FakeClock())
    flow = ACME.book(context(ACCOUNT), [booking("R1")])

    (booked,) = drive(flow, lambda request: exchange(simulator, request))

    assert booked == Booked("R1", "AC00000001")


def test_endless_flow_is_stopped() -> None:
    """A flow that asks for ever is an error, not a hang."""

    def endless() -> Generator[HttpRequest, HttpResponse, None]:
        while True:
            yield HttpRequest("GET", "http://x/")

    with pytest.raises(AssertionError, match="more than 100 requests"):
        drive(endless(), lambda request: OK)


def test_builders_take_changes() -> None:
    """Made-up shipments are complete and can be varied field by field."""
    assert lane(service="S").service == "S"
    assert booking("R9", remark="").remark == ""
    assert booking().goods == "纯棉T恤"
    assert booking().weight_g == 1_000
