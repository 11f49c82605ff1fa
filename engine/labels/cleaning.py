"""Makes one clean line of a text, before anything is masked, measured or drawn."""

from __future__ import annotations

import unicodedata


def clean_text(text: str) -> str:
    """One line: white space becomes a space, a letter with its marks one character.

    Control and format characters (zero-width space, direction marks, byte order mark) are dropped:
    they print nothing, but would tear a room number from its word and so hide it from masking.
    """
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    line = " ".join(text.split())
    kept = "".join(c for c in line if unicodedata.category(c) not in ("Cc", "Cf"))
    if any(unicodedata.combining(character) for character in kept):
        kept = unicodedata.normalize("NFC", kept)
    return " ".join(kept.split())
