"""`crossdock serve` prepares the process for serving."""

from __future__ import annotations

import gc

from engine.cli.serve import YOUNG_OBJECTS, settle_collector


def test_what_start_up_made_is_never_swept_again() -> None:
    """The collector forgets it, and waits for many new objects before it looks at any."""
    before = gc.get_threshold()
    try:
        settle_collector()

        assert gc.get_freeze_count() > 10_000
        assert gc.get_threshold()[0] == YOUNG_OBJECTS
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
