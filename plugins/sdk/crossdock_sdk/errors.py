"""What can go wrong at a carrier, as one vocabulary.

CarrierError
    The carrier answered and the answer is a refusal, or it cannot be understood.
    Its `error_class` decides what the engine does next; `side_effect` says what is known of the
    side effect.
PushRefused
    A push failed verification; nothing in it may be believed.
ManifestError
    A `carrier.toml` is wrong; the message names the key and the remedy.

A plug-in never raises for transport failures: it does not see them. The engine throws them away
above the flow.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec


class ErrorClass(StrEnum):
    """Why a carrier refused.

    One table in the engine says which classes are retried or given to a backup.
    """

    INVALID_REQUEST = "INVALID_REQUEST"
    """The data is wrong and no carrier would take it as it is."""
    AUTH = "AUTH"
    """The merchant's account at this carrier is not accepted (signature, permission, contract)."""
    NOT_FOUND = "NOT_FOUND"
    """The carrier does not know the order or waybill."""
    DUPLICATE = "DUPLICATE"
    """Our reference is already used at the carrier: look it up, never book again."""
    NO_SERVICE = "NO_SERVICE"
    """The carrier does not serve this lane, product or option."""
    CAPACITY = "CAPACITY"
    """The carrier takes no more parcels for now."""
    RATE_LIMITED = "RATE_LIMITED"
    """Too many calls; `retry_after_s` may say how long to wait."""
    BALANCE = "BALANCE"
    """The account has no waybill numbers or money left."""
    TEMPORARY = "TEMPORARY"
    """The carrier's system failed; a side effect may or may not have happened."""
    PERMANENT = "PERMANENT"
    """A final refusal that fits none of the above."""


class SideEffect(StrEnum):
    """What a refusal proves about the side effect that was asked for."""

    NONE = "NONE"
    """Proved: nothing was booked or cancelled."""
    UNKNOWN = "UNKNOWN"
    """Not proved. The engine resolves it by look-up before anything else happens."""


class CarrierError(Exception):
    """A carrier's refusal, ready to be shown: class, the carrier's own code and text, our field if
    known.

    `field` is a path in our words (`recipient.contact.phone`), empty when the carrier does not
    tell. `retry_after_s` is what the carrier asked us to wait, None when it said nothing.
    """

    def __init__(
        self,
        error_class: ErrorClass,
        *,
        code: str = "",
        message: str = "",
        field: str = "",
        retry_after_s: float | None = None,
        side_effect: SideEffect | None = None,
    ) -> None:
        text = f"{error_class}: {message or 'no text'}"
        super().__init__(f"{text} (code {code})" if code else text)
        self.error_class = error_class
        self.code = code
        self.message = message
        self.field = field
        self.retry_after_s = retry_after_s
        # TEMPORARY is the one class that proves nothing by itself.
        self.side_effect = side_effect or (
            SideEffect.UNKNOWN if error_class is ErrorClass.TEMPORARY else SideEffect.NONE
        )


class Code(msgspec.Struct, frozen=True):
    """One row of a carrier's error table.

    `not_executed` marks a TEMPORARY code of which the carrier's document says that nothing was
    done.
    """

    error_class: ErrorClass
    field: str = ""
    not_executed: bool = False


class CodeTable:
    """A carrier's error codes as data.

    An unknown code is TEMPORARY with UNKNOWN effect: never guessed.
    """

    def __init__(self, rows: Mapping[str, Code | ErrorClass]) -> None:
        self.rows = {k: v if isinstance(v, Code) else Code(v) for k, v in rows.items()}

    def error(self, code: str, message: str, *, retry_after_s: float | None = None) -> CarrierError:
        """Build the CarrierError for `code`; `message` is the carrier's own text."""
        row = self.rows.get(code)
        if row is None:
            return CarrierError(ErrorClass.TEMPORARY, code=code, message=message)
        return CarrierError(
            row.error_class,
            code=code,
            message=message,
            field=row.field,
            retry_after_s=retry_after_s,
            side_effect=SideEffect.NONE if row.not_executed else None,
        )


class PushRefused(Exception):
    """A push is not from the carrier or cannot be read.

    `reason` is for logs and never quotes the body.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ManifestError(Exception):
    """A manifest is wrong. The message says which file, which key and what to write instead."""
