"""The garbage collector as a witness: which errors were held by nothing but a ring of references."""

from __future__ import annotations

import gc
from types import TracebackType
from typing import Self


class Rings:
    """Collects only when asked, and keeps what it finds.

    In a serving engine the collector seldom runs: whatever needs it is memory that grows.
    """

    def __enter__(self) -> Self:
        self._was_enabled = gc.isenabled()
        gc.disable()
        self.clear()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()
        if self._was_enabled:
            gc.enable()

    def clear(self) -> None:
        """Begin anew: what lies about now is not counted."""
        gc.set_debug(0)
        gc.garbage.clear()
        gc.collect()

    def errors(self) -> list[str]:
        """Types of the errors found in rings, or held by rings, since the beginning."""
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            gc.collect()
            return sorted(type(found).__name__ for found in gc.garbage if isinstance(found, BaseException))
        finally:
            self.clear()
