"""The base class of every carrier, and what the engine hands to each call.

A carrier implements the operations its manifest lists and leaves the others alone. Each takes a
sequence (at most the manifest's batch size) and returns one outcome per item, in order: one bad
item never fails its batch-mates. Raising CarrierError refuses the whole call. Anything else that
escapes counts as UNKNOWN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import ClassVar

import msgspec

from crossdock_sdk.errors import ManifestError
from crossdock_sdk.flow import Flow
from crossdock_sdk.manifest import Manifest
from crossdock_sdk.models import (
    Booking,
    BookOutcome,
    Cancellation,
    CancelOutcome,
    FindOutcome,
    LabelOutcome,
    LabelRequest,
    Lane,
    QuoteOutcome,
    SortCodeOutcome,
    SortCodeRequest,
)
from crossdock_sdk.push import PushReceipt, PushRequest
from crossdock_sdk.tracking import SubscribeOutcome, TrackOutcome, TrackRequest


class Secret:
    """A value that no repr, log, pickle or JSON shows. `reveal()` is the only way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret text; use it at once and keep it nowhere."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __reduce__(self) -> tuple[type[Secret], tuple[str]]:
        raise TypeError("a Secret is never serialised; pass the account's id instead")


class Account(msgspec.Struct, frozen=True):
    """A merchant's contract with a carrier, as configured.

    Keys are those of the manifest's `[[setting]]`.
    """

    account_id: str
    carrier: str
    base_url: str
    settings: Mapping[str, str] = {}
    secrets: Mapping[str, Secret] = {}

    def setting(self, key: str) -> str:
        """A plain setting, "" when it is optional and not configured."""
        return self.settings.get(key, "")

    def secret(self, key: str) -> str:
        """A secret's text, "" when it is optional and not configured."""
        secret = self.secrets.get(key)
        return secret.reveal() if secret else ""

    def __repr__(self) -> str:
        return f"Account({self.carrier}/{self.account_id})"


class Session(msgspec.Struct, frozen=True):
    """What `sign_in` brought: a token and how long it lives. The engine keeps and refreshes it."""

    token: Secret
    lifetime_s: float


class CallContext(msgspec.Struct, frozen=True):
    """Everything impure a flow may need, given from outside.

    now: aware UTC time of the call. nonce: 32 random hex digits, fresh per call.
    deadline_s: seconds left to the call; a hint only, the engine cuts.
    session: what `sign_in` returned, None for carriers without it.
    """

    account: Account
    now: datetime
    nonce: str
    deadline_s: float = 15.0
    session: Session | None = None


class Carrier:
    """One carrier's wire. Stateless: one instance serves all accounts.

    Subclasses set nothing but methods; the manifest beside the package says which of them exist.
    """

    mapping_version: ClassVar[int] = 1
    """Rises whenever a row of the tracking tables changes; every stored event names the version that mapped it."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        missing = [op for op in manifest.operations if not _overrides(type(self), op)]
        if missing:
            raise ManifestError(
                f"{manifest.code}: carrier.toml lists operations {missing} which "
                f"{type(self).__name__} does not implement; write them or take them off the list"
            )

    def sign_in(self, ctx: CallContext) -> Flow[Session]:
        """Get a token. Only for carriers that need one."""
        raise NotImplementedError

    def quote(self, ctx: CallContext, lanes: Sequence[Lane]) -> Flow[list[QuoteOutcome]]:
        """Price lanes. Books nothing. An unserved lane is CarrierError(NO_SERVICE)."""
        raise NotImplementedError

    def book(self, ctx: CallContext, bookings: Sequence[Booking]) -> Flow[list[BookOutcome]]:
        """Book parcels.

        Refusals must carry the right class; when in doubt TEMPORARY (= unknown).
        """
        raise NotImplementedError

    def find(self, ctx: CallContext, references: Sequence[str]) -> Flow[list[FindOutcome]]:
        """Look bookings up by our reference."""
        raise NotImplementedError

    def find_by_carrier_order(self, ctx: CallContext, carrier_order_ids: Sequence[str]) -> Flow[list[FindOutcome]]:
        """Look bookings up by the carrier's own order id; `reference` tells whose each is."""
        raise NotImplementedError

    def cancel(self, ctx: CallContext, cancellations: Sequence[Cancellation]) -> Flow[list[CancelOutcome]]:
        """Void bookings. "Already cancelled" is success."""
        raise NotImplementedError

    def label(self, ctx: CallContext, requests: Sequence[LabelRequest]) -> Flow[list[LabelOutcome]]:
        """Fetch the carrier's own label files."""
        raise NotImplementedError

    def sort_code(self, ctx: CallContext, requests: Sequence[SortCodeRequest]) -> Flow[list[SortCodeOutcome]]:
        """Routing codes for carriers whose booking answer may lack them."""
        raise NotImplementedError

    def track(self, ctx: CallContext, requests: Sequence[TrackRequest]) -> Flow[list[TrackOutcome]]:
        """All events of the numbers, in any order. "Nothing known yet" is Tracked without events."""
        raise NotImplementedError

    def subscribe(self, ctx: CallContext, requests: Sequence[TrackRequest]) -> Flow[list[SubscribeOutcome]]:
        """Ask the carrier to push events of the numbers. Subscribing twice is success."""
        raise NotImplementedError

    def parse_push(self, account: Account, now: datetime, request: PushRequest) -> PushReceipt:
        """Verify, then read a push. Raises PushRefused before anything is believed."""
        raise NotImplementedError


_METHODS = {"push": "parse_push"}


def _overrides(cls: type[Carrier], operation: str) -> bool:
    name = _METHODS.get(operation, operation)
    return getattr(cls, name, None) is not getattr(Carrier, name, None)
