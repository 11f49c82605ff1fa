"""Fetches the labels of all booked rows as one file, in the order of the rows.

The file is written beside its place and renamed when it is whole. A call takes at most 20,000 orders, so longer files
get labels-2.pdf and so on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import grpc
import msgspec

from crossdock.v1 import label_service_pb2 as pb
from engine.cli.ship.channel import Endpoint, Stubs
from engine.cli.ship.desk import Desk
from engine.cli.ship.orders import OrderReader
from engine.cli.ship.patience import Patience
from engine.cli.ship.problems import Problem, split_remedy
from engine.cli.ship.results import BOOKED, with_problem
from engine.cli.ship.wire import final_error, gave_up
from engine.clock import Clock

MOST_ORDERS = 20_000
RETRY_S = 60.0

SIZES = {
    "100x150": pb.LABEL_SIZE_100X150,
    "100x180": pb.LABEL_SIZE_100X180,
    "76x130": pb.LABEL_SIZE_76X130,
    "4x6in": pb.LABEL_SIZE_4X6_INCH,
}
FORMATS = {"pdf": pb.LABEL_FORMAT_PDF, "zpl": pb.LABEL_FORMAT_ZPL}


class LabelFiles(msgspec.Struct, frozen=True):
    """What was written: the files in their order and the labels in all of them."""

    paths: tuple[Path, ...] = ()
    label_count: int = 0


class Labeller:
    """Writes the label files of a desk's booked rows into `folder`."""

    def __init__(
        self,
        desk: Desk,
        reader: OrderReader,
        stubs: Stubs,
        to: Endpoint,
        clock: Clock,
        folder: Path,
        *,
        size: str = "100x150",
        format: str = "pdf",
        retry_s: float = RETRY_S,
    ) -> None:
        self._desk = desk
        self._reader = reader
        self._stubs = stubs
        self._to = to
        self._clock = clock
        self._folder = folder
        self._format = format
        self._spec = pb.LabelSpec(format=FORMATS[format], size=SIZES[size])
        self._retry_s = retry_s

    async def run(self) -> LabelFiles:
        """Fetch and write. Rows whose label cannot be printed get the reason. Raises ShipError, Interrupted."""
        results = [self._desk.results[line] for line in sorted(self._desk.results)]
        order_ids = list(dict.fromkeys(result.order_id for result in results if result.state == BOOKED))
        paths = []
        label_count = 0
        for number, start in enumerate(range(0, len(order_ids), MOST_ORDERS), start=1):
            path = self._folder / (f"labels.{self._format}" if number == 1 else f"labels-{number}.{self._format}")
            last = await self._fetch(order_ids[start : start + MOST_ORDERS], path)
            if last.label_count:
                paths.append(path)
            else:
                path.unlink(missing_ok=True)
            label_count += last.label_count
            self._note_skipped(last.skipped)
        self._remove_stale(paths)
        return LabelFiles(tuple(paths), label_count)

    async def _fetch(self, order_ids: Sequence[str], path: Path) -> pb.MergeLabelsResponse:
        """One file, from its beginning again when the connection breaks; the last message."""
        patience = Patience(self._retry_s)
        while True:
            try:
                return await self._fetch_once(order_ids, path)
            except grpc.aio.AioRpcError as error:
                if (final := final_error(self._to.server, error)) is not None:
                    raise final from error
                delay_s = patience.failed(self._clock.monotonic())
                if delay_s is None or error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise gave_up(self._to.server, "the labels could not be fetched", error) from error
            await self._clock.sleep(delay_s)

    async def _fetch_once(self, order_ids: Sequence[str], path: Path) -> pb.MergeLabelsResponse:
        draft = path.with_name(f".{path.name}.part")
        last = pb.MergeLabelsResponse()
        request = pb.MergeLabelsRequest(order_ids=order_ids, spec=self._spec)
        call = self._stubs.labels.MergeLabels(request, metadata=self._to.metadata)
        try:
            # Pieces of at most 256 KiB: shorter than a thread's round trip.
            with draft.open("wb") as file:
                async for last in call:
                    file.write(last.chunk)
        finally:
            call.cancel()
        draft.replace(path)
        return last

    def _note_skipped(self, skipped: Sequence[pb.SkippedLabel]) -> None:
        reasons = {each.order_id: self._problem(each) for each in skipped}
        for result in list(self._desk.results.values()):
            problem = reasons.get(result.order_id) if result.order_id else None
            if problem is not None:
                self._desk.put(with_problem(result, problem))

    def _problem(self, skipped: pb.SkippedLabel) -> Problem:
        error, remedy = skipped.message, skipped.remedy
        if not remedy:
            error, remedy = split_remedy(skipped.message)
        column = self._reader.column_of_path(skipped.field) if skipped.field else ""
        return Problem(column, f"label: {error}", remedy or "ask who runs the engine")

    def _remove_stale(self, written: Sequence[Path]) -> None:
        """Label files of a former run that this one did not write would tell of other rows than results.csv."""
        for path in self._folder.glob(f"labels*.{self._format}"):
            is_ours = path.stem == "labels" or path.stem.removeprefix("labels-").isdigit()
            if is_ours and path not in written:
                path.unlink()
