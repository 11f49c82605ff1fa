"""Who may still have an order booked when many are: no tenant takes the places of all others. Pure."""

from __future__ import annotations

from collections.abc import Mapping

FIRST_COME_SHARE = 0.5
"""Of all places: so many are anybody's. Beyond, a tenant that holds its part by weight gets no more."""


def has_place(tenant: str, open_by_tenant: Mapping[str, int], *, most: int, weights: Mapping[str, int]) -> bool:
    """Whether an order of `tenant` may be opened beside those that are open.

    weights: of all tenants; a tenant alone has all places.
    """
    taken = sum(open_by_tenant.values())
    if taken < most * FIRST_COME_SHARE:
        return True
    part = weights.get(tenant, 1) / max(sum(weights.values()), 1)
    return taken < most and open_by_tenant.get(tenant, 0) < most * part
