"""What the account's contract means for its calls (carrier sheet section 4.3: partnerType,
orderType).

Defaults are repeated here because an account may come from a configuration that leaves optional
keys out.
"""

from __future__ import annotations

from crossdock_sdk import Account

FULL_NETWORK = "1"
"""orderType of a full-network parcel (全网件): a number that cannot be cancelled by call."""

GROUP_CUSTOMER = "1"
"""partnerType of a group customer (集团客户): named by customerId, without password."""


def partner_type(account: Account) -> str:
    """1 group customer, 2 everybody else."""
    return account.setting("partner_type") or "2"


def order_type(account: Account) -> str:
    """1 full-network parcel, 2 pick-up order with its number in the answer."""
    return account.setting("order_type") or FULL_NETWORK


def full_network(account: Account) -> bool:
    """True when the account's bookings are full-network numbers."""
    return order_type(account) == FULL_NETWORK
