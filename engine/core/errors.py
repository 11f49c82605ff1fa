"""What a caller may have done wrong or run into, before any carrier is asked. The API maps them one to one.

UseCaseError
    OrderInvalid            fields are wrong; all violations
    NoEligibleCarrier       no configured carrier can take it; why, candidate by candidate
    KeyReused               an idempotency key was used with another body
    OrderNotFound
    OrderNotBooked
    OrderNotCancellable
    Overloaded              come back after `retry_after_s`
    CursorInvalid, CursorExpired
    WatcherTooSlow          resume from its cursor
    PageTokenInvalid
    TrackNotFound, PushNotGenuine
    ReturnNotFound, ReturnInvalid, ReturnStateWrong
    LabelUnavailable        a label cannot be made
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.core.policy.fields import FieldViolation
from engine.core.policy.records import OrderRecord, OrderState
from engine.core.policy.return_records import ReturnRecord
from engine.core.policy.routing import Considered


class UseCaseError(Exception):
    """Base. The message is for people and says what to do."""


class OrderInvalid(UseCaseError):
    """Fields of the order are wrong. Nothing was stored."""

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        super().__init__("; ".join(map(str, violations)))
        self.violations = tuple(violations)


class NoEligibleCarrier(UseCaseError):
    """No configured carrier can take the order. Nothing was stored. `field` is what none of them can serve."""

    def __init__(self, considered: Sequence[Considered], field: str = "") -> None:
        why = " | ".join(f"{c.candidate.account_id}: {', '.join(c.exclusions)}" for c in considered)
        self.problem = f"no configured carrier can take this order ({why or 'no account is configured'})"
        self.remedy = "change the order, or add an account or carrier that can"
        super().__init__(f"{self.problem}; {self.remedy}")
        self.considered = tuple(considered)
        self.field = field


class KeyReused(UseCaseError):
    """`request_id` or the reference was used before with another body. `what` holds it: an order, a return."""

    def __init__(self, key: str, what: str, held_id: str, state: str) -> None:
        super().__init__(
            f"{key} was used before for another {what} ({held_id}, {state}); "
            f"use a new value, or repeat the first request unchanged to get that {what}"
        )
        self.key = key
        self.what = what
        self.held_id = held_id


class OrderNotFound(UseCaseError):
    """The tenant has no such order. `by`: what it was looked for by, id or reference."""

    def __init__(self, key: str, by: str = "id") -> None:
        super().__init__(f"there is no order {key}; check the {by}" if key else f"the {by} is empty; name an order")
        self.key = key


class OrderNotBooked(UseCaseError):
    """The order has no waybill (yet, or any more), which `what` needs."""

    def __init__(self, order: OrderRecord, what: str = "labels") -> None:
        remedy = "watch it or get it again"
        if order.state in (OrderState.CANCELLED, OrderState.FAILED):
            remedy = "it will not be booked any more: create another order"
        super().__init__(f"order {order.order_id} is {order.state}, {what} need BOOKED; {remedy}")
        self.order_id = order.order_id
        self.state = order.state


class OrderNotCancellable(UseCaseError):
    """The order cannot be cancelled, or not before a person has reviewed it."""

    def __init__(self, order: OrderRecord) -> None:
        failure = order.failure
        text = f"{failure.message}; {failure.remedy}" if failure else f"it is {order.state}"
        super().__init__(f"order {order.order_id} cannot be cancelled: {text}")
        self.order = order


class Overloaded(UseCaseError):
    """The engine takes no more work for now; nothing was stored."""

    def __init__(self, retry_after_s: float, why: str = "is at its limit of open bookings") -> None:
        super().__init__(f"the engine {why}; try again in {retry_after_s:g} s")
        self.retry_after_s = retry_after_s


class CursorInvalid(UseCaseError):
    """The cursor was not given by this engine."""

    def __init__(self) -> None:
        super().__init__("the cursor was not given by this engine; use one from a former message, or leave it empty")


class CursorExpired(UseCaseError):
    """Events so old are gone."""

    def __init__(self, oldest: int) -> None:
        super().__init__(
            f"events before cursor {oldest} are gone; start with cursor 0 and read orders you miss with ListOrders"
        )
        self.oldest = oldest


class WatcherTooSlow(UseCaseError):
    """A watcher took nothing for too long and was cut; it resumes from `cursor`."""

    def __init__(self, cursor: str) -> None:
        super().__init__(f"the watch was not read for too long and was ended; resume with cursor {cursor or '(none)'}")
        self.cursor = cursor


class PageTokenInvalid(UseCaseError):
    """The page token was not given by this listing."""

    def __init__(self) -> None:
        super().__init__("page_token was not given by this listing; start again without it")


class TrackNotFound(UseCaseError):
    """Nobody follows the parcel, and its carrier cannot be asked. `field` is what makes that so, where it is known."""

    def __init__(self, key: str, problem: str = "", remedy: str = "", *, field: str = "") -> None:
        self.problem = problem or f"nothing is known of {key}"
        self.remedy = remedy or "check the carrier code and the number"
        super().__init__(f"{self.problem}; {self.remedy}")
        self.key = key
        self.field = field


class PushNotGenuine(UseCaseError):
    """A push that a caller passed on is not from the carrier."""

    def __init__(self, account_id: str, reason: str) -> None:
        super().__init__(f"the push for account {account_id} was refused: {reason}; pass it on byte for byte")
        self.account_id = account_id


class ReturnNotFound(UseCaseError):
    """The tenant has no such return."""

    def __init__(self, return_id: str) -> None:
        super().__init__(f"there is no return {return_id}; check the id, or list the returns of its order")
        self.return_id = return_id


class ReturnInvalid(UseCaseError):
    """What is to come back is not what was sent. Nothing was stored."""

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        super().__init__("; ".join(map(str, violations)))
        self.violations = tuple(violations)


class ReturnStateWrong(UseCaseError):
    """The return stands where this cannot be done with it."""

    def __init__(self, record: ReturnRecord, done: str, possible: Sequence[str]) -> None:
        super().__init__(
            f"return {record.return_id} is {record.state} and cannot be {done}; that is possible while it is "
            f"{' or '.join(possible)}"
        )
        self.record = record


class LabelUnavailable(UseCaseError):
    """A label cannot be printed: which field, and what to do."""

    def __init__(self, message: str, remedy: str, *, field: str = "", character: str = "") -> None:
        super().__init__(f"{message}; {remedy}")
        self.message = message
        self.remedy = remedy
        self.field = field
        self.character = character
