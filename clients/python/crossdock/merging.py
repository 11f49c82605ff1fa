"""One file with the labels of many orders, in pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator

from crossdock.v1 import label_service_pb2 as pb


class MergedLabels:
    """A label file on its way: read `chunks` to the end, then ask `skipped` and `label_count`.

    `chunks` yields bytes, at most 256 KiB each, once; concatenated they are the file. Nothing is
    sent before the first one is asked for. The engine says what it left out in its last message, so
    asking earlier raises RuntimeError.
    """

    def __init__(self, answers: AsyncIterator[pb.MergeLabelsResponse]) -> None:
        self._last: pb.MergeLabelsResponse | None = None
        self._complete = False
        self.chunks: AsyncIterator[bytes] = self._read(answers)

    @property
    def skipped(self) -> tuple[pb.SkippedLabel, ...]:
        """Orders that are not in the file, each with reason, message and remedy."""
        return tuple(self._end().skipped)

    @property
    def label_count(self) -> int:
        """Labels in the file."""
        return self._end().label_count

    async def _read(self, answers: AsyncIterator[pb.MergeLabelsResponse]) -> AsyncIterator[bytes]:
        async for answer in answers:
            self._last = answer
            if answer.chunk:
                yield answer.chunk
        self._complete = True

    def _end(self) -> pb.MergeLabelsResponse:
        if not self._complete:
            raise RuntimeError("the label file is not complete; read `chunks` to the end first")
        return self._last or pb.MergeLabelsResponse()
