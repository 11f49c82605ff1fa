"""How a simulator misbehaves, as one value that can be replaced while it runs."""

from __future__ import annotations

import msgspec


class Faults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Fault controls; shares are probabilities 0..1, drawn by the server from a seeded generator.

    operations: only these SDK operations are hit (empty = all). latency_s, latency_jitter_s: added
    before the answer. error_share: answers the carrier's system error, nothing done. cut_share:
    connection closed after the request was read, nothing done. accept_then_cut_share: done, then
    closed without an answer. half_answer_share: done, half the answer sent. odd_body_share: done,
    answered with an HTML page. silence_share: done, never answered. quota_per_s: hidden quota over
    all operations that are hit; calls above it get the carrier's "busy" answer. lookup_blind_s: a
    look-up does not see bookings younger than this. refuse_bookings: a business refusal for lack
    of capacity. down: the port is closed.

    The shares exclude each other, so their sum is at most 1. Raises ValueError naming a wrong
    value.
    """

    operations: tuple[str, ...] = ()
    latency_s: float = 0.0
    latency_jitter_s: float = 0.0
    error_share: float = 0.0
    cut_share: float = 0.0
    accept_then_cut_share: float = 0.0
    half_answer_share: float = 0.0
    odd_body_share: float = 0.0
    silence_share: float = 0.0
    quota_per_s: float | None = None
    lookup_blind_s: float = 0.0
    refuse_bookings: bool = False
    down: bool = False

    def __post_init__(self) -> None:
        shares = {k: getattr(self, k) for k in self.__struct_fields__ if k.endswith("_share")}
        for key, share in shares.items():
            if not 0 <= share <= 1:
                raise ValueError(f"{key} = {share} must be a share between 0 and 1")
        if sum(shares.values()) > 1 + 1e-9:
            raise ValueError(f"the sum of {' + '.join(shares)} must not exceed 1")
        for key in ("latency_s", "latency_jitter_s", "lookup_blind_s"):
            if getattr(self, key) < 0:
                raise ValueError(f"{key} = {getattr(self, key)} must be seconds, 0 or more")
        if self.quota_per_s is not None and self.quota_per_s < 0:
            raise ValueError(f"quota_per_s = {self.quota_per_s} must be calls per second, or null")
