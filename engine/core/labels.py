"""Labels of booked orders: our own from the booking, or the carrier's file passed on.

Rendering is CPU work and runs in a small thread pool, so that it never holds up a booking. A carrier's file is
fetched once and kept; our own is rendered each time, since that costs less than keeping it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar, TypeVarTuple
from zoneinfo import ZoneInfo

import anyio
import anyio.to_thread
import msgspec
from msgspec.structs import replace

from crossdock_sdk import CarrierLabel, LabelRequest, Manifest, Routing, SortCodeRequest
from engine.clock import Clock
from engine.core.calls import ask
from engine.core.errors import LabelUnavailable, OrderNotBooked, UseCaseError
from engine.core.merging import Merged, merge
from engine.core.orders import Orders
from engine.core.policy.records import BookingRecord, LoadedOrder, OrderState, StoredLabel
from engine.core.printing import MEDIA_TYPES, LabelSpec, convert, print_pieces, unavailable
from engine.crash import crash_point
from engine.labels import FontSet, LabelContent, LabelError, LabelParty, MergeItem
from engine.outbound import Priority
from engine.outbound.outbound import Outbound
from engine.store.port import Store

R = TypeVar("R")
Args = TypeVarTuple("Args")

RENDER_THREADS = 2
ROUTINGS_KEPT = 10_000


class LabelFile(msgspec.Struct, frozen=True):
    """A finished file and the waybills on it, page by page."""

    content: bytes
    media_type: str
    waybill_numbers: tuple[str, ...]


class Labels:
    """The use cases of LabelService."""

    def __init__(
        self,
        *,
        store: Store,
        orders: Orders,
        outbound: Outbound,
        manifests: Mapping[str, Manifest],
        clock: Clock,
        extra_fonts: Sequence[Path] = (),
    ) -> None:
        self._store = store
        self._orders = orders
        self._outbound = outbound
        self._manifests = manifests
        self._clock = clock
        self._extra_fonts = tuple(extra_fonts)
        # A file that is no font is told now, not with the first label.
        self._loaded_fonts = FontSet.load(extra_fonts) if extra_fonts else None
        self._threads = anyio.CapacityLimiter(RENDER_THREADS)
        self._routings: OrderedDict[str, Routing] = OrderedDict()

    async def get(self, tenant: str, order_id: str, spec: LabelSpec, *, piece_number: int = 0) -> LabelFile:
        """One order's label. Raises OrderNotFound, OrderNotBooked, LabelUnavailable."""
        loaded, booking = await self._booked(tenant, order_id)
        numbers = (booking.waybill_number, *booking.sub_waybill_numbers)
        if piece_number > len(numbers):
            raise LabelUnavailable(
                f"the order has {len(numbers)} parcels, not {piece_number}",
                "ask for an existing piece, or 0 for all",
                field="piece_number",
            )
        media_type = MEDIA_TYPES[spec.format]
        made = await self._carriers_own(tenant, loaded, booking, spec) if piece_number == 0 else None
        if made is not None:
            content = await self._in_thread(convert, made.content, spec)
            return LabelFile(content, media_type, numbers)
        wanted = range(len(numbers)) if piece_number == 0 else range(piece_number - 1, piece_number)
        contents = [self._content(loaded, booking, index) for index in wanted]
        content = await self._in_thread(print_pieces, contents, spec, await self._fonts())
        return LabelFile(content, media_type, tuple(numbers[i] for i in wanted))

    def merge(self, tenant: str, order_ids: Sequence[str], spec: LabelSpec) -> AsyncIterator[bytes | Merged]:
        """Chunks of one file, then what it holds. Raises LabelUnavailable for a PNG, once it is asked for a chunk."""
        prepare = partial(self._prepared, tenant, spec)
        return merge(order_ids, spec, prepare=prepare, load_fonts=self._fonts, threads=self._threads)

    async def _prepared(self, tenant: str, spec: LabelSpec, order_id: str) -> list[MergeItem] | UseCaseError:
        """What goes into a merged file for one order, or why nothing does."""
        try:
            loaded, booking = await self._booked(tenant, order_id)
            made = await self._carriers_own(tenant, loaded, booking, spec)
            if made is not None:
                return [made.content]
        except UseCaseError as error:
            return error
        count = 1 + len(booking.sub_waybill_numbers)
        return [self._content(loaded, booking, index) for index in range(count)]

    async def _booked(self, tenant: str, order_id: str) -> tuple[LoadedOrder, BookingRecord]:
        loaded = await self._orders.get(tenant, order_id=order_id)
        if loaded.order.state is not OrderState.BOOKED or loaded.order.booking is None:
            raise OrderNotBooked(loaded.order)
        return loaded, await self._routed(tenant, loaded, loaded.order.booking)

    async def _routed(self, tenant: str, loaded: LoadedOrder, booking: BookingRecord) -> BookingRecord:
        """The booking with its routing code; one found by look-up or push may lack it, then the carrier is asked."""
        manifest = self._manifests.get(booking.carrier)
        if booking.routing.sort_code or manifest is None or "sort_code" not in manifest.operations:
            return booking
        routing = self._routings.get(booking.waybill_number)
        if routing is None:
            draft = loaded.order.draft
            outcome = await ask(
                self._outbound,
                booking.account_id,
                "sort_code",
                SortCodeRequest(booking.waybill_number, draft.shipper.address, draft.recipient.address),
                priority=Priority.LABEL,
                tenant=tenant,
            )
            if not isinstance(outcome, Routing):
                return booking
            routing = self._routings[booking.waybill_number] = outcome
            while len(self._routings) > ROUTINGS_KEPT:
                self._routings.popitem(last=False)
        return replace(booking, routing=routing)

    async def _carriers_own(
        self, tenant: str, loaded: LoadedOrder, booking: BookingRecord, spec: LabelSpec
    ) -> StoredLabel | None:
        """The carrier's label when it is wanted, or when ours would lack the routing code; None for our own."""
        if not self._carrier_prints(booking):
            return None
        if spec.carrier_made:
            return await self._carrier_made(tenant, loaded, booking)
        if booking.routing.sort_code:
            return None
        try:
            return await self._carrier_made(tenant, loaded, booking)
        except LabelUnavailable:
            return None  # ours, without the code, still shows the address

    def _carrier_prints(self, booking: BookingRecord) -> bool:
        manifest = self._manifests.get(booking.carrier)
        return manifest is not None and "label" in manifest.operations

    async def _carrier_made(self, tenant: str, loaded: LoadedOrder, booking: BookingRecord) -> StoredLabel:
        order_id = loaded.order.order_id
        kept = await self._store.get_label(tenant, order_id, booking.waybill_number)
        if kept is not None:
            return kept
        outcome = await ask(
            self._outbound,
            booking.account_id,
            "label",
            LabelRequest(booking.waybill_number, booking.sub_waybill_numbers),
            priority=Priority.LABEL,
            tenant=tenant,
        )
        if not isinstance(outcome, CarrierLabel):
            raise LabelUnavailable(
                f"{booking.carrier} gives no label: {outcome}",
                "try again, or ask without carrier_made for a label printed by the engine",
            )
        crash_point("label_fetched")
        label = StoredLabel(order_id, booking.waybill_number, outcome.media_type, outcome.content, self._clock.now())
        await self._store.put_label(tenant, label)
        return label

    def _content(self, loaded: LoadedOrder, booking: BookingRecord, index: int) -> LabelContent:
        draft = loaded.order.draft
        names = self._manifests[booking.carrier].names if booking.carrier in self._manifests else None
        numbers = (booking.waybill_number, *booking.sub_waybill_numbers)
        parcel = draft.parcels[min(index, len(draft.parcels) - 1)]
        options = draft.options
        cod, insured = options.cash_on_delivery, options.insured_value
        return LabelContent(
            carrier_code=booking.carrier,
            carrier_name_zh=names.zh if names else booking.carrier,
            carrier_name_en=names.en if names else "",
            service_name=booking.routing.product_name or booking.service_name,
            waybill_number=numbers[index],
            master_waybill_number=booking.waybill_number if index else "",
            piece_number=index + 1,
            piece_count=len(numbers),
            sort_code=booking.routing.sort_code,
            bag_address=booking.routing.bag_address,
            # A carrier's two-dimensional text names its master number; the other pieces carry their own.
            qr_text=booking.routing.qr_text if index == 0 else "",
            shipper=_label_party(draft.shipper.contact.name, draft.shipper.contact.phone, draft.shipper.address.line()),
            recipient=_label_party(
                draft.recipient.contact.name, draft.recipient.contact.phone, draft.recipient.address.line()
            ),
            goods="，".join(f"{item.title}×{item.quantity}" for item in parcel.items),
            weight_g=parcel.weight_g,
            reference=draft.reference,
            remark=draft.remark,
            temperature=options.temperature.value,
            cod_minor_units=cod.minor_units if cod and index == 0 else None,
            insured_minor_units=insured.minor_units if insured else None,
            service_marks=("签单返还",) if options.signed_receipt else (),
            printed_at=self._clock.now().astimezone(self._zone(booking.carrier)),
        )

    def _zone(self, carrier: str) -> ZoneInfo:
        """Where the label is read: the print time on it is that place's."""
        manifest = self._manifests.get(carrier)
        return ZoneInfo(manifest.time_zone if manifest else "Asia/Shanghai")

    async def _fonts(self) -> FontSet:
        """Read with the first label: a third of a second that no restart has to wait for."""
        if self._loaded_fonts is None:
            self._loaded_fonts = await self._in_thread(FontSet.load, self._extra_fonts)
        return self._loaded_fonts

    async def _in_thread(self, function: Callable[[*Args], R], *args: *Args) -> R:
        try:
            return await anyio.to_thread.run_sync(function, *args, limiter=self._threads)
        except LabelError as error:
            raise unavailable(error) from error


def _label_party(name: str, phone: str, line: str) -> LabelParty:
    return LabelParty(name=name, phone=phone, address_line=line)
