"""What a dashboard is made of, as values: rows of panels, each with its queries, limits and what to do.

Queries may use `$carrier`, `$account` (patterns) and `$__rate_interval` (a window at least four scrapes long), which
Grafana fills in. `filled` does the same for everybody who asks Prometheus without Grafana.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

ALL = ".*"
"""The pattern for every carrier or account; it also takes series without one."""


class Unit(StrEnum):
    """Grafana's ids of the units in use."""

    COUNT = "short"
    PER_SECOND = "ops"
    SECONDS = "s"
    SHARE = "percentunit"


class Look(StrEnum):
    """How a panel shows its values."""

    LINES = "lines"
    STACK = "stack"
    NUMBER = "number"


class Query(msgspec.Struct, frozen=True):
    """PromQL, and a line's name with `{{label}}` in it."""

    expr: str
    legend: str


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """One picture. advice: what it shows and what to do when it looks bad, for somebody who was asleep a minute ago.

    warn, alarm: from here on yellow, red; with `low_is_bad` below them instead. words: value -> what to show for it.
    """

    title: str
    unit: Unit
    advice: str
    queries: tuple[Query, ...]
    look: Look = Look.LINES
    warn: float | None = None
    alarm: float | None = None
    low_is_bad: bool = False
    words: dict[int, str] = {}
    width: int = 8


class Row(msgspec.Struct, frozen=True):
    """Panels that answer one question."""

    title: str
    panels: tuple[Panel, ...]


def filled(expr: str, *, carrier: str = ALL, account: str = ALL, rate_interval: str = "1m") -> str:
    """The query with Grafana's variables filled in. rate_interval: a PromQL duration."""
    return expr.replace("$__rate_interval", rate_interval).replace("$carrier", carrier).replace("$account", account)
