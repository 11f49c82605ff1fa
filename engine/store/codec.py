"""Seals personal data on its way to disk. Every byte of it passes one codec, bound to its place.

A sealed value opens only for the tenant, column and row it was sealed for: no swapping of rows.
Layout of `AesGcmCodec`: key id (1 byte), nonce (12 random bytes), ciphertext with its 16-byte tag.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from engine.store.port import StoreError

MASTER_KEY_BYTES = 32
_NONCE_BYTES = 12
_HEADER_BYTES = 1 + _NONCE_BYTES


class SealBroken(StoreError):
    """A sealed value does not open: altered, moved from another row, or of another key."""


class Codec(Protocol):
    """Turns bytes into what the disk may see, and back. `column` is `table.column`."""

    def seal(self, tenant: str, column: str, row_id: str, data: bytes) -> bytes:
        """What to store in place of `data`."""
        ...

    def open(self, tenant: str, column: str, row_id: str, sealed: bytes) -> bytes:
        """The data again. Raises SealBroken."""
        ...


class PlainCodec:
    """Stores as is, for disks that are encrypted below the file system."""

    def seal(self, tenant: str, column: str, row_id: str, data: bytes) -> bytes:
        """The same bytes."""
        return data

    def open(self, tenant: str, column: str, row_id: str, sealed: bytes) -> bytes:
        """The same bytes."""
        return sealed


class AesGcmCodec:
    """AES-256-GCM (NIST SP 800-38D), one key per tenant, derived by HKDF (RFC 5869) from a master.

    `previous` maps the ids of retired master keys to the keys, so that older rows stay readable
    after a rotation. A key may seal 2**32 values (random 96-bit nonces): rotate long before that.
    """

    def __init__(self, master_key: bytes, *, key_id: int = 1, previous: Mapping[int, bytes] | None = None) -> None:
        masters = {**(previous or {}), key_id: master_key}
        for number, key in masters.items():
            if not 0 <= number <= 255:
                raise StoreError(f"master key id {number} is outside 0..255: choose another id")
            if len(key) != MASTER_KEY_BYTES:
                raise StoreError(f"master key {number} has {len(key)} bytes: give {MASTER_KEY_BYTES} random bytes")
        self._masters = masters
        self._key_id = key_id
        self._key_byte = bytes([key_id])
        self._ciphers: dict[tuple[int, str], AESGCM] = {}

    def __repr__(self) -> str:
        return f"AesGcmCodec(key_id={self._key_id})"

    def seal(self, tenant: str, column: str, row_id: str, data: bytes) -> bytes:
        """Encrypt for this place only."""
        nonce = os.urandom(_NONCE_BYTES)
        cipher = self._cipher(self._key_id, tenant)
        return self._key_byte + nonce + cipher.encrypt(nonce, data, _place(tenant, column, row_id))

    def open(self, tenant: str, column: str, row_id: str, sealed: bytes) -> bytes:
        """Decrypt and prove that it was sealed for this place. Raises SealBroken."""
        if len(sealed) <= _HEADER_BYTES:
            raise SealBroken(f"{column} of {row_id} is too short to be sealed: restore it from a backup")
        if sealed[0] not in self._masters:
            raise SealBroken(
                f"{column} of {row_id} is sealed under master key {sealed[0]}, which is not configured: add it"
            )
        cipher = self._cipher(sealed[0], tenant)
        try:
            return cipher.decrypt(sealed[1:_HEADER_BYTES], sealed[_HEADER_BYTES:], _place(tenant, column, row_id))
        except InvalidTag:
            raise SealBroken(
                f"{column} of {row_id} was altered, moved, or sealed under another key: "
                "check the master key, or restore the row from a backup"
            ) from None

    def _cipher(self, key_id: int, tenant: str) -> AESGCM:
        cipher = self._ciphers.get((key_id, tenant))
        if cipher is None:
            info = b"crossdock tenant data key\0" + tenant.encode()
            derivation = HKDF(SHA256(), MASTER_KEY_BYTES, salt=None, info=info)
            cipher = AESGCM(derivation.derive(self._masters[key_id]))
            self._ciphers[key_id, tenant] = cipher
        return cipher


def _place(tenant: str, column: str, row_id: str) -> bytes:
    """The additional authenticated data; lengths keep ("a|b", "c") and ("a", "b|c") apart."""
    return f"{len(tenant)}|{len(column)}|{tenant}|{column}|{row_id}".encode()
