"""Structured logs: one JSON object a line on standard error.

Personal data and secrets are masked by type (`repr` of sdk structs shows nothing) and, as a second net, by key:
a value whose key names a secret or a person is replaced. Messages never quote carriers' bodies.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}

MASKED_KEYS = frozenset(
    """authorization api_key secret check_word app_secret password token name phone mobile street address
    email contact shipper recipient""".split()
)
OWN_LOGGERS = "crossdock."
"""How loggers of rooms that do not know this module begin."""
_encode = msgspec.json.Encoder().encode


def configure(level: str, stream: Any = None) -> None:
    """Set structlog up for the process. `level` is a key of LEVELS."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            mask,
            lambda _, __, event: _encode(event),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.BytesLoggerFactory(stream or sys.stderr.buffer),
        cache_logger_on_first_use=False,
    )
    # Libraries and the store speak through logging; only what is wrong matters here.
    heard = logging.StreamHandler(sys.stderr)
    heard.setFormatter(_Heard())
    logging.basicConfig(level=logging.WARNING, handlers=[heard])


class _Heard(logging.Formatter):
    """What was told through `logging`, as a line like all others.

    Only our own texts are quoted: a library's may quote what it was given, secrets and persons among it.
    """

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "level": record.levelname.lower(),
            "logger": record.name,
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
        }
        if record.name.startswith(OWN_LOGGERS):
            line["event"] = record.getMessage()
            if record.exc_info:
                line["exception"] = self.formatException(record.exc_info)
        return _encode(line).decode()


def mask(_: object, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Replace values that name a secret or a person, however deep, and show structs by their masking repr."""
    for key, value in event.items():
        event[key] = "***" if key.lower() in MASKED_KEYS else _shown(value)
    return event


def _shown(value: object) -> object:
    """Plain data as it is; the encoder would write every field of a struct, personal ones too."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(k): "***" if str(k).lower() in MASKED_KEYS else _shown(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_shown(each) for each in value]
    return f"{len(value)} bytes" if isinstance(value, bytes | bytearray) else repr(value)


def logger() -> Any:
    """The process's logger: `logger().info("order booked", order_id=…)`."""
    return structlog.get_logger()


def failure_log(job: str) -> Callable[[Exception], None]:
    """What a background job tells its failures: a line with its name, and nothing of what it held."""

    def tell(error: Exception) -> None:
        logger().error("background job failed", job=job, error=type(error).__name__)

    return tell
