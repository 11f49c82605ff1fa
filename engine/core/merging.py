"""Labels of many orders as one file, sent in pieces while it is made.

An order whose label cannot be had or printed is skipped and named at the end; it spoils no other. Rendering is CPU
work and runs in threads, many orders a trip.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

import anyio
import anyio.to_thread
import msgspec

from engine.core.errors import LabelUnavailable, UseCaseError
from engine.core.printing import LabelSpec, convert, unavailable
from engine.labels import FontSet, LabelContent, LabelError, LabelFormat, MergedPdf, MergeItem, fit_carrier_pdf, render
from engine.labels.layout import lay_out

MERGE_CHUNK_BYTES = 256 * 1024
MERGE_AT_ONCE = 32


class Skipped(msgspec.Struct, frozen=True):
    """An order whose label is not in a merged file."""

    order_id: str
    error: UseCaseError


class Merged(msgspec.Struct, frozen=True):
    """The end of a merge."""

    skipped: tuple[Skipped, ...]
    label_count: int


async def merge(
    order_ids: Sequence[str],
    spec: LabelSpec,
    *,
    prepare: Callable[[str], Awaitable[list[MergeItem] | UseCaseError]],
    load_fonts: Callable[[], Awaitable[FontSet]],
    threads: anyio.CapacityLimiter,
) -> AsyncIterator[bytes | Merged]:
    """Chunks of one file, then what it holds. Raises LabelUnavailable for a PNG.

    prepare: what goes into the file for an order, or why nothing does.
    """
    if spec.format is LabelFormat.PNG:
        raise LabelUnavailable("labels cannot be merged into one PNG", "ask for PDF or ZPL", field="spec.format")
    fonts = await load_fonts()
    merged = MergedPdf(spec.size, spec.dpi, fonts) if spec.format is LabelFormat.PDF else None
    skipped: list[Skipped] = []
    count = 0
    for start in range(0, len(order_ids), MERGE_AT_ONCE):
        # One trip to the thread for a batch: a trip costs as much as a label.
        prepared = [(order_id, await prepare(order_id)) for order_id in order_ids[start : start + MERGE_AT_ONCE]]
        batch = [items for _, items in prepared if not isinstance(items, UseCaseError)]
        made = iter(await anyio.to_thread.run_sync(_make_batch, batch, spec, fonts, merged, limiter=threads))
        waiting: list[bytes] = []
        for order_id, items in prepared:
            result = items if isinstance(items, UseCaseError) else next(made)
            if isinstance(result, bytes):
                waiting.append(result)
                count += len(items) if isinstance(items, list) else 0
            else:
                skipped.append(Skipped(order_id, result))
        for piece in _pieces(waiting):
            yield piece
    if merged is not None and merged.page_count:
        for piece in _pieces(merged.finish()):
            yield piece
    yield Merged(tuple(skipped), count)


def _make_batch(
    batch: Sequence[list[MergeItem]], spec: LabelSpec, fonts: FontSet, merged: MergedPdf | None
) -> list[bytes | LabelUnavailable]:
    """The bytes each order adds to the file; an order that cannot be printed spoils no other."""
    made: list[bytes | LabelUnavailable] = []
    for items in batch:
        try:
            if merged is not None and len(items) > 1:
                _check(items, spec, fonts)
            made.append(b"".join([_make(item, spec, fonts, merged) for item in items]))
        except LabelError as error:
            made.append(unavailable(error))
    return made


def _check(items: Sequence[MergeItem], spec: LabelSpec, fonts: FontSet) -> None:
    """All pieces of an order or none: a page that has gone into the file cannot be taken out. Raises LabelError."""
    for item in items:
        if isinstance(item, LabelContent):
            lay_out(item, spec.size, spec.dpi, fonts)


def _make(item: MergeItem, spec: LabelSpec, fonts: FontSet, merged: MergedPdf | None) -> bytes:
    if merged is None:
        if isinstance(item, bytes):
            return convert(item, spec)
        return render(item, format=spec.format, size=spec.size, dpi=spec.dpi, fonts=fonts)
    if isinstance(item, bytes):
        merged.add_carrier_pdf(fit_carrier_pdf(item, spec.size))
    else:
        merged.add(item)
    return merged.take()


def _pieces(chunks: Iterable[bytes]) -> Iterable[bytes]:
    """The same bytes in pieces of at most MERGE_CHUNK_BYTES, the last ones whatever is left."""
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        while len(buffer) >= MERGE_CHUNK_BYTES:
            yield bytes(buffer[:MERGE_CHUNK_BYTES])
            del buffer[:MERGE_CHUNK_BYTES]
    if buffer:
        yield bytes(buffer)
