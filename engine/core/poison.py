"""Messages that end the process that handles them: counted over restarts, and set aside before they end one more.

Whatever is in hand when a process is killed is suspected, the innocent beside the guilty. Being handled without an
end clears a suspect, so that only what ends one process after another is ever given up.
"""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from crossdock_sdk import PushRequest
from engine.store.in_hand import MARK_BYTES, InHand
from engine.store.port import Store

STATE_KEY = "suspects"
MOST_ENDS = 5
"""Processes that one message may end."""
MOST_SUSPECTS = 1024
"""More than are ever in hand at once; the oldest go first."""

_decode = msgspec.msgpack.Decoder(dict[bytes, int]).decode


class Poison:
    """Suspects, and what is in hand. `recall` before anything else."""

    def __init__(self, store: Store, in_hand: InHand) -> None:
        self._store = store
        self._in_hand = in_hand
        self._ends: dict[bytes, int] = {}

    async def recall(self) -> None:
        """Suspect what the process before this one left in hand, once more than before."""
        kept = await self._store.get_state(STATE_KEY)
        self._ends = _decode(kept) if kept else {}
        for mark in self._in_hand.left:
            self._ends[mark] = self._ends.pop(mark, 0) + 1
        for mark in list(self._ends)[:-MOST_SUSPECTS]:
            del self._ends[mark]
        if self._in_hand.left:
            await self._keep()
        self._in_hand.forget_left()

    def ends(self, mark: bytes) -> int:
        """Processes that ended with this message in hand."""
        return self._ends.get(mark, 0)

    def take(self, mark: bytes) -> int:
        """The message is about to be handled; give the result to `put_down`."""
        return self._in_hand.take(mark)

    def put_down(self, place: int) -> None:
        """The message was handled and the process is still here; `clear` it if it was a suspect."""
        self._in_hand.put_down(place)

    async def clear(self, mark: bytes) -> None:
        """Suspect this message no longer."""
        if self._ends.pop(mark, None) is not None:
            await self._keep()

    async def _keep(self) -> None:
        await self._store.put_state(STATE_KEY, msgspec.msgpack.encode(self._ends))


def mark_of(account_id: str, push: PushRequest) -> bytes:
    """What a push is known by: the same when the carrier sends it again, whatever its headers say."""
    place = f"{account_id}\0{push.path}\0{push.query}\0".encode()
    return blake2b(place + push.body, digest_size=MARK_BYTES).digest()
