"""Digests and comparisons that carriers' signatures are made of.

Pure; secrets come in, digests go out.
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from hashlib import md5
from urllib.parse import quote_plus


def md5_base64(text: str | bytes) -> str:
    """Base64 of the 16 raw MD5 bytes. MD5 is the carriers' choice, not ours."""
    raw = text.encode() if isinstance(text, str) else text
    return b64encode(md5(raw, usedforsecurity=False).digest()).decode("ascii")


def md5_hex(text: str | bytes) -> str:
    """Lower-case hex MD5."""
    raw = text.encode() if isinstance(text, str) else text
    return md5(raw, usedforsecurity=False).hexdigest()


def java_url_encode(text: str) -> str:
    """What Java's URLEncoder gives for UTF-8: space is +, `*` stays, `~` becomes %7E."""
    return quote_plus(text, safe="*").replace("~", "%7E")


def same(a: str, b: str) -> bool:
    """Constant-time comparison of two digests."""
    return hmac.compare_digest(a.encode(), b.encode())
