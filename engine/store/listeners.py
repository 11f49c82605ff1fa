"""Tells those who listen to a store what was committed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")

_log = logging.getLogger("crossdock.store")


def tell_all(listeners: Iterable[Callable[[T], None]], what: T) -> None:
    """Call every listener; what one raises is only logged."""
    for listener in listeners:
        try:
            listener(what)
        except Exception:  # one deaf watcher must not keep a committed write from its caller
            _log.exception("store: a commit listener failed; the others go on")
