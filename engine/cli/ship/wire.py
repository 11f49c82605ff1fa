"""What a broken call means for this command. One table, so that every call is judged alike."""

from __future__ import annotations

import grpc
from google.rpc import status_pb2

from engine.cli.ship.problems import Interrupted, ShipError, reason_of

DETAILS_KEY = "grpc-status-details-bin"

_REMEDIES = {
    grpc.StatusCode.UNAUTHENTICATED: "set CROSSDOCK_API_KEY to a key of this engine",
    grpc.StatusCode.PERMISSION_DENIED: "use a key that may create orders",
    grpc.StatusCode.UNIMPLEMENTED: "check --server: what answers there is no Crossdock engine of this version",
}
"""Codes that no further try will change."""


def status_of(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    """The error with its details."""
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            return status_pb2.Status.FromString(value)
    return status_pb2.Status(code=error.code().value[0], message=error.details() or error.code().name)


def is_defect(error: grpc.aio.AioRpcError) -> bool:
    """Whether the engine itself failed on a row of the call, as opposed to the way to it."""
    code = error.code()
    if code is grpc.StatusCode.INTERNAL:
        return reason_of(status_of(error)) == "INTERNAL"
    return code in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS)


def needs_single_calls(error: grpc.aio.AioRpcError) -> bool:
    """Whether calls of one row each must find out what broke the stream.

    Besides a defect that is any INTERNAL: a write that meets the end of a call makes grpc.aio report `Internal error
    from Core` in place of the server's own status, be it UNAUTHENTICATED or a defect.
    """
    return error.code() in (grpc.StatusCode.INTERNAL, grpc.StatusCode.INVALID_ARGUMENT) or is_defect(error)


def final_error(server: str, error: grpc.aio.AioRpcError) -> ShipError | None:
    """Why the command must stop at once; None when another try may help."""
    remedy = _REMEDIES.get(error.code())
    if remedy is None:
        return None
    return ShipError(f"{server}: {error.code().name}: {error.details()}; {remedy}")


def gave_up(server: str, what: str, error: grpc.aio.AioRpcError | None) -> Interrupted:
    """The budget of tries is used up."""
    why = f" ({error.code().name}: {_short(error.details())})" if error is not None else ""
    return Interrupted(
        f"{server}: {what}{why}; check that the engine runs and run the same command again: nothing is booked twice"
    )


def _short(text: str | None) -> str:
    """gRPC appends every address it tried; the first 200 characters say enough."""
    return (text or "")[:200]
