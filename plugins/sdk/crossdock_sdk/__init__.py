"""What a carrier author imports. `import crossdock_sdk` loads no grpc, protobuf, HTTP library or
engine.

Start with `Carrier` (the operations), `carrier.toml` (see `Manifest`) and `crossdock_sdk.testing`.
"""

from crossdock_sdk.carrier import Account, CallContext, Carrier, Secret, Session
from crossdock_sdk.errors import (
    CarrierError,
    Code,
    CodeTable,
    ErrorClass,
    ManifestError,
    PushRefused,
    SideEffect,
)
from crossdock_sdk.flow import Flow, HttpRequest, HttpResponse
from crossdock_sdk.hookspecs import hookimpl
from crossdock_sdk.limits import Limit
from crossdock_sdk.manifest import Manifest, Repeat
from crossdock_sdk.models import (
    Absent,
    Address,
    Booked,
    Booking,
    BookOutcome,
    Cancellation,
    Cancelled,
    CancelOutcome,
    CarrierLabel,
    Contact,
    FindOutcome,
    Item,
    LabelOutcome,
    LabelRequest,
    Lane,
    Money,
    Option,
    Options,
    Parcel,
    Party,
    Pending,
    Quote,
    QuoteOutcome,
    Refused,
    Routing,
    ServiceLevel,
    SortCodeOutcome,
    SortCodeRequest,
    Temperature,
)
from crossdock_sdk.push import BookingNews, BookingState, PushReceipt, PushRequest

__all__ = [
    "Absent", "Account", "Address", "BookOutcome", "Booked", "Booking", "BookingNews",
    "BookingState", "CallContext", "CancelOutcome", "Cancellation", "Cancelled", "Carrier",
    "CarrierError", "CarrierLabel", "Code", "CodeTable", "Contact", "ErrorClass", "FindOutcome",
    "Flow", "HttpRequest", "HttpResponse", "Item", "LabelOutcome", "LabelRequest", "Lane", "Limit",
    "Manifest", "ManifestError", "Money", "Option", "Options", "Parcel", "Party", "Pending",
    "PushReceipt", "PushRefused", "PushRequest", "Quote", "QuoteOutcome", "Refused", "Repeat",
    "Routing", "Secret", "ServiceLevel", "Session", "SideEffect", "SortCodeOutcome",
    "SortCodeRequest", "Temperature", "hookimpl",
]  # fmt: skip
