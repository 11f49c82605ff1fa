"""The codec of personal data."""

from __future__ import annotations

from typing import Any

import pytest

from engine.store.codec import AesGcmCodec, PlainCodec, SealBroken
from engine.store.port import StoreError

KEY, OTHER_KEY = bytes(32), bytes([1]) * 32
PLACE = ("acme", "orders.draft", "o1")


def test_sealed_value_opens_at_its_place() -> None:
    """What was sealed comes back, and the seal shows nothing of it."""
    codec = AesGcmCodec(KEY)

    sealed = codec.seal(*PLACE, "欧阳小满".encode())

    assert codec.open(*PLACE, sealed).decode() == "欧阳小满"
    assert "欧阳".encode() not in sealed


def test_equal_values_seal_differently() -> None:
    """Two seals of one value do not betray that it is the same."""
    codec = AesGcmCodec(KEY)

    assert codec.seal(*PLACE, b"same") != codec.seal(*PLACE, b"same")


@pytest.mark.parametrize("position", range(1 + 12 + 4 + 16))
def test_flipped_byte_is_refused(position: Any) -> None:
    """Every byte of a sealed value is protected: key id, nonce, text and tag."""
    codec = AesGcmCodec(KEY)
    sealed = bytearray(codec.seal(*PLACE, b"data"))

    sealed[position] ^= 1

    with pytest.raises(SealBroken):
        codec.open(*PLACE, bytes(sealed))


@pytest.mark.parametrize(
    "place",
    [
        ("other", "orders.draft", "o1"),
        ("acme", "orders.live", "o1"),
        ("acme", "orders.draft", "o2"),
        ("acme|orders.draft", "", "o1"),
    ],
)
def test_value_moved_elsewhere_is_refused(place: tuple[str, str, str]) -> None:
    """A value opens for its own tenant, column and row only."""
    codec = AesGcmCodec(KEY)
    sealed = codec.seal(*PLACE, b"data")

    with pytest.raises(SealBroken, match="altered, moved"):
        codec.open(*place, sealed)


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x01" * 13])
def test_short_value_is_refused(sealed: Any) -> None:
    """What is too short to be sealed is named as such."""
    with pytest.raises(SealBroken, match="too short"):
        AesGcmCodec(KEY).open(*PLACE, sealed)


def test_retired_key_still_opens() -> None:
    """After a rotation old values open by the retired key and new ones carry the new key's id."""
    old = AesGcmCodec(KEY).seal(*PLACE, b"data")
    codec = AesGcmCodec(OTHER_KEY, key_id=2, previous={1: KEY})

    assert codec.open(*PLACE, old) == b"data"
    assert codec.seal(*PLACE, b"data")[0] == 2


def test_missing_key_is_named() -> None:
    """A value under a key that is not configured names the key's id."""
    sealed = AesGcmCodec(KEY, key_id=7).seal(*PLACE, b"data")

    with pytest.raises(SealBroken, match="master key 7, which is not configured"):
        AesGcmCodec(KEY).open(*PLACE, sealed)


@pytest.mark.parametrize(("key", "key_id"), [(b"short", 1), (KEY, 256), (KEY, -1)])
def test_unfit_key_is_refused(key: Any, key_id: Any) -> None:
    """A key of the wrong length or id is refused with the remedy."""
    with pytest.raises(StoreError, match=r"give 32 random bytes|choose another id"):
        AesGcmCodec(key, key_id=key_id)


def test_codec_shows_no_key() -> None:
    """The repr of a codec holds no key."""
    assert repr(AesGcmCodec(b"k" * 32)) == "AesGcmCodec(key_id=1)"


def test_plain_codec_changes_nothing() -> None:
    """Without a key, bytes go through."""
    assert PlainCodec().open(*PLACE, PlainCodec().seal(*PLACE, b"data")) == b"data"
