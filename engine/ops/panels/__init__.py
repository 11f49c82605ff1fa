"""All rows of the dashboard, from "is it well?" down to the disk. One module a subject; nothing but tables."""

from __future__ import annotations

from engine.ops.panel import Row
from engine.ops.panels.bookings import BOOKINGS
from engine.ops.panels.calls import AT_A_GLANCE, CALLS
from engine.ops.panels.carriers import CARRIERS, LANES
from engine.ops.panels.engine import BUSY, PUSHES, STORE, TRACKING
from engine.ops.panels.returns import RETURNS

ROWS: tuple[Row, ...] = (AT_A_GLANCE, CALLS, BOOKINGS, CARRIERS, LANES, BUSY, STORE, PUSHES, TRACKING, RETURNS)
