"""Page tokens: where a listing goes on, bound to the filter it was begun with."""

from __future__ import annotations

import hashlib

import msgspec

from engine.core.errors import PageTokenInvalid

DEFAULT_PAGE = 50
LARGEST_PAGE = 500
ID_LENGTH = 36
_encode = msgspec.msgpack.Encoder(order="deterministic").encode


def page_of(page_size: int) -> int:
    """Items of a page; 0 means the default, more than the largest the largest."""
    return min(page_size or DEFAULT_PAGE, LARGEST_PAGE)


def write_token(last_id: str, narrowed_by: msgspec.Struct) -> str:
    """The token of the page after the item with this id."""
    return f"{last_id}.{_digest(narrowed_by)}"


def read_token(token: str, narrowed_by: msgspec.Struct) -> str:
    """The id after which the page begins, "" for the first page. Raises PageTokenInvalid."""
    if not token:
        return ""
    last_id, _, digest = token.rpartition(".")
    if len(last_id) != ID_LENGTH or digest != _digest(narrowed_by):
        raise PageTokenInvalid
    return last_id


def _digest(narrowed_by: msgspec.Struct) -> str:
    return hashlib.blake2b(_encode(narrowed_by), digest_size=6).hexdigest()
