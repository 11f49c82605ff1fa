"""What becomes of rows that cannot be read, being damaged or from a later version: they hold up no other.

A claim is committed before its rows are decoded. Were it dropped for one that cannot be, all of them would come due
again at the very same moment, together with that one, for ever. So it is told, left out, and put off.
"""

from __future__ import annotations

import logging

from engine.store.port import StoreError
from engine.store.sqlite import writes
from engine.store.sqlite.rows import Broken
from engine.store.sqlite.writer import Writer

BROKEN_AGAIN_US = 3_600_000_000
"""What cannot be read is looked at once an hour: a backup may have been restored meanwhile."""
_log = logging.getLogger("crossdock.store")


def tell_left_out(kind: str, broken: Broken) -> None:
    """Name in the log what is left out. `kind`: what it is, for a reader."""
    for row_id, error in broken.items():
        _log.error("store: %s %s is left out: %s", kind, row_id, error)


async def put_off_broken(writer: Writer, sql: str, kind: str, broken: Broken, now_us: int) -> None:
    """Tell of what a claim found and cannot read, and let it be due again in an hour.

    `sql`: `put_off_order` or one of its kin.
    """
    if not broken:
        return
    tell_left_out(kind, broken)
    later_us, ids = now_us + BROKEN_AGAIN_US, tuple(broken)
    try:
        await writer.run(lambda tx: writes.put_off(tx, sql, ids, later_us))
    except StoreError as error:
        # The others are claimed by now: they have to reach whoever claimed them.
        _log.error("store: what cannot be read will be due before its hour: %s", error)
