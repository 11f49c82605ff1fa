"""Labels of booked orders: our own piece by piece, the carrier's fetched once, merged files that skip what fails."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pypdf
import pytest

from crossdock_sdk import ErrorClass, Item, Option, Parcel
from engine.core.errors import LabelUnavailable, OrderNotBooked, OrderNotFound
from engine.core.labels import Labels
from engine.core.merging import Merged
from engine.core.orders import Created
from engine.core.printing import LabelSpec
from engine.labels import FontSet, LabelFormat, LabelSize, MergedPdf
from tests.fakes.carrier import answer, manifest, refuse, silent
from tests.fakes.house import TENANT, House, house

pytestmark = pytest.mark.anyio

OWN = ("book", "find", "cancel")
PLAIN = manifest("plain", OWN, options=(Option.MULTI_PARCEL,))
PRINTS = manifest("prints", (*OWN, "label"))
PIECES = (Parcel(450, items=(Item("红茶"),)),) * 3


def labels_of(scene: House) -> Labels:
    """The use case over the scene's rooms."""
    return Labels(
        store=scene.store,
        orders=scene.orders,
        outbound=scene.outbound,
        manifests=scene.router.manifests,
        clock=scene.clock,
    )


def pages(content: bytes) -> int:
    """How many pages a PDF that can be read has."""
    return len(pypdf.PdfReader(io.BytesIO(content)).pages)


def order_id(created: Created) -> str:
    """The order's id."""
    return created.order.order.order_id


async def carrier_pdf(scene: House) -> bytes:
    """A sound one-page PDF, as a carrier would make it."""
    created = await scene.create("P0")
    labels = labels_of(scene)
    content = labels._content(created.order, created.order.order.booking, 0)  # type: ignore[arg-type]
    merged = MergedPdf(LabelSize.MM_100X150, 203, FontSet.load(()))
    merged.add(content)
    return merged.take() + b"".join(merged.finish())


async def merge(
    labels: Labels, ids: Sequence[str], format: LabelFormat = LabelFormat.PDF, *, carrier_made: bool = False
) -> tuple[bytes, Merged]:
    """The merged file and what it holds."""
    *chunks, end = [c async for c in labels.merge(TENANT, ids, LabelSpec(format, carrier_made=carrier_made))]
    assert isinstance(end, Merged)
    return b"".join(c for c in chunks if isinstance(c, bytes)), end


async def test_every_piece_of_an_order_has_its_page() -> None:
    """All pieces by default, with their numbers in order; one piece when it is asked for."""
    async with house(PLAIN) as scene:
        created = await scene.create(parcels=PIECES)
        labels = labels_of(scene)
        whole = await labels.get(TENANT, order_id(created), LabelSpec())
        second = await labels.get(TENANT, order_id(created), LabelSpec(), piece_number=2)

    booking = created.order.order.booking
    assert booking is not None
    numbers = (booking.waybill_number, *booking.sub_waybill_numbers)
    assert (whole.media_type, whole.waybill_numbers, pages(whole.content)) == ("application/pdf", numbers, 3)
    assert (second.waybill_numbers, pages(second.content)) == (numbers[1:2], 1)


async def test_a_piece_that_does_not_exist_is_refused() -> None:
    """With the number of pieces there are."""
    async with house(PLAIN) as scene:
        created = await scene.create()
        with pytest.raises(LabelUnavailable, match="1 parcels, not 2") as refusal:
            await labels_of(scene).get(TENANT, order_id(created), LabelSpec(), piece_number=2)

    assert refusal.value.field == "piece_number"


async def test_several_pieces_do_not_go_into_one_png() -> None:
    """The remedy is to name one."""
    async with house(PLAIN) as scene:
        created = await scene.create(parcels=PIECES)
        with pytest.raises(LabelUnavailable) as refusal:
            await labels_of(scene).get(TENANT, order_id(created), LabelSpec(LabelFormat.PNG))
        one = await labels_of(scene).get(TENANT, order_id(created), LabelSpec(LabelFormat.PNG), piece_number=3)

    assert refusal.value.field == "piece_number"
    assert one.content.startswith(b"\x89PNG")


async def test_only_booked_orders_have_labels() -> None:
    """A failed one says its state; another tenant's is not there at all."""
    async with house(PLAIN) as scene:
        scene.network.script("plain", "book", refuse(ErrorClass.PERMANENT))
        failed = await scene.create("A1")
        booked = await scene.create("A2")
        labels = labels_of(scene)
        with pytest.raises(OrderNotBooked, match=r"FAILED, labels need BOOKED; it will not be booked any more"):
            await labels.get(TENANT, order_id(failed), LabelSpec())
        with pytest.raises(OrderNotFound, match=r"; check the id$"):
            await labels.get("other", order_id(booked), LabelSpec())


async def test_a_carriers_label_is_fetched_once_and_kept() -> None:
    """Reprints come from the store, also after a restart."""
    async with house(PRINTS) as scene:
        created = await scene.create()
        scene.carriers["prints"].label_file = await carrier_pdf(scene)
        files = [await labels_of(scene).get(TENANT, order_id(created), LabelSpec(carrier_made=True)) for _ in range(3)]
        await scene.crash()
        await scene.start()
        files.append(await labels_of(scene).get(TENANT, order_id(created), LabelSpec(carrier_made=True)))

    assert [pages(f.content) for f in files] == [1] * 4
    assert scene.network.count("prints", "label") == 1


async def test_a_carrier_that_gives_no_label_is_named_and_nothing_kept() -> None:
    """With the other way to get one; the next try asks again."""
    async with house(PRINTS) as scene:
        created = await scene.create()
        scene.network.script("prints", "label", silent(), refuse(ErrorClass.PERMANENT, text="打印失败"))
        labels = labels_of(scene)
        for what in ("TIMEOUT|CUT", "打印失败"):
            with pytest.raises(LabelUnavailable, match=rf"prints gives no label: .*({what}).*without carrier_made"):
                await labels.get(TENANT, order_id(created), LabelSpec(carrier_made=True))

    assert scene.network.count("prints", "label") == 2


async def test_a_carrier_that_prints_nothing_gets_our_label() -> None:
    """carrier_made is a wish: where the carrier makes one."""
    async with house(PLAIN) as scene:
        created = await scene.create()
        file = await labels_of(scene).get(TENANT, order_id(created), LabelSpec(carrier_made=True))

    assert pages(file.content) == 1


@pytest.mark.parametrize("format", [LabelFormat.PDF, LabelFormat.ZPL])
async def test_a_merged_file_holds_all_that_can_be_printed(format: LabelFormat) -> None:
    """In the order asked for; an order whose last piece fails is listed, and none of its pieces is in the file."""
    async with house(PLAIN) as scene:
        first, last = await scene.create("A1"), await scene.create("A3", parcels=PIECES)
        scene.network.script("plain", "book", answer(waybill_number="W1", pieces=["W1-1", "单号"]))
        half = await scene.create("A2", parcels=PIECES)
        ids = [order_id(first), order_id(half), "unknown", order_id(last)]
        content, end = await merge(labels_of(scene), ids, format)

    assert end.label_count == 4
    assert [(s.order_id, type(s.error)) for s in end.skipped] == [
        (order_id(half), LabelUnavailable),
        ("unknown", OrderNotFound),
    ]
    if format is LabelFormat.PDF:
        assert len(pypdf.PdfReader(io.BytesIO(content), strict=True).pages) == 4
    else:
        assert content.count(b"^XA") == content.count(b"^XZ") >= 4


async def test_a_merge_of_nothing_printable_is_an_empty_file() -> None:
    """Every order is listed as skipped."""
    async with house(PLAIN) as scene:
        content, end = await merge(labels_of(scene), ["x", "y"])

    assert (content, end.label_count, len(end.skipped)) == (b"", 0, 2)


async def test_labels_are_not_merged_into_one_png() -> None:
    """A picture has one page."""
    async with house(PLAIN) as scene:
        with pytest.raises(LabelUnavailable) as refusal:
            await merge(labels_of(scene), ["x"], LabelFormat.PNG)

    assert refusal.value.field == "spec.format"
