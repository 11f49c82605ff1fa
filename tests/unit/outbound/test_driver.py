"""Running a plug-in's flow: what comes back, what is contained, what a failure proves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from crossdock_sdk import CarrierError, ErrorClass, Flow, HttpRequest, HttpResponse, SideEffect
from engine.outbound.driver import MAX_REQUESTS, drive
from engine.outbound.errors import Ambiguous, FaultKind, NotSent, PluginFault

pytestmark = pytest.mark.anyio
REQUEST = HttpRequest("POST", "https://fake.invalid/")


def answers(*script: int | Exception) -> Callable[[HttpRequest], Any]:
    """A `send` that answers in order."""
    left = list(script)

    async def send(request: HttpRequest) -> HttpResponse:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return HttpResponse(answer)

    return send


def two_requests(seen: list[object]) -> Flow[str]:
    """Signs in, then books; writes down what happens to it."""
    try:
        first = yield REQUEST
        second = yield REQUEST
        return f"{first.status} {second.status}"
    except BaseException as error:
        seen.append(type(error))
        raise


def raising(error: BaseException, after: int) -> Flow[str]:
    """Raises after so many requests."""
    for _ in range(after):
        yield REQUEST
    raise error


async def test_the_return_value_comes_back() -> None:
    """Responses go in one by one, the result comes out."""
    result = await drive(two_requests([]), answers(200, 201), carrier="fake", operation="book")

    assert result == "200 201"


@pytest.mark.parametrize(
    ("operation", "before", "expected"),
    [
        ("book", 0, NotSent),
        ("book", 1, Ambiguous),
        ("cancel", 1, Ambiguous),
        ("find", 1, NotSent),
        ("label", 1, NotSent),
    ],
)
async def test_not_sent_proves_something_only_for_a_first_request(
    operation: str, before: int, expected: type[Exception]
) -> None:
    """Once a request of a booking went out, a later one that did not proves nothing about it."""
    send = answers(*[200] * before, NotSent(FaultKind.REFUSED))

    with pytest.raises((NotSent, Ambiguous)) as caught:
        await drive(two_requests([]), send, carrier="fake", operation=operation)

    assert (type(caught.value), caught.value.kind) == (expected, FaultKind.REFUSED)


async def test_a_transport_failure_closes_the_flow_and_throws_nothing_into_it() -> None:
    """The plug-in sees only that it is closed."""
    seen: list[object] = []
    send = answers(200, Ambiguous(FaultKind.CUT))

    with pytest.raises(Ambiguous):
        await drive(two_requests(seen), send, carrier="fake", operation="book")

    assert seen == [GeneratorExit]


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize(
    "error",
    [KeyError("张三"), RecursionError(), SystemExit(1), KeyboardInterrupt(), MemoryError()],
    ids=lambda e: type(e).__name__,
)
async def test_whatever_escapes_a_plugin_is_a_fault(error: BaseException, after: int) -> None:
    """Even SystemExit is contained; the effect is unknown as soon as a request had gone out."""
    with pytest.raises(PluginFault) as caught:
        await drive(raising(error, after), answers(200), carrier="fake", operation="book")

    fault = caught.value
    assert (fault.problem, fault.requests_sent) == (type(error).__name__, after)
    assert fault.side_effect is (SideEffect.UNKNOWN if after else SideEffect.NONE)
    assert "张三" not in str(fault)


async def test_a_carrier_error_comes_out_as_it_is() -> None:
    """TEMPORARY after a request keeps its unknown effect."""
    flow = raising(CarrierError(ErrorClass.TEMPORARY, code="S1"), 1)

    with pytest.raises(CarrierError) as caught:
        await drive(flow, answers(200), carrier="fake", operation="book")

    assert (caught.value.code, caught.value.side_effect) == ("S1", SideEffect.UNKNOWN)


async def test_a_carrier_error_before_any_request_has_no_effect() -> None:
    """What was never sent cannot have happened."""
    flow = raising(CarrierError(ErrorClass.TEMPORARY), 0)

    with pytest.raises(CarrierError) as caught:
        await drive(flow, answers(), carrier="fake", operation="book")

    assert caught.value.side_effect is SideEffect.NONE


def endless() -> Flow[None]:
    while True:
        yield REQUEST


def wrong() -> Flow[None]:
    yield "POST /"  # type: ignore[misc]  # the fault under test


@pytest.mark.parametrize(
    ("flow", "sent", "words"),
    [
        (wrong(), 0, "yielded str"),
        (endless(), MAX_REQUESTS, "more than 32"),
        ([], 0, "returned list"),
        (None, 0, "returned NoneType"),
    ],
    ids=["no request", "too many", "a list", "nothing"],
)
async def test_a_flow_that_breaks_the_contract_is_a_fault(flow: Any, sent: int, words: str) -> None:
    """The message says what was wrong and what was expected."""
    with pytest.raises(PluginFault, match=words) as caught:
        await drive(flow, answers(*[200] * 40), carrier="fake", operation="find")

    assert caught.value.requests_sent == sent


async def test_a_flow_that_resists_closing_changes_nothing() -> None:
    """The transport's error goes up whatever the plug-in does on the way."""

    def stubborn() -> Flow[None]:
        try:
            yield REQUEST
        finally:
            yield REQUEST

    with pytest.raises(NotSent):
        await drive(stubborn(), answers(NotSent(FaultKind.DNS)), carrier="fake", operation="book")
