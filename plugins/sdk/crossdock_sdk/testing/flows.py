"""Driving flows by hand: with answers you wrote, or against a simulator in the same process."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from crossdock_sdk.errors import CarrierError
from crossdock_sdk.flow import Flow, HttpRequest, HttpResponse
from crossdock_sdk.simulator.base import CarrierSimulator

T = TypeVar("T")
MAX_REQUESTS = 100


def play(flow: Flow[T], *responses: HttpResponse) -> T:
    """Run a flow to its end with these answers, in order; returns what it returns.

    CarrierError goes through. Raises AssertionError when the flow wants more answers than there
    are, or ends before it took them all.
    """
    left = list(responses)

    def answer(request: HttpRequest) -> HttpResponse:
        if not left:
            raise AssertionError(
                f"the flow wants an answer to request {len(responses) + 1}, {request}; {len(responses)} were given"
            )
        return left.pop(0)

    result = drive(flow, answer)
    if left:
        raise AssertionError(f"the flow ended with {len(left)} answers left over")
    return result


def requests_of(flow: Flow[T], *responses: HttpResponse) -> list[HttpRequest]:
    """The requests a flow makes while it is given these answers; one more than answers at most.

    A CarrierError the answers provoke ends the list.
    """
    requests: list[HttpRequest] = []
    try:
        requests.append(next(flow))
        for response in responses:
            requests.append(flow.send(response))
    except (StopIteration, CarrierError):
        pass
    finally:
        flow.close()
    return requests


def drive(flow: Flow[T], answer: Callable[[HttpRequest], HttpResponse]) -> T:
    """Run a flow to its end, answering each request by a function. CarrierError goes through."""
    try:
        request = next(flow)
        for _ in range(MAX_REQUESTS):
            if not isinstance(request, HttpRequest):
                raise AssertionError(f"a flow yields HttpRequest, not {type(request).__name__}")
            request = flow.send(answer(request))
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        flow.close()
    raise AssertionError(f"the flow made more than {MAX_REQUESTS} requests")


def exchange(simulator: CarrierSimulator, request: HttpRequest) -> HttpResponse:
    """Hand a request to a simulator as its server would: header names in lower case both ways."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    headers.setdefault("content-length", str(len(request.body)))
    answer = simulator.handle(HttpRequest(request.method, request.url, headers, request.body))
    lower = {name.lower(): value for name, value in answer.headers.items()}
    return HttpResponse(answer.status, lower, answer.body)
