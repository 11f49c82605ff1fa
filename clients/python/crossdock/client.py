"""The client: one connection to an engine, one method per call of the contract.

Methods take plain arguments and the contract's own messages (`crossdock.v1`). An answer that holds
nothing but an order or a track is answered as that. Streams are async generators: leave one early under
`contextlib.aclosing`, so that its call ends at once. What a call can raise stands in errors.py;
what is retried in retry.py.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self

import grpc

from crossdock.calls import Calls, check_timeout
from crossdock.connection import CertificateFiles, TlsChoice, call_metadata, endpoint, open_channel
from crossdock.creating import Created, StreamItem, created_of, new_request_id, stream_creations
from crossdock.errors import ConfigurationError
from crossdock.merging import MergedLabels
from crossdock.retry import Pace
from crossdock.returning import ReturnCalls
from crossdock.tracking import Tracked, track_request, tracked_of
from crossdock.v1 import core_pb2 as core
from crossdock.v1 import label_service_pb2 as labels
from crossdock.v1 import order_service_pb2 as pb
from crossdock.v1 import track_service_pb2 as tracks
from crossdock.v1 import track_status_pb2 as statuses_pb
from crossdock.v1.label_service_pb2_grpc import LabelServiceStub
from crossdock.v1.order_service_pb2_grpc import OrderServiceStub
from crossdock.v1.return_service_pb2_grpc import ReturnServiceStub
from crossdock.v1.track_service_pb2_grpc import TrackServiceStub
from crossdock.watching import watch

if TYPE_CHECKING:  # the async stubs are types only; no such classes exist at run time
    from crossdock.v1.label_service_pb2_grpc import LabelServiceAsyncStub
    from crossdock.v1.order_service_pb2_grpc import OrderServiceAsyncStub
    from crossdock.v1.track_service_pb2_grpc import TrackServiceAsyncStub

TIMEOUT_S = 30.0
LONG_TIMEOUT_S = 300.0


class Client(ReturnCalls):
    """A connection to a Crossdock engine, for `async with`.

    `server` is `host:port` (default: CROSSDOCK_SERVER), `api_key` the tenant's key (default:
    CROSSDOCK_API_KEY). `tls` is True for the system's authorities or the path of a CA file; without
    it the connection is plaintext, which is refused off this machine unless `insecure=True`.
    `client_certificate` is (chain file, key file), PEM. Raises ConfigurationError. Opens its
    connection with the first call.
    """

    def __init__(
        self,
        server: str | None = None,
        *,
        api_key: str | None = None,
        tls: TlsChoice = None,
        client_certificate: CertificateFiles | None = None,
        insecure: bool = False,
        pace: Pace | None = None,
    ) -> None:
        self._endpoint = endpoint(
            server,
            api_key,
            tls=tls,
            client_certificate=client_certificate,
            insecure=insecure,
            environment=os.environ,
        )
        self._calls = Calls(call_metadata(self._endpoint), pace or Pace())
        self._channel: grpc.aio.Channel | None = None

    def __repr__(self) -> str:
        return f"Client({self._endpoint.server!r}, tls={bool(self._endpoint.tls)})"

    async def __aenter__(self) -> Self:
        if self._channel is not None:
            raise RuntimeError("this client is open already; a second connection needs a second Client")
        channel = self._channel = open_channel(self._endpoint)
        self._orders = OrderServiceStub(channel)
        self._labels = LabelServiceStub(channel)
        self._tracks = TrackServiceStub(channel)
        self._returns = ReturnServiceStub(channel)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    async def create_order(
        self, order: core.Order, *, request_id: str | None = None, timeout_s: float = TIMEOUT_S
    ) -> pb.CreateOrderResponse:
        """Accept an order durably and book it; answers the order as far as it got.

        Without `request_id` a new UUID4 is sent, so that the client's own retries cannot book
        twice. Keep an id of your own, or send the same `order.reference` again, to repeat a call
        after a crash. Raises InvalidRequest, FailedPrecondition, AlreadyExists, ResourceExhausted,
        DeadlineExceeded.
        """
        request = pb.CreateOrderRequest(request_id=request_id or new_request_id(), order=order)
        return await self._calls.unary(self._order_stub.CreateOrder, request, timeout_s)

    async def batch_create_orders(
        self,
        orders: Sequence[core.Order],
        *,
        request_ids: Sequence[str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> list[Created]:
        """Create up to 500 orders.

        Answers one order or CrossdockError (returned, not raised) per item, in their order.
        """
        ids = [new_request_id() for _ in orders] if request_ids is None else request_ids
        if len(ids) != len(orders):
            raise ConfigurationError(f"request_ids: {len(ids)} for {len(orders)} orders; give one for each or none")
        requests = [pb.CreateOrderRequest(request_id=i, order=o) for i, o in zip(ids, orders, strict=True)]
        request = pb.BatchCreateOrdersRequest(requests=requests)
        answer = await self._calls.unary(self._order_stub.BatchCreateOrders, request, timeout_s)
        return [created_of(result) for result in answer.results]

    def stream_create_orders(
        self,
        items: AsyncIterable[StreamItem] | Iterable[StreamItem],
        *,
        timeout_s: float | None = None,
    ) -> AsyncGenerator[tuple[int, Created], None]:
        """Create any number of orders; yields (index, order or CrossdockError) as they finish.

        `items` yields (index, order) or (index, order, request_id); it is read no faster than the
        engine books. An exception of `items` ends the stream and is raised here. When the
        connection is lost, Unavailable is raised: sending the unanswered items again is safe, by
        their request_id or their reference.
        """
        if timeout_s is not None:
            check_timeout(timeout_s)
        return stream_creations(self._order_stub, items, self._calls.metadata, timeout_s)

    async def get_order(self, *, order_id: str = "", reference: str = "", timeout_s: float = TIMEOUT_S) -> core.Order:
        """Find one order by the engine's id or the merchant's own number. Raises NotFound."""
        if bool(order_id) == bool(reference):
            raise ConfigurationError("order_id, reference: give exactly one of the two")
        key = pb.GetOrderRequest(order_id=order_id) if order_id else pb.GetOrderRequest(reference=reference)
        return (await self._calls.unary(self._order_stub.GetOrder, key, timeout_s)).order

    async def list_orders(
        self,
        *,
        states: Iterable[core.Order.State.ValueType] = (),
        carriers: Iterable[str] = (),
        reference_prefix: str = "",
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        page_size: int = 0,
        timeout_s: float = TIMEOUT_S,
    ) -> AsyncGenerator[core.Order, None]:
        """Orders by ascending creation; each page is fetched when needed, within `timeout_s`.

        `created_after` is inclusive, `created_before` is not; both must be aware. `page_size` 0
        means 50.
        """
        request = pb.ListOrdersRequest(
            page_size=page_size, states=states, carriers=carriers, reference_prefix=reference_prefix
        )
        if created_after is not None:
            request.created_after_time.FromDatetime(_aware("created_after", created_after))
        if created_before is not None:
            request.created_before_time.FromDatetime(_aware("created_before", created_before))
        while True:
            page = await self._calls.unary(self._order_stub.ListOrders, request, timeout_s)
            for order in page.orders:
                yield order
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def cancel_order(self, order_id: str, *, timeout_s: float = TIMEOUT_S) -> core.Order:
        """Cancel an order: CANCELLED, or CANCELLING until the carrier confirms.

        It may still be being booked; cancelling twice is one cancel.
        Raises NotFound, FailedPrecondition.
        """
        request = pb.CancelOrderRequest(order_id=order_id)
        return (await self._calls.unary(self._order_stub.CancelOrder, request, timeout_s)).order

    async def quote_order(
        self, order: core.Order, *, live_prices: bool = False, timeout_s: float = TIMEOUT_S
    ) -> pb.QuoteOrderResponse:
        """Dry run: every candidate with price and rank, and why the others are excluded.

        Raises InvalidRequest.
        """
        request = pb.QuoteOrderRequest(order=order, live_prices=live_prices)
        return await self._calls.unary(self._order_stub.QuoteOrder, request, timeout_s)

    def watch_orders(
        self,
        cursor: str = "",
        *,
        states: Iterable[core.Order.State.ValueType] = (),
        carriers: Iterable[str] = (),
        kinds: Iterable[pb.OrderEvent.Kind.ValueType] = (),
        give_up_after_s: float = LONG_TIMEOUT_S,
    ) -> AsyncGenerator[pb.WatchOrdersResponse, None]:
        """What happens to the tenant's orders and returns, in commit order; never ends by itself.

        Each message has a `cursor`, and an `event` unless it is a checkpoint (`HasField("event")`).
        A lost connection is taken up again from the last cursor, unseen by the reader, for up to
        `give_up_after_s` without contact (then Unavailable is raised). Cursor "" starts when the
        engine is first reached, so until the first message a cut may move the start: pass a kept
        cursor, or `0` for all that is kept. Raises OutOfRange for a cursor that is too old.
        """
        check_timeout(give_up_after_s)
        first = pb.WatchOrdersRequest(cursor=cursor, states=states, carriers=carriers, kinds=kinds)
        return watch(self._order_stub.WatchOrders, first, self._calls, give_up_after_s)

    async def get_label(
        self,
        order_id: str,
        spec: labels.LabelSpec | None = None,
        *,
        piece_number: int = 0,
        timeout_s: float = TIMEOUT_S,
    ) -> labels.GetLabelResponse:
        """The label of one order, all parcels or one; by default PDF, 100 x 150 mm.

        Raises NotFound, FailedPrecondition (not booked, or a character that no font has).
        """
        request = labels.GetLabelRequest(order_id=order_id, spec=spec, piece_number=piece_number)
        return await self._calls.unary(self._label_stub.GetLabel, request, timeout_s)

    def merge_labels(
        self,
        order_ids: Iterable[str],
        spec: labels.LabelSpec | None = None,
        *,
        timeout_s: float = LONG_TIMEOUT_S,
    ) -> MergedLabels:
        """One file with the labels of up to 20,000 orders; read `.chunks`, then see `.skipped`.

        Retried only before the first chunk: a file that broke off must be asked for again.
        """
        check_timeout(timeout_s)
        request = labels.MergeLabelsRequest(order_ids=order_ids, spec=spec)
        return MergedLabels(self._calls.stream(self._label_stub.MergeLabels, request, timeout_s))

    async def get_track(
        self,
        *,
        carrier: str = "",
        waybill_number: str = "",
        phone_tail: str = "",
        order_id: str = "",
        max_age_s: float | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> tracks.Track:
        """Where a parcel is, by carrier and number or by order; `freshness` says how old that is.

        `max_age_s` None answers what is known, 0 asks the carrier now; one that does not answer
        costs freshness only. A number that was not booked here is followed from then on.
        Raises NotFound, InvalidRequest.
        """
        request = track_request(
            carrier=carrier,
            waybill_number=waybill_number,
            phone_tail=phone_tail,
            order_id=order_id,
            max_age_s=max_age_s,
        )
        return (await self._calls.unary(self._track_stub.GetTrack, request, timeout_s)).track

    async def batch_get_tracks(
        self, requests: Iterable[tracks.GetTrackRequest], *, timeout_s: float = TIMEOUT_S
    ) -> list[Tracked]:
        """Up to 500 parcels; build the requests with `crossdock.track_request`.

        Answers one track or CrossdockError (returned, not raised) per request, in their order.
        """
        request = tracks.BatchGetTracksRequest(requests=requests)
        answer = await self._calls.unary(self._track_stub.BatchGetTracks, request, timeout_s)
        return [tracked_of(result) for result in answer.results]

    async def subscribe_tracks(self, keys: Iterable[tracks.TrackKey], *, timeout_s: float = TIMEOUT_S) -> list[Tracked]:
        """Follow up to 500 numbers that were not booked here; twice is one subscription.

        Answers one track or CrossdockError (returned, not raised) per key, in their order.
        """
        request = tracks.SubscribeTracksRequest(keys=keys)
        answer = await self._calls.unary(self._track_stub.SubscribeTracks, request, timeout_s)
        return [tracked_of(result) for result in answer.results]

    async def unsubscribe_tracks(
        self, keys: Iterable[tracks.TrackKey], *, timeout_s: float = TIMEOUT_S
    ) -> list[Tracked]:
        """Follow them no more; what is known is kept. Answers as `subscribe_tracks`."""
        request = tracks.UnsubscribeTracksRequest(keys=keys)
        answer = await self._calls.unary(self._track_stub.UnsubscribeTracks, request, timeout_s)
        return [tracked_of(result) for result in answer.results]

    def watch_tracks(
        self,
        cursor: str = "",
        *,
        statuses: Iterable[statuses_pb.TrackStatus.ValueType] = (),
        milestones: Iterable[statuses_pb.Milestone.ValueType] = (),
        carriers: Iterable[str] = (),
        waybill_numbers: Iterable[str] = (),
        status_changes_only: bool = False,
        alerts_only: bool = False,
        give_up_after_s: float = LONG_TIMEOUT_S,
    ) -> AsyncGenerator[tracks.WatchTracksResponse, None]:
        """What happens to the tenant's parcels, in commit order; never ends by itself.

        Each message has a `cursor`, and `news` unless it is a checkpoint (`HasField("news")`): of an event, or of an
        alert of a parcel that stands still (`news.HasField("alert")`), raised or resolved.
        Cursors, cuts and errors are as in `watch_orders`; the two have cursors of their own.
        """
        check_timeout(give_up_after_s)
        first = tracks.WatchTracksRequest(
            cursor=cursor,
            statuses=statuses,
            milestones=milestones,
            carriers=carriers,
            waybill_numbers=waybill_numbers,
            status_changes_only=status_changes_only,
            alerts_only=alerts_only,
        )
        return watch(self._track_stub.WatchTracks, first, self._calls, give_up_after_s)

    async def recognize_carrier(
        self, waybill_number: str, *, timeout_s: float = TIMEOUT_S
    ) -> list[tracks.RecognizeCarrierResponse.Guess]:
        """Carriers a number may belong to, likeliest first; none when no carrier's pattern fits."""
        request = tracks.RecognizeCarrierRequest(waybill_number=waybill_number)
        return list((await self._calls.unary(self._track_stub.RecognizeCarrier, request, timeout_s)).guesses)

    @property
    def _order_stub(self) -> OrderServiceAsyncStub:
        self._check_open()
        return self._orders

    @property
    def _label_stub(self) -> LabelServiceAsyncStub:
        self._check_open()
        return self._labels

    @property
    def _track_stub(self) -> TrackServiceAsyncStub:
        self._check_open()
        return self._tracks

    def _check_open(self) -> None:
        if self._channel is None:
            raise RuntimeError("this client is not open; use it inside `async with Client(...) as client:`")


def _aware(name: str, when: datetime) -> datetime:
    if when.utcoffset() is None:
        raise ConfigurationError(f"{name}: has no time zone; pass an aware datetime (tzinfo=UTC)")
    return when
