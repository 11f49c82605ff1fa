"""Merging: our own labels and carriers' files in turn, in pieces of a size that a message holds."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import UTC, datetime

import anyio
import pypdf
import pytest

from engine.core.errors import LabelUnavailable
from engine.core.merging import MERGE_CHUNK_BYTES, Merged, merge
from engine.core.printing import LabelSpec, print_pieces
from engine.labels import FontSet, LabelContent, LabelFormat, LabelParty, MergeItem

pytestmark = pytest.mark.anyio
FONTS = FontSet.load(())


def label(number: str) -> LabelContent:
    """One of our own labels."""
    party = LabelParty(name="周样例", phone="13800138000", address_line="四川省成都市武侯区天府大道200号")
    return LabelContent(
        carrier_code="sf",
        carrier_name_zh="顺丰速运",
        waybill_number=number,
        reference=number,
        shipper=party,
        recipient=party,
        printed_at=datetime(2026, 3, 2, tzinfo=UTC),
    )


async def merged(items: Mapping[str, MergeItem], format: LabelFormat) -> tuple[list[bytes], Merged]:
    """The pieces of a file of one item an order, and what it holds."""

    async def prepare(order_id: str) -> list[MergeItem]:
        return [items[order_id]]

    async def load_fonts() -> FontSet:
        return FONTS

    limit = anyio.CapacityLimiter(1)
    *pieces, end = [
        part
        async for part in merge(list(items), LabelSpec(format), prepare=prepare, load_fonts=load_fonts, threads=limit)
    ]
    assert isinstance(end, Merged)
    return [piece for piece in pieces if isinstance(piece, bytes)], end


@pytest.mark.parametrize("format", [LabelFormat.PDF, LabelFormat.ZPL])
async def test_carriers_files_stand_among_our_own_labels(format: LabelFormat) -> None:
    """In the order asked for, a carrier's page in ZPL as a picture; a carrier's file that is none is named."""
    carriers = print_pieces([label("CARRIER7")], LabelSpec(), FONTS)

    pieces, end = await merged({"a": label("FIRST7"), "b": carriers, "c": b"no PDF", "d": label("LAST7")}, format)

    content = b"".join(pieces)
    assert end.label_count == 3
    assert [(skipped.order_id, type(skipped.error)) for skipped in end.skipped] == [("c", LabelUnavailable)]
    if format is LabelFormat.PDF:
        texts = [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(content), strict=True).pages]
        assert [word in text for word, text in zip(("FIRST7", "CARRIER7", "LAST7"), texts, strict=True)] == [True] * 3
    else:
        assert content.count(b"^XA") == 3
        assert content.index(b"FIRST7") < content.index(b"LAST7")


async def test_a_file_comes_in_pieces_that_a_message_holds() -> None:
    """None is larger, and more than one comes while the file is made."""
    pieces, end = await merged({f"{n}": label(f"SF{n:013d}") for n in range(70)}, LabelFormat.PDF)

    assert end.label_count == 70
    assert len(pieces) > 2
    assert max(map(len, pieces)) <= MERGE_CHUNK_BYTES
