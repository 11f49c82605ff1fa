"""Tracks, events, news and dead letters to rows and back; see `rows` for the rules.

A track's changing part, every event and every set-aside push are sealed: they hold names, phones and signatures.
News hold none: they point at their event.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any

import msgspec

from crossdock_sdk.tracking import Milestone, TrackEvent, TrackStatus
from engine.core.policy.track_records import (
    DeadLetter,
    KeptEvent,
    LoadedTrack,
    NumberedNews,
    StallAlert,
    TrackNews,
    TrackRecord,
    TrackSource,
)
from engine.store.codec import Codec
from engine.store.rules import stalled_by, to_us
from engine.store.sqlite.rows import Row, from_us, read_body, read_word

TRACK, TRACK_EVENT, DEAD_LETTER = "tracks.live", "track_events.body", "dead_letters.body"
NEWS = "track_news.body"
EVENT = 13
"""Where an event's fingerprint stands in a row of get_track and its kin; its body comes next."""
NO_TENANT = ""
"""A push that could not be applied belongs to an account, not to a tenant: the engine's own key seals it."""


class TrackLive(msgspec.Struct, frozen=True):
    """The part of a track that its steps change and no query asks for."""

    phone_tail: str = ""
    milestone: Milestone = Milestone.NONE
    status_time: datetime | None = None
    last_event_time: datetime | None = None
    observed_time: datetime | None = None
    pushed_time: datetime | None = None
    source: TrackSource | None = None
    event_count: int = 0
    unknown_count: int = 0
    failed_polls: int = 0
    final_polls: int = 0
    subscribed: bool = False
    polled_time: datetime | None = None
    alerts: tuple[StallAlert, ...] = ()


class EventBody(msgspec.Struct, frozen=True):
    """A kept event without its fingerprint, which has a column."""

    event: TrackEvent
    received_time: datetime
    source: TrackSource
    mapping_version: int


class NewsBody(msgspec.Struct, frozen=True):
    """News without its event, and without what has a column. An alert holds nothing personal and stands here."""

    carrier: str
    waybill_number: str
    order_id: str
    source: TrackSource | None
    status: TrackStatus | None
    milestone: Milestone
    status_changed: bool
    received_time: datetime
    alert: StallAlert | None = None


class LetterBody(msgspec.Struct, frozen=True):
    """The part of a dead letter that no query asks for."""

    cause: str
    headers: dict[str, str]
    body: bytes
    path: str = ""
    query: str = ""


class NewsRow(msgspec.Struct, frozen=True):
    """News ready for the writer, which adds the sequence number."""

    news: TrackNews
    fingerprint: bytes | None
    row: tuple[str, str, bytes | None, int, bytes]


_encode = msgspec.msgpack.Encoder().encode
_decode_live = msgspec.msgpack.Decoder(TrackLive).decode
_decode_event = msgspec.msgpack.Decoder(EventBody).decode
_decode_news = msgspec.msgpack.Decoder(NewsBody).decode
_decode_letter = msgspec.msgpack.Decoder(LetterBody).decode
_live_fields = attrgetter(*TrackLive.__struct_fields__)
_news_fields = attrgetter(*NewsBody.__struct_fields__)


class TrackRows:
    """Encodes and decodes with one codec. Decoding raises StoreError when a body cannot be read."""

    def __init__(self, codec: Codec) -> None:
        self._seal = codec.seal
        self._open = codec.open

    def new_track(self, track: TrackRecord) -> Row:
        """Parameters of insert_track."""
        return (
            track.track_id,
            track.tenant,
            track.carrier,
            track.account_id,
            track.waybill_number,
            track.order_id,
            to_us(track.first_seen_time, "first_seen_time"),
            *_changing(track),
            track.version,
            self._live(track),
        )

    def step(self, track: TrackRecord) -> Row:
        """Parameters of update_track."""
        head = (track.track_id, track.tenant, track.version, track.account_id, track.order_id)
        return (*head, *_changing(track), self._live(track))

    def events(self, track: TrackRecord, events: Iterable[KeptEvent]) -> list[tuple[bytes, int, bytes]]:
        """Fingerprint, time and body: what insert_track_event takes behind track and number."""
        return [
            (
                kept.fingerprint,
                to_us(kept.event.time, "time"),
                self._seal(
                    track.tenant,
                    TRACK_EVENT,
                    _event_id(track.track_id, kept.fingerprint),
                    _encode(EventBody(kept.event, kept.received_time, kept.source, kept.mapping_version)),
                ),
            )
            for kept in events
        ]

    def news(self, news: Iterable[TrackNews], fingerprints: Iterable[bytes | None]) -> list[NewsRow]:
        """What Transaction.add_news takes."""
        rows = []
        for one, mark in zip(news, fingerprints, strict=True):
            body = _encode(NewsBody(*_news_fields(one)))
            received_us = to_us(one.received_time, "received_time")
            rows.append(NewsRow(one, mark, (one.tenant, one.track_id, mark, received_us, body)))
        return rows

    def dead_letter(self, letter: DeadLetter) -> Row:
        """Parameters of put_dead_letter."""
        body = _encode(LetterBody(letter.cause, letter.headers, letter.body, letter.path, letter.query))
        return (
            letter.letter_id,
            letter.account_id,
            to_us(letter.received_time, "received_time"),
            letter.attempts,
            self._seal(NO_TENANT, DEAD_LETTER, letter.letter_id, body),
        )

    def read_tracks(self, rows: Iterable[Sequence[Any]]) -> Iterator[LoadedTrack]:
        """Tracks out of rows of get_track and its kin: a row an event, adjacent by track."""
        for _, same_track in groupby(rows, key=itemgetter(0)):
            first, *more = same_track
            kept = [
                self._kept(row[1], row[0], *row[EVENT : EVENT + 2]) for row in (first, *more) if row[EVENT] is not None
            ]
            kept.sort(key=lambda one: one.event.time)
            yield LoadedTrack(self.read_track(first), tuple(kept))

    def read_loaded(self, row: Sequence[Any], events: Iterable[tuple[bytes, bytes]]) -> LoadedTrack:
        """A track out of its row, and of its events' fingerprints and bodies in the order of arrival."""
        track_id, tenant = row[:2]
        kept = [self._kept(tenant, track_id, mark, body) for mark, body in events]
        kept.sort(key=lambda one: one.event.time)
        return LoadedTrack(self.read_track(row), tuple(kept))

    def read_track(self, row: Sequence[Any]) -> TrackRecord:
        """A track out of the first columns of such a row."""
        track_id, tenant, carrier, account_id, waybill_number, order_id, first_seen_us = row[:7]
        status, next_poll_us, retired, version, sealed, next_check_us = row[7:13]
        live = read_body(_decode_live, self._open(tenant, TRACK, track_id, sealed), TRACK, track_id)
        return TrackRecord(
            track_id=track_id,
            tenant=tenant,
            carrier=carrier,
            account_id=account_id,
            waybill_number=waybill_number,
            first_seen_time=from_us(first_seen_us),
            order_id=order_id,
            status=None if status is None else read_word(TrackStatus, status, "tracks.status", track_id),
            next_poll_time=None if next_poll_us is None else from_us(next_poll_us),
            next_check_time=None if next_check_us is None else from_us(next_check_us),
            retired=bool(retired),
            version=version,
            **msgspec.structs.asdict(live),
        )

    def read_news(self, tenant: str, row: tuple[int, str, bytes | None, bytes, bytes | None]) -> NumberedNews:
        """Committed news out of a row of news_after."""
        sequence, track_id, mark, news_body, event_body = row
        news = read_body(_decode_news, news_body, NEWS, str(sequence))
        event = None
        if mark is not None and event_body is not None:
            event = self._open_event(tenant, track_id, mark, event_body).event
        return NumberedNews(
            sequence, TrackNews(tenant=tenant, track_id=track_id, event=event, **msgspec.structs.asdict(news))
        )

    def read_dead_letter(self, row: tuple[str, str, int, int, bytes]) -> DeadLetter:
        """A kept push out of a row of get_dead_letter."""
        letter_id, account_id, received_us, attempts, sealed = row
        opened = self._open(NO_TENANT, DEAD_LETTER, letter_id, sealed)
        body = read_body(_decode_letter, opened, DEAD_LETTER, letter_id)
        return DeadLetter(
            letter_id=letter_id,
            account_id=account_id,
            received_time=from_us(received_us),
            attempts=attempts,
            **msgspec.structs.asdict(body),
        )

    def _live(self, track: TrackRecord) -> bytes:
        live = TrackLive(*_live_fields(track))
        return self._seal(track.tenant, TRACK, track.track_id, _encode(live))

    def _kept(self, tenant: str, track_id: str, mark: bytes, sealed: bytes) -> KeptEvent:
        kept = self._open_event(tenant, track_id, mark, sealed)
        return KeptEvent(mark, kept.event, kept.received_time, kept.source, kept.mapping_version)

    def _open_event(self, tenant: str, track_id: str, mark: bytes, sealed: bytes) -> EventBody:
        row_id = _event_id(track_id, mark)
        return read_body(_decode_event, self._open(tenant, TRACK_EVENT, row_id, sealed), TRACK_EVENT, row_id)


def _changing(track: TrackRecord) -> tuple[str | None, int | None, int, int | None, str]:
    next_poll_us = None if track.next_poll_time is None else to_us(track.next_poll_time, "next_poll_time")
    next_check_us = None if track.next_check_time is None else to_us(track.next_check_time, "next_check_time")
    status = track.status.value if track.status else None
    return (status, next_poll_us, int(track.retired), next_check_us, stalled_by(track))


def _event_id(track_id: str, fingerprint: bytes) -> str:
    return f"{track_id}/{fingerprint.hex()}"
