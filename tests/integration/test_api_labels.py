"""GetLabel and MergeLabels: what comes out is read back by scanners and PDF readers, or says what is wrong."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from io import BytesIO
from pathlib import Path

import grpc
import pypdfium2  # type: ignore[import-untyped]
import pytest
import zxingcpp
from PIL import Image
from pypdf import PdfReader

from crossdock.v1 import core_pb2, label_service_pb2, order_service_pb2
from tests.integration.kit import State, booked, create, only, order, parcel, party, refusal
from tests.integration.world import World

pytestmark = pytest.mark.anyio
pb = label_service_pb2

SIZES = [pb.LABEL_SIZE_100X150, pb.LABEL_SIZE_100X180, pb.LABEL_SIZE_76X130, pb.LABEL_SIZE_4X6_INCH]
MILLIMETRES = {
    pb.LABEL_SIZE_100X150: (100, 150),
    pb.LABEL_SIZE_100X180: (100, 180),
    pb.LABEL_SIZE_76X130: (76, 130),
    pb.LABEL_SIZE_4X6_INCH: (101.6, 152.4),
}
MERGED = 200
TESTS = Path(__file__).parents[1]
MODULES = Path(os.environ.get("CROSSDOCK_ZPL_RENDERER", TESTS / "node_modules"))
needs_renderer = pytest.mark.skipif(
    not (MODULES / "zpl-renderer-js").is_dir() or shutil.which("node") is None,
    reason="zpl-renderer-js is not installed: npm ci --prefix tests",
)


@pytest.fixture(scope="module")
async def single(world: World) -> core_pb2.Order:
    """A booked SF order of one parcel."""
    return await booked(world.caller(), "label-single", routing=only("sf"))


@pytest.fixture(scope="module")
async def triple(world: World) -> core_pb2.Order:
    """A booked SF order of three parcels."""
    parcels = [parcel(450), parcel(900, "茶叶"), parcel(50, "丝巾")]
    return await booked(world.caller(), "label-triple", parcels=parcels)


def request(placed: core_pb2.Order, piece_number: int = 0, **spec: object) -> pb.GetLabelRequest:
    """A request for its label."""
    return pb.GetLabelRequest(
        order_id=placed.order_id,
        piece_number=piece_number,
        spec=pb.LabelSpec(**spec),  # type: ignore[arg-type]
    )


def scanned(image: Image.Image) -> set[str]:
    """The text of every barcode on a picture."""
    return {code.text for code in zxingcpp.read_barcodes(image.convert("L"))}


def pages(content: bytes, dpi: int = 203) -> list[Image.Image]:
    """A PDF's pages as a printer of that resolution would have them."""
    document = pypdfium2.PdfDocument(content)
    try:
        return [page.render(scale=dpi / 72).to_pil() for page in document]
    finally:
        document.close()


def text_of(content: bytes) -> list[str]:
    """Each page's text, as somebody copies it out of a reader."""
    return [page.extract_text() for page in PdfReader(BytesIO(content)).pages]


@pytest.mark.parametrize("dpi", [203, 300])
@pytest.mark.parametrize("size", SIZES)
async def test_a_pdf_label_is_read_by_a_scanner(
    world: World, single: core_pb2.Order, size: pb.LabelSize.ValueType, dpi: int
) -> None:
    """In every size and resolution the PDF has one page of that size with the waybill number on it."""
    answer = await world.caller().GetLabel(request(single, format=pb.LABEL_FORMAT_PDF, size=size, dpi=dpi))

    number = single.booking.waybill_number
    [box] = [page.mediabox for page in PdfReader(BytesIO(answer.content)).pages]
    assert answer.media_type == "application/pdf"
    assert list(answer.waybill_numbers) == [number]
    assert (float(box.width) * 25.4 / 72, float(box.height) * 25.4 / 72) == pytest.approx(MILLIMETRES[size], abs=0.5)
    assert number in scanned(pages(answer.content, dpi)[0])


@pytest.mark.parametrize("dpi", [203, 300])
@pytest.mark.parametrize("size", SIZES)
async def test_a_png_label_is_read_by_a_scanner(
    world: World, single: core_pb2.Order, size: pb.LabelSize.ValueType, dpi: int
) -> None:
    """In every size and resolution the PNG has the printer's dots and the waybill number on it."""
    answer = await world.caller().GetLabel(request(single, format=pb.LABEL_FORMAT_PNG, size=size, dpi=dpi))

    image = Image.open(BytesIO(answer.content))
    dots = tuple(round(side * dpi / 25.4) for side in MILLIMETRES[size])
    assert answer.media_type == "image/png"
    assert image.mode == "1"
    assert image.size == pytest.approx(dots, abs=12)
    assert single.booking.waybill_number in scanned(image)


@needs_renderer
async def test_zpl_labels_are_read_by_a_scanner(world: World, single: core_pb2.Order, tmp_path: Path) -> None:
    """In every size and resolution an independent ZPL interpreter draws a label that decodes."""
    jobs = []
    for size in SIZES:
        for dpi, dots_per_mm in ((203, 8), (300, 12)):
            answer = await world.caller().GetLabel(request(single, format=pb.LABEL_FORMAT_ZPL, size=size, dpi=dpi))
            assert answer.media_type == "application/zpl"
            source = tmp_path / f"{size}-{dpi}.zpl"
            source.write_bytes(answer.content)
            width_mm, height_mm = MILLIMETRES[size]
            head = {"width_mm": width_mm, "height_mm": height_mm, "dots_per_mm": dots_per_mm}
            jobs.append({"zpl": str(source), "png": str(source.with_suffix(".png")), **head})
    plan = tmp_path / "jobs.json"
    plan.write_text(json.dumps(jobs), "utf-8")

    script = TESTS / "unit/labels/zpl_render.mjs"
    renderer = await asyncio.create_subprocess_exec("node", str(script), str(MODULES), str(plan))
    assert await renderer.wait() == 0

    for job in jobs:
        with Image.open(str(job["png"])) as image:
            assert single.booking.waybill_number in scanned(image), job["zpl"]


async def test_personal_data_is_masked_on_the_label(world: World, single: core_pb2.Order) -> None:
    """The printed label hides part of name, phone and room (GB/T 41833-2022)."""
    answer = await world.caller().GetLabel(request(single))

    [text] = text_of(answer.content)
    assert "科技园" in text
    for secret in ("欧阳小满", "13900000015", "801"):
        assert secret not in text


async def test_a_carriers_own_label_is_passed_on(world: World, single: core_pb2.Order) -> None:
    """With `carrier_made` SF's PDF is fetched once, fitted to the paper, and kept for the next time."""
    caller = world.caller()
    wanted = request(single, carrier_made=True, size=pb.LABEL_SIZE_100X150)
    first = await caller.GetLabel(wanted)
    calls = world.carrier_calls("sf")

    again = await caller.GetLabel(wanted)
    png = await caller.GetLabel(request(single, carrier_made=True, format=pb.LABEL_FORMAT_PNG))

    own = await caller.GetLabel(request(single))
    assert first.media_type == "application/pdf"
    assert first.content == again.content != own.content
    assert single.booking.waybill_number in "".join(text_of(first.content)).replace(" ", "")
    assert Image.open(BytesIO(png.content)).mode == "1"
    assert world.carrier_calls("sf") == calls


async def test_a_carrier_without_labels_gets_ours(world: World) -> None:
    """`carrier_made` for a carrier that prints none gives the engine's own label."""
    placed = await booked(world.caller(), "label-zto", routing=only("zto"))

    answer = await world.caller().GetLabel(request(placed, carrier_made=True))

    assert placed.booking.waybill_number in scanned(pages(answer.content)[0])


async def test_an_order_of_three_parcels_is_one_file(world: World, triple: core_pb2.Order) -> None:
    """Each parcel has its page with its own number, numbered n/m; sub parcels name their master."""
    answer = await world.caller().GetLabel(request(triple))

    booking = triple.booking
    numbers = [booking.waybill_number, *booking.sub_waybill_numbers]
    assert list(answer.waybill_numbers) == numbers
    images, texts = pages(answer.content), text_of(answer.content)
    assert len(images) == 3
    for n, (number, image, text) in enumerate(zip(numbers, images, texts, strict=True), 1):
        assert number in scanned(image)
        assert f"{n}/3" in text.replace(" ", "")
    assert "茶叶" in texts[1]
    assert "茶叶" not in texts[0]


@pytest.mark.parametrize("piece_number", [1, 3])
async def test_one_piece_of_several_is_printed_alone(world: World, triple: core_pb2.Order, piece_number: int) -> None:
    """`piece_number` gives that parcel's label only, also as a PNG."""
    wanted = request(triple, piece_number, format=pb.LABEL_FORMAT_PNG)

    answer = await world.caller().GetLabel(wanted)

    booking = triple.booking
    number = [booking.waybill_number, *booking.sub_waybill_numbers][piece_number - 1]
    assert list(answer.waybill_numbers) == [number]
    assert number in scanned(Image.open(BytesIO(answer.content)))


async def test_one_piece_of_the_carriers_file_is_that_piece(world: World, triple: core_pb2.Order) -> None:
    """`piece_number` with `carrier_made` gives that page of the carrier's file."""
    answer = await world.caller().GetLabel(request(triple, 2, carrier_made=True))

    number = triple.booking.sub_waybill_numbers[0]
    assert list(answer.waybill_numbers) == [number]
    [text] = text_of(answer.content)
    assert number in text.replace(" ", "")


@pytest.mark.parametrize(("piece_number", "reason"), [(4, "LABEL_UNPRINTABLE"), (-1, "REQUEST_INVALID")])
async def test_a_piece_that_is_not_there_is_refused(
    world: World, triple: core_pb2.Order, piece_number: int, reason: str
) -> None:
    """A piece number beyond the parcels, or below zero, is refused under its own path."""
    status = await refusal(world.caller().GetLabel(request(triple, piece_number)))

    assert status.reason == reason
    assert status.violations.keys() == {"piece_number"}


async def test_several_labels_do_not_go_into_one_png(world: World, triple: core_pb2.Order) -> None:
    """A PNG of three parcels asks for one piece."""
    status = await refusal(world.caller().GetLabel(request(triple, format=pb.LABEL_FORMAT_PNG)))

    assert status.code == grpc.StatusCode.FAILED_PRECONDITION
    assert status.violations.keys() == {"piece_number"}


async def test_an_unprintable_name_says_which_character(world: World) -> None:
    """A character no font has is named with its code point and field, without the rest of the name."""
    placed = await booked(world.caller(), "label-rare", recipient=party(name="𠮷桂"))

    status = await refusal(world.caller().GetLabel(request(placed)))

    assert (status.code, status.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "LABEL_UNPRINTABLE")
    assert status.info.metadata["character"] == "U+20BB7"
    assert status.violations.keys() == {"recipient.contact.name"}
    assert "桂" not in str(status.status)


@pytest.mark.parametrize("spec", [{"dpi": 600}, {"format": 99}, {"size": 99}])
async def test_a_spec_outside_the_contract_is_refused(
    world: World, single: core_pb2.Order, spec: dict[str, int]
) -> None:
    """Another resolution, format or size than the contract's is REQUEST_INVALID under its path."""
    status = await refusal(world.caller().GetLabel(request(single, **spec)))

    assert status.reason == "REQUEST_INVALID"
    assert status.violations.keys() == {f"spec.{key}" for key in spec}


async def test_an_order_that_is_not_booked_has_no_label(world: World) -> None:
    """A failed order is ORDER_NOT_BOOKED with its state."""
    too_much = core_pb2.Money(currency_code="CNY", minor_units=99_999_999_900)
    options = core_pb2.Options(insured_value=too_much)
    failed = await world.caller().CreateOrder(create("label-failed", options=options, routing=only("sf")))
    assert failed.order.state == State.STATE_FAILED

    status = await refusal(world.caller().GetLabel(request(failed.order)))

    assert status.reason == "ORDER_NOT_BOOKED"
    assert status.info.metadata["state"] == "FAILED"


@pytest.fixture(scope="module")
async def many(world: World) -> list[core_pb2.Order]:
    """200 booked orders; the fifth has a name no font can print."""
    orders = [order(f"merge-{n:03}", recipient=party(name="𠮷桂" if n == 4 else "欧阳小满")) for n in range(MERGED)]
    requests = [order_service_pb2.CreateOrderRequest(order=o) for o in orders]
    batch = order_service_pb2.BatchCreateOrdersRequest(requests=requests)
    answer = await world.caller().BatchCreateOrders(batch)
    return [r.created.order for r in answer.results]


async def test_many_labels_are_merged_into_one_pdf(world: World, many: list[core_pb2.Order]) -> None:
    """200 orders in the order asked for, in bounded chunks; what cannot be printed is named at the end."""
    absent = "0" * 36
    ids = [absent, *(o.order_id for o in many)]

    answers = [m async for m in world.caller().MergeLabels(pb.MergeLabelsRequest(order_ids=ids))]

    content, last = b"".join(m.chunk for m in answers), answers[-1]
    printed = [o.booking.waybill_number for n, o in enumerate(many) if n != 4]
    assert max(len(m.chunk) for m in answers) <= 256 * 1024
    assert last.label_count == MERGED - 1
    assert [(s.order_id, s.reason) for s in last.skipped] == [
        (absent, "ORDER_NOT_FOUND"),
        (many[4].order_id, "LABEL_UNPRINTABLE"),
    ]
    assert last.skipped[1].field == "recipient.contact.name"
    assert last.skipped[1].remedy
    document = pypdfium2.PdfDocument(content)
    assert len(document) == MERGED - 1
    for n in (0, 3, 4, MERGED - 2):
        assert printed[n] in scanned(document[n].render(scale=203 / 72).to_pil())
    document.close()


async def test_many_labels_are_merged_into_one_zpl(world: World, many: list[core_pb2.Order]) -> None:
    """A ZPL file holds one label after the other, in the order asked for."""
    chosen = [many[n] for n in (3, 1, 2)]
    wanted = pb.MergeLabelsRequest(
        order_ids=[o.order_id for o in chosen], spec=pb.LabelSpec(format=pb.LABEL_FORMAT_ZPL)
    )

    answers = [m async for m in world.caller().MergeLabels(wanted)]

    content = b"".join(m.chunk for m in answers)
    places = [content.index(o.booking.waybill_number.encode()) for o in chosen]
    assert content.count(b"^XZ") == 3
    assert places == sorted(places)
    assert not answers[-1].skipped


async def test_a_merge_into_png_is_refused(world: World, single: core_pb2.Order) -> None:
    """Many labels do not go into one PNG; the status names the field."""
    wanted = pb.MergeLabelsRequest(order_ids=[single.order_id], spec=pb.LabelSpec(format=pb.LABEL_FORMAT_PNG))

    status = await refusal(world.caller().MergeLabels(wanted).read())

    assert status.violations.keys() == {"spec.format"}


async def test_a_merge_of_nothing_is_refused(world: World) -> None:
    """An empty list breaks the contract."""
    status = await refusal(world.caller().MergeLabels(pb.MergeLabelsRequest()).read())

    assert status.violations.keys() == {"order_ids"}


async def test_a_merge_of_nothing_printable_is_an_empty_file(world: World) -> None:
    """When every order is skipped there are no bytes, and every reason is told."""
    answers = [m async for m in world.caller().MergeLabels(pb.MergeLabelsRequest(order_ids=["a", ""]))]

    assert b"".join(m.chunk for m in answers) == b""
    assert [s.reason for s in answers[-1].skipped] == ["ORDER_NOT_FOUND"] * 2
