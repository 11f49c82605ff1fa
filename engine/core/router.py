"""Asks routing about an order: rules, accounts, prices. The shell around `policy.routing`.

Accounts, manifests and rules stay what they are while an engine runs, so orders that are alike in what routing looks
at have the same candidates, which are kept. A live price or refusal is of one order and is never kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from crossdock_sdk import Lane, Manifest
from crossdock_sdk.manifest import BookingFacts
from engine.core.capacity import NOTHING, Capacity
from engine.core.policy.booking import Candidate, CarrierFacts
from engine.core.policy.records import OrderDraft
from engine.core.policy.routing import (
    AccountFacts,
    Alike,
    Considered,
    Question,
    Required,
    RuleEffect,
    alike,
    route,
)
from engine.core.policy.shares import Shares
from engine.core.quotes import LivePrices

REMEMBERED = 4096
"""Kinds of orders whose candidates are kept."""


class RuleEngine(Protocol):
    """Evaluates the configured rules on an order."""

    def effects(self, draft: OrderDraft) -> tuple[RuleEffect, ...]:
        """The effects of every rule that is true, and of every rule that failed, in the file's order."""


class NoRules:
    """No rule is configured."""

    def effects(self, draft: OrderDraft) -> tuple[RuleEffect, ...]:
        """Nothing."""
        return ()


class Router:
    """Knows accounts, manifests, rules and prices; answers candidates with reasons."""

    def __init__(
        self,
        accounts: Sequence[AccountFacts],
        manifests: Mapping[str, Manifest],
        rules: RuleEngine,
        prices: LivePrices,
        *,
        live_prices: bool,
        capacity: Capacity | None = None,
        shares: Shares | None = None,
    ) -> None:
        self.accounts = tuple(accounts)
        self.manifests = manifests
        self._rules = rules
        self._prices = prices
        self._live_prices = live_prices
        self._required = Required(manifests.values())
        self._known: dict[tuple[Alike, tuple[RuleEffect, ...]], list[Considered]] = {}
        self._capacity = capacity
        self._shares = shares or None

    def consider(self, draft: OrderDraft) -> list[Considered]:
        """Every account and product, with prices known already."""
        return self._route(draft, self._rules.effects(draft), {})

    def lasting(self, draft: OrderDraft) -> list[Candidate]:
        """The candidates for an order that was accepted. A full account stays one: there is a tomorrow."""
        return eligible(self._route(draft, self._rules.effects(draft), {}, NOTHING))

    def assigned(self, candidates: Sequence[Candidate], account_id: str) -> None:
        """An order that any of `candidates` could take goes to `account_id` first; shares go by that."""
        if self._shares is not None:
            self._shares.assigned([c.account_id for c in candidates], account_id)

    async def consider_live(self, draft: OrderDraft, *, tenant: str, deadline_s: float) -> list[Considered]:
        """As `consider`, after asking the candidates that quote for their price."""
        effects = self._rules.effects(draft)
        first = self._route(draft, effects, {})
        refusals = await self._prices.ask(
            [(c.candidate, lane_of(draft, c.candidate.service)) for c in first if not c.exclusions],
            tenant=tenant,
            deadline_s=deadline_s,
        )
        return self._route(draft, effects, refusals)

    async def candidates(self, draft: OrderDraft, *, tenant: str, deadline_s: float) -> list[Considered]:
        """What a booking goes by: live prices only when the configuration asks for them."""
        if self._live_prices:
            return await self.consider_live(draft, tenant=tenant, deadline_s=deadline_s)
        return self.consider(draft)

    def facts(self, carrier: str) -> CarrierFacts:
        """What a carrier offers for recovery; nothing when its plug-in is gone, while orders of it are still open."""
        manifest = self.manifests.get(carrier)
        if manifest is None:
            return CarrierFacts(BookingFacts(), can_find=False)
        return CarrierFacts(manifest.booking, "find" in manifest.operations)

    def service_name(self, candidate_carrier: str, service: str) -> str:
        """A product's name, its code when the manifest does not know it."""
        manifest = self.manifests.get(candidate_carrier)
        return next((s.name for s in manifest.service if s.code == service), service) if manifest else service

    def _route(
        self,
        draft: OrderDraft,
        effects: tuple[RuleEffect, ...],
        refusals: Mapping[str, str],
        full: Mapping[str, str] | None = None,
    ) -> list[Considered]:
        if full is None:
            full = self._capacity.exclusions() if self._capacity is not None else NOTHING
        prices = self._prices.known(draft)
        if prices or refusals or full or self._shares or not self._required.are_filled(draft):
            question = Question(
                draft=draft, effects=effects, live_prices=prices, refusals=refusals, full=full, shares=self._shares
            )
            return route(question, self.accounts, self.manifests)
        key = (alike(draft), effects)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            known = self._known[key] = route(Question(draft, effects), self.accounts, self.manifests)
        return known.copy()


def lane_of(draft: OrderDraft, service: str) -> Lane:
    """The question a carrier is asked for a price."""
    return Lane(
        shipper=draft.shipper,
        recipient=draft.recipient,
        parcels=draft.parcels,
        service=service,
        options=draft.options,
    )


def eligible(considered: Sequence[Considered]) -> list[Candidate]:
    """The candidates among them, best first."""
    return [c.candidate for c in considered if not c.exclusions]
