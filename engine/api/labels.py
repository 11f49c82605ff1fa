"""LabelService: reads the contract, calls the use cases, writes the contract."""

from __future__ import annotations

from collections.abc import AsyncIterator

from google.rpc.error_details_pb2 import ErrorInfo

from crossdock.v1 import label_service_pb2, label_service_pb2_grpc
from engine.api import validation
from engine.api.errors import status_of
from engine.api.gate import current
from engine.core.errors import LabelUnavailable, UseCaseError
from engine.core.labels import Labels
from engine.core.merging import Merged, Skipped
from engine.core.printing import LabelSpec
from engine.labels import LabelFormat, LabelSize

pb = label_service_pb2

FORMATS = {
    pb.LABEL_FORMAT_UNSPECIFIED: LabelFormat.PDF,
    pb.LABEL_FORMAT_PDF: LabelFormat.PDF,
    pb.LABEL_FORMAT_PNG: LabelFormat.PNG,
    pb.LABEL_FORMAT_ZPL: LabelFormat.ZPL,
}
SIZES = {
    pb.LABEL_SIZE_UNSPECIFIED: LabelSize.MM_100X150,
    pb.LABEL_SIZE_100X150: LabelSize.MM_100X150,
    pb.LABEL_SIZE_100X180: LabelSize.MM_100X180,
    pb.LABEL_SIZE_76X130: LabelSize.MM_76X130,
    pb.LABEL_SIZE_4X6_INCH: LabelSize.IN_4X6,
}


class LabelServicer(label_service_pb2_grpc.LabelServiceServicer):
    """See proto/crossdock/v1/label_service.proto."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels

    async def GetLabel(self, request: pb.GetLabelRequest, context: object) -> pb.GetLabelResponse:
        """One order's label."""
        validation.check(request)
        file = await self._labels.get(
            current.get().tenant, request.order_id, _spec(request.spec), piece_number=request.piece_number
        )
        return pb.GetLabelResponse(
            content=file.content, media_type=file.media_type, waybill_numbers=file.waybill_numbers
        )

    async def MergeLabels(
        self, request: pb.MergeLabelsRequest, context: object
    ) -> AsyncIterator[pb.MergeLabelsResponse]:
        """One file, in chunks."""
        validation.check(request)
        async for part in self._labels.merge(current.get().tenant, request.order_ids, _spec(request.spec)):
            if isinstance(part, Merged):
                yield pb.MergeLabelsResponse(skipped=[_skipped(s) for s in part.skipped], label_count=part.label_count)
            else:
                yield pb.MergeLabelsResponse(chunk=part)


def _spec(spec: pb.LabelSpec) -> LabelSpec:
    return LabelSpec(
        format=FORMATS[spec.format],
        size=SIZES[spec.size],
        dpi=300 if spec.dpi == 300 else 203,
        carrier_made=spec.carrier_made,
    )


def _skipped(skipped: Skipped) -> pb.SkippedLabel:
    error: UseCaseError = skipped.error
    message = pb.SkippedLabel(order_id=skipped.order_id, message=str(error), reason=_reason(error))
    if isinstance(error, LabelUnavailable):
        message.message, message.remedy, message.field = error.message, error.remedy, error.field
    return message


def _reason(error: UseCaseError) -> str:
    """The reason the error would have as a status."""
    status = status_of(error)
    info = ErrorInfo()
    if status is not None and status.details and status.details[0].Unpack(info):
        return str(info.reason)
    return "INTERNAL"
