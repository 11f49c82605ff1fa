"""Rows that cannot be read, being damaged or from a later version: no other waits for them.

Here those of parcels to be asked about, of parcels to be checked, and of returns; of orders in `test_store_sqlite`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, cast

import apsw
import pytest

from engine.core.policy.return_records import ReturnReason, ReturnRecord, ReturnState, ReturnWish
from engine.core.returns import Returns
from engine.store.codec import AesGcmCodec, PlainCodec
from engine.store.port import StoreError
from engine.store.return_port import ReturnFilter, ReturnKey
from engine.store.sqlite import SqliteStore
from tests.fakes import rows

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)
ALL = ReturnFilter()


class Due(NamedTuple):
    """Rows that come due: how one is put, what claims them, where its id stands, how a cell of it is written over."""

    put: Callable[[SqliteStore, Any, str], Awaitable[object]]
    claim: Callable[[SqliteStore, datetime], Awaitable[list[Any]]]
    id_field: str
    body: str
    overwrite: str


async def put_track(store: SqliteStore, make: Any, track_id: str) -> None:
    """A parcel that is to be asked about and checked now."""
    track = make.track(track_id, waybill_number=track_id, next_poll_time=make.now, next_check_time=make.now)
    await store.open_track(track)


async def put_return(store: SqliteStore, make: Any, return_id: str) -> None:
    """A return of an order of its own that is to be looked at now."""
    order = await make.accepted(store, f"o-{return_id}")
    wish = ReturnWish(order.order_id, ReturnReason.DAMAGED)
    record = rows.a_return(ReturnState.BOOKED, return_id=return_id, wish=wish, due_time=make.now)
    await store.open_return(record, (), ReturnKey("", b"body"), others=0)


TRACK_BODY = ("track_id", "SELECT live FROM tracks WHERE track_id = ?", "UPDATE tracks SET live = ? WHERE track_id = ?")
RETURN_BODY = (
    "return_id",
    "SELECT body FROM returns WHERE return_id = ?",
    "UPDATE returns SET body = ? WHERE return_id = ?",
)
POLLS = Due(put_track, lambda store, now: store.claim_due_tracks(now, limit=100), *TRACK_BODY)
CHECKS = Due(put_track, lambda store, now: store.claim_due_checks(now, limit=100, lease_s=30.0), *TRACK_BODY)
RETURNS = Due(put_return, lambda store, now: store.claim_due_returns(now, limit=100), *RETURN_BODY)
every_kind = pytest.mark.parametrize("due", [POLLS, CHECKS, RETURNS], ids=["polls", "checks", "returns"])


async def filled(path: Path, make: Any, due: Due, *row_ids: str, codec: Any = None) -> None:
    """A closed file with these rows."""
    store = await SqliteStore.open(path, codec=codec)
    for row_id in row_ids:
        await due.put(store, make, row_id)
    await store.aclose()


def run(path: Path, sql: str, *cells: bytes | str) -> Any:
    """Run one statement on a file beside the store; the only cell of its answer, if any."""
    connection = apsw.Connection(str(path))
    try:
        return connection.execute(sql, cells).get
    finally:
        connection.close()


def overwrite(path: Path, due: Due, row_id: str, body: bytes) -> bytes:
    """Give a row another body; what it had."""
    before = run(path, due.body, row_id)
    run(path, due.overwrite, body, row_id)
    return bytes(before)


def ids(due: Due, claimed: list[Any]) -> list[str]:
    """What was claimed."""
    return [getattr(record, due.id_field) for record in claimed]


@every_kind
@pytest.mark.parametrize("sealed", [False, True], ids=["later version", "damaged seal"])
async def test_what_cannot_be_read_holds_up_no_other(
    tmp_path: Path, make: Any, caplog: Any, due: Due, sealed: bool
) -> None:
    """The others are claimed, turn after turn; it is told in the log and looked at again in an hour."""
    path, codec = tmp_path / "store.db", AesGcmCodec(make.master_key) if sealed else PlainCodec()
    await filled(path, make, due, "x1", "x2", "x3", codec=codec)
    before = overwrite(path, due, "x2", b"\x01" * 64 if sealed else b"\x00")

    store = await SqliteStore.open(path, codec=codec)
    turns = [await due.claim(store, make.now + timedelta(minutes=minutes)) for minutes in (0, 30, 59)]
    told = caplog.text.count("x2 is left out")
    await store.aclose()
    overwrite(path, due, "x2", before)
    store = await SqliteStore.open(path, codec=codec)
    mended = await due.claim(store, make.now + HOUR)
    await store.aclose()

    assert [ids(due, claimed) for claimed in turns] == [["x1", "x3"]] * 3
    assert told == 1
    assert "x2" in ids(due, mended)


@every_kind
async def test_what_cannot_be_put_off_holds_up_no_other_either(
    tmp_path: Path, make: Any, caplog: Any, due: Due
) -> None:
    """Whoever claimed the others gets them, although the disk took no more."""
    path = tmp_path / "store.db"
    await filled(path, make, due, "x1", "x2")
    overwrite(path, due, "x1", b"\x00")
    store = await SqliteStore.open(path)
    rolled_back = iter((False, True))
    store._writer._connection.set_commit_hook(lambda: next(rolled_back))

    claimed = await due.claim(store, make.now)
    store._writer._connection.set_commit_hook(None)
    await store.aclose()

    assert ids(due, claimed) == ["x2"]
    assert "due before its hour: nothing was stored" in caplog.text


async def test_a_status_of_a_later_version_holds_up_no_other(tmp_path: Path, make: Any, caplog: Any) -> None:
    """A word that this version does not know is as unreadable as a body."""
    path = tmp_path / "store.db"
    await filled(path, make, POLLS, "x1", "x2")
    run(path, "UPDATE tracks SET status = 'TELEPORTED' WHERE track_id = 'x1'")

    store = await SqliteStore.open(path)
    claimed = await POLLS.claim(store, make.now)
    await store.aclose()

    assert ids(POLLS, claimed) == ["x2"]
    assert "tracks.status of x1 cannot be read" in caplog.text


async def test_states_of_a_later_version_are_a_stores_refusal(tmp_path: Path, make: Any) -> None:
    """Of an order that is read and of rows that are counted: callers know what to do about a StoreError."""
    path = tmp_path / "store.db"
    await filled(path, make, RETURNS, "x1")
    run(path, "UPDATE orders SET state = 'MELTED'")
    run(path, "UPDATE returns SET state = 'MELTED'")

    store = await SqliteStore.open(path)
    for ask in (store.get_order("acme", "o-x1"), store.count_by_state(), store.count_returns()):
        with pytest.raises(StoreError, match=r"\.state of .+ cannot be read"):
            await ask
    await store.aclose()


async def pages(store: SqliteStore, size: int) -> list[list[str]]:
    """All returns as they are taken up at the start: page by page, behind the last one's last, until there is none."""
    found: list[list[str]] = []
    page: list[ReturnRecord] = []
    while page := await store.list_returns("acme", ALL, after=page[-1].return_id if page else "", limit=size):
        found.append(ids(RETURNS, page))
    return found


async def test_a_return_that_cannot_be_read_keeps_no_other_from_being_taken_up(
    tmp_path: Path, make: Any, caplog: Any
) -> None:
    """Pages stay full until the last one, so that nobody stops before the end; each one left out is named."""
    path = tmp_path / "store.db"
    await filled(path, make, RETURNS, "x1", "x2", "x3", "x4", "x5", "x6")
    broken = ["x2", "x3", "x4", "x6"]
    for row_id in broken:
        overwrite(path, RETURNS, row_id, b"\x00")

    store = await SqliteStore.open(path)
    found = [await pages(store, size) for size in (1, 2, 10)]
    none = await store.list_returns("acme", ALL, after="", limit=0)
    await store.aclose()

    assert found == [[["x1"], ["x5"]], [["x1", "x5"]], [["x1", "x5"]]]
    assert none == []
    assert [row_id for row_id in broken if f"return {row_id} is left out" in caplog.text] == broken


async def test_a_listing_for_people_leaves_nothing_out_unawares(tmp_path: Path, make: Any) -> None:
    """As one of orders it is refused, naming the row, instead of being answered without it."""
    path, nobody = tmp_path / "store.db", cast(Any, None)
    await filled(path, make, RETURNS, "x1", "x2")
    store = await SqliteStore.open(path)
    service = Returns(store=store, orders=nobody, returning=nobody, rules=nobody, clock=nobody, observer=nobody)

    listed, token = await service.page("acme", ALL, page_size=10, page_token="")
    overwrite(path, RETURNS, "x2", b"\x00")
    with pytest.raises(StoreError, match=r"returns\.body of x2 cannot be read"):
        await service.page("acme", ALL, page_size=10, page_token="")
    await store.aclose()

    assert (ids(RETURNS, listed), token) == (["x1", "x2"], "")
