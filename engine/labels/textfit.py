"""Fits a text into a box: shrinks first, then wraps, and only where allowed ends it with "…".

Widths come in as thousandths of an em, so that nothing here knows fonts. Lines may break before
and after every Han character and kana, after spaces and hyphens, and inside a word only if it
is wider than the line. Closing punctuation never starts a line, opening brackets never end one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from engine.labels.errors import TextDoesNotFit

#: Distance of two baselines, in ems.
LEADING = 1.2
#: From the top of a line to its baseline, in ems: Han glyphs reach so far above it, and 0.12 below.
BASELINE = 0.88

_NO_START = frozenset("，。、；：！？）》」』】〉〕…·,.;:!?)]}%℃")
_NO_END = frozenset("（《「『【〈〔([{¥￥$#")
_WIDE_FROM = 0x2E80
ELLIPSIS = "…"
_ELLIPSIS_WIDTH = 1000


class Fitted(NamedTuple):
    """The lines of a text and the size they are set in (ems in the unit of the box)."""

    lines: tuple[str, ...]
    widths: tuple[int, ...]
    em: float


def fit(
    text: str,
    advances: Sequence[int],
    *,
    width: float,
    height: float,
    ems: Sequence[float],
    max_lines: int,
) -> Fitted | None:
    """The text at the first of the sizes `ems` (largest first) at which it fits, or None."""
    total = sum(advances)
    for em in ems:
        line_count = min(max_lines, int((height / em - 1) / LEADING + 1 + 1e-6)) if em else 0
        if line_count < 1 or total * em > width * 1000 * line_count:
            continue
        limit = width * 1000 / em
        lines = wrap(text, advances, limit)
        if len(lines) <= line_count:
            return Fitted(
                tuple(text[a:b] for a, b in lines),
                tuple(sum(advances[a:b]) for a, b in lines),
                em,
            )
    return None


def fit_or_cut(
    text: str,
    advances: Sequence[int],
    *,
    width: float,
    height: float,
    ems: Sequence[float],
    max_lines: int,
) -> Fitted:
    """As `fit`, but what does not fit at the smallest size ends visibly with "…"."""
    room = {"width": width, "height": height}
    fitted = fit(text, advances, ems=ems, max_lines=max_lines, **room)
    low, high = 0, len(text)
    while fitted is None and low < high:
        middle = (low + high + 1) // 2
        cut = fit(
            text[:middle].rstrip() + ELLIPSIS,
            [*advances[: len(text[:middle].rstrip())], _ELLIPSIS_WIDTH],
            ems=ems[-1:],
            max_lines=max_lines,
            **room,
        )
        low, high = (middle, high) if cut else (low, middle - 1)
    if fitted is not None:
        return fitted
    kept = text[:low].rstrip()
    cut = fit(
        kept + ELLIPSIS,
        [*advances[: len(kept)], _ELLIPSIS_WIDTH],
        ems=ems[-1:],
        max_lines=max_lines,
        **room,
    )
    return cut or Fitted((), (), ems[-1])


def fit_whole(
    text: str,
    advances: Sequence[int],
    *,
    field: str,
    width: float,
    height: float,
    ems: Sequence[float],
    max_lines: int,
    min_pt: float,
) -> Fitted:
    """As `fit`, but raises TextDoesNotFit, because this text must not be cut."""
    fitted = fit(text, advances, width=width, height=height, ems=ems, max_lines=max_lines)
    if fitted is None:
        raise TextDoesNotFit(field, len(text), min_pt)
    return fitted


def wrap(text: str, advances: Sequence[int], limit: float) -> list[tuple[int, int]]:
    """Lines as (start, end) into the text, none wider than `limit` thousandths of an em."""
    lines: list[tuple[int, int]] = []
    start, last_break, width, index = 0, 0, 0, 0
    while index < len(text):
        width += advances[index]
        if width > limit and index > start and not text[index].isspace():
            end = last_break if last_break > start else index
            lines.append((start, _trim_end(text, start, end)))
            start = _skip_spaces(text, end)
            width, index, last_break = 0, start, start
            continue
        index += 1
        if index < len(text) and _may_break(text[index - 1], text[index]):
            last_break = index
    if start < len(text):
        lines.append((start, _trim_end(text, start, len(text))))
    return [(a, b) for a, b in lines if a < b]


def _may_break(before: str, after: str) -> bool:
    if after in _NO_START or before in _NO_END or after.isspace():
        return False
    if before.isspace() or before in "-/":
        return True
    return ord(before) >= _WIDE_FROM or ord(after) >= _WIDE_FROM


def _trim_end(text: str, start: int, end: int) -> int:
    while end > start and text[end - 1].isspace():
        end -= 1
    return end


def _skip_spaces(text: str, index: int) -> int:
    while index < len(text) and text[index].isspace():
        index += 1
    return index
