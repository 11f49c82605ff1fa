"""The half of the store's port that keeps returns. The promises of `engine.store.port` hold here too."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from engine.core.policy.records import NewEvent
from engine.core.policy.return_records import ReturnReason, ReturnRecord, ReturnState, ReturnStep
from engine.store.track_port import CLAIM_LEASE_S


class ReturnKey(msgspec.Struct, frozen=True):
    """The key of one creation, "" for none; `body_hash` digests what was asked for."""

    request_id: str
    body_hash: bytes


class OpenedReturn(msgspec.Struct, frozen=True):
    """`record` is the new return, or the one that holds the key. `replayed`: it does, with the same body;
    `key_reused`: it does, with another.
    """

    record: ReturnRecord
    replayed: bool = False
    key_reused: bool = False


class ReturnFilter(msgspec.Struct, frozen=True):
    """Narrows a listing. Empty fields match everything."""

    states: tuple[ReturnState, ...] = ()
    reasons: tuple[ReturnReason, ...] = ()
    order_id: str = ""


class ReturnStore(Protocol):
    """Part of `engine.store.port.Store`; see there for what every method promises."""

    async def open_return(
        self, record: ReturnRecord, events: Sequence[NewEvent], key: ReturnKey, *, others: int
    ) -> OpenedReturn:
        """Create a return, unless its key is taken.

        others: returns of its order that were seen. Raises Stale when there are more by now: what was free to send
        back may not be any more. Keys of a tenant never meet those of another.
        """
        ...

    async def return_by_key(self, tenant: str, key: ReturnKey) -> OpenedReturn | None:
        """The return that holds the key's request_id, None when none does or the key is empty."""
        ...

    async def commit_return(self, step: ReturnStep) -> ReturnRecord:
        """Write one step; returns the record with its new version. Raises Stale when the version moved on.

        Wish, items and create_time never change.
        """
        ...

    async def get_return(self, tenant: str, return_id: str) -> ReturnRecord | None:
        """One return, None when this tenant has none by that id."""
        ...

    async def returns_of_order(self, tenant: str, order_id: str) -> list[ReturnRecord]:
        """All returns of an order, by ascending id."""
        ...

    async def list_returns(
        self, tenant: str, return_filter: ReturnFilter, *, after: str, limit: int, whole: bool = False
    ) -> list[ReturnRecord]:
        """Returns by ascending return_id, those greater than `after` ("" = from the start).

        One that cannot be read is told in the log and left out; it holds up no other. For people, who would miss it
        unawares, the listing has to be `whole`: it raises StoreError then, as `list_orders` does.
        """
        ...

    async def claim_due_returns(
        self, now: datetime, *, limit: int, lease_s: float = CLAIM_LEASE_S
    ) -> list[ReturnRecord]:
        """Take returns with due_time <= now, oldest first, and put that time off by `lease_s` from now.

        So nobody else gets them meanwhile, and a claim that is never answered is due again. Versions stay. A return
        that cannot be read is told in the log and looked at again in an hour; it holds up no other.
        """
        ...

    async def count_returns(self) -> dict[ReturnState, int]:
        """Returns per state over all tenants (for metrics); states without returns are left out."""
        ...
