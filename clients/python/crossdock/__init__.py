"""Crossdock's Python client: book parcels, print labels, follow parcels through an engine.

`crossdock.v1` holds the generated messages of the contract; see its .proto files for what every
field means.
"""

from __future__ import annotations

from crossdock.client import Client
from crossdock.creating import Created, StreamItem
from crossdock.errors import (
    AlreadyExists,
    ConfigurationError,
    CrossdockError,
    DeadlineExceeded,
    FailedPrecondition,
    FieldViolation,
    Internal,
    InvalidRequest,
    NotFound,
    OutOfRange,
    PermissionDenied,
    PreconditionViolation,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    Unimplemented,
    error_from_status,
)
from crossdock.merging import MergedLabels
from crossdock.tracking import Tracked, track_request

__all__ = [
    "AlreadyExists",
    "Client",
    "ConfigurationError",
    "Created",
    "CrossdockError",
    "DeadlineExceeded",
    "FailedPrecondition",
    "FieldViolation",
    "Internal",
    "InvalidRequest",
    "MergedLabels",
    "NotFound",
    "OutOfRange",
    "PermissionDenied",
    "PreconditionViolation",
    "ResourceExhausted",
    "StreamItem",
    "Tracked",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "error_from_status",
    "track_request",
]
