"""What can be set about outbound calls. Units in the names; the engine sets queue_size and drain_s anew (`parts`)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from engine.core.policy.breaker import BreakerRules
from engine.core.policy.failback import FailbackRules
from engine.outbound.job import NO_WEIGHTS


class LaneSettings(msgspec.Struct, frozen=True):
    """How a lane behaves where the carrier's manifest is silent.

    queue_size: items that may wait in one lane. batch_wait_s: the longest an item waits for
    company; five times as long while others keep coming.
    least_time_s: no call starts with less time left. drain_s: how long closing waits for calls
    under way.
    max_body_bytes: the largest answer of a carrier that is read (label answers: max_label_body_bytes).
    slow_share: a call that takes longer than this share of its timeout counts against the breaker.
    breaker: when to open; `open_s` is what tests and demos shorten.
    failback: how an account gets its orders back after its breaker was open.
    tenant_weights: how tenants share a lane that has a backlog; 1 for those that are not named.
    """

    queue_size: int = 4096
    batch_wait_s: float = 0.02
    least_time_s: float = 0.2
    drain_s: float = 20.0
    max_body_bytes: int = 5 * 1024 * 1024
    max_label_body_bytes: int = 20 * 1024 * 1024
    slow_share: float = 0.8
    breaker: BreakerRules = BreakerRules()
    failback: FailbackRules = FailbackRules()
    tenant_weights: Mapping[str, int] = NO_WEIGHTS
