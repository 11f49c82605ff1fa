"""The tracking half of the store's port: tracks, their events, the news of them, and pushes that were set aside.

The promises of `engine.store.port` hold here too. News has a sequence of its own, gap-free over all tenants.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Protocol

import msgspec

from engine.core.policy.track_records import (
    DeadLetter,
    KeptEvent,
    LoadedTrack,
    NumberedNews,
    TrackNews,
    TrackRecord,
)

CLAIM_LEASE_S = 300.0
"""How long a claimed track is left to whoever claimed it, before it is due again."""


class TrackChange(msgspec.Struct, frozen=True):
    """One step of a track: the track as it shall be, the events that are new, what watchers hear of them.

    `track.version` is the one that was read. Carrier, number and first_seen_time never change. Each news is about one
    of `events`, or about an alert that `track` has (raised) or has no more (resolved); an event need not make news.
    all_new: `track` was worked out without looking at the events that are held; should one of `events` be among them,
    the step is refused as Stale.
    """

    track: TrackRecord
    events: tuple[KeptEvent, ...] = ()
    news: tuple[TrackNews, ...] = ()
    all_new: bool = False


class TrackStore(Protocol):
    """Part of `engine.store.port.Store`; see there for what every method promises."""

    async def open_track(self, track: TrackRecord) -> TrackRecord:
        """Begin to follow a number, unless the tenant has a track of (carrier, number) that is not retired.

        Returns the track that is followed: the new one, or the one that was there, as it is now.
        """
        ...

    async def get_track(self, tenant: str, track_id: str) -> LoadedTrack | None:
        """One track with its events, None when this tenant has none by that id."""
        ...

    async def find_track(self, tenant: str, carrier: str, waybill_number: str) -> LoadedTrack | None:
        """The newest track of a number (by first_seen_time), retired or not."""
        ...

    async def find_tracks_by_number(self, carrier: str, account_id: str, waybill_number: str) -> list[TrackRecord]:
        """For pushes: the newest track of a number of every tenant that follows it at this account, without events.

        Retired or not, ascending by tenant.
        """
        ...

    async def track_of_order(self, tenant: str, order_id: str) -> LoadedTrack | None:
        """The newest track that belongs to an order."""
        ...

    async def commit_track(self, change: TrackChange) -> TrackRecord:
        """Write one step; returns the track with its new version. Raises Stale when the version moved on.

        An event whose fingerprint the track holds already is left out, and so is its news: the last barrier against
        repeats, behind the policy's own. With `all_new` the whole step is Stale then.
        """
        ...

    async def claim_due_tracks(self, now: datetime, *, limit: int, lease_s: float = CLAIM_LEASE_S) -> list[TrackRecord]:
        """Take tracks with next_poll_time <= now, oldest first, and put that time off by `lease_s` from now.

        So nobody else gets them meanwhile, and a claim that is never answered is due again. Versions stay. Retired
        tracks are never due. A track that cannot be read is told in the log and looked at again in an hour; it holds
        up no other.
        """
        ...

    async def claim_due_checks(self, now: datetime, *, limit: int, lease_s: float = CLAIM_LEASE_S) -> list[TrackRecord]:
        """Take tracks with next_check_time <= now, as `claim_due_tracks` takes those to be asked about."""
        ...

    async def recheck_tracks(self, now: datetime) -> int:
        """Make every track that is not retired due for a check at `now`; returns how many. Versions stay.

        For rules that changed. Goes in slices, as `purge` does.
        """
        ...

    async def count_stalled(self) -> dict[str, int]:
        """Parcels with an open alert by rule, over all tenants; rules without any are left out."""
        ...

    async def news_after(self, tenant: str, sequence: int, *, limit: int) -> list[NumberedNews]:
        """News of a tenant with a greater sequence, ascending."""
        ...

    async def first_news_sequence(self) -> int:
        """Sequence of the oldest news still kept (0 when none): older cursors have expired."""
        ...

    async def last_news_sequence(self) -> int:
        """Sequence of the newest news ever committed, purged or not; 0 when none."""
        ...

    async def purge_news(self, *, before: datetime) -> int:
        """Drop news received before a time, oldest first up to the first young one; returns how many.

        The events themselves stay. Goes in slices, as `purge` does.
        """
        ...

    def on_news(self, listener: Callable[[Collection[NumberedNews]], None]) -> None:
        """Call `listener` in the event loop with the news of every commit, in sequence order.

        It hears them before the callers of that commit go on. What it raises is only logged.
        """
        ...

    async def put_dead_letter(self, letter: DeadLetter) -> None:
        """Keep a push that could not be applied; the last one under a letter_id wins."""
        ...

    async def get_dead_letter(self, letter_id: str) -> DeadLetter | None:
        """A kept push."""
        ...

    async def list_dead_letters(self, *, after: str, limit: int) -> list[DeadLetter]:
        """Kept pushes by ascending letter_id, those greater than `after` ("" = from the start)."""
        ...

    async def delete_dead_letter(self, letter_id: str) -> bool:
        """Drop one; False when there was none."""
        ...

    async def count_dead_letters(self) -> int:
        """How many wait for somebody (for metrics)."""
        ...
