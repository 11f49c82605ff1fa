"""Routing: which carrier accounts and products may take an order, which is asked first, and why.

Pure. The steps, in order: what the carrier can do (its manifest), what the caller allows, what the rules say,
then preference, shares, price and priority. Every account and product is answered, the excluded ones with all reasons,
so that "why not 中通?" never needs a look into the code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter

import msgspec

from crossdock_sdk import Manifest, Money, Option, Options, ServiceLevel, Temperature
from crossdock_sdk.manifest import Service
from engine.core.policy.booking import Candidate
from engine.core.policy.records import OrderDraft, RoutingWish
from engine.core.policy.shares import Shares


class Tariff(msgspec.Struct, frozen=True):
    """Contract price to some provinces ("*" = all others), in fen: first weight, then each started step."""

    provinces: tuple[str, ...]
    first_weight_g: int
    first_price_fen: int
    step_weight_g: int
    step_price_fen: int


class AccountFacts(msgspec.Struct, frozen=True):
    """What routing knows of a configured account."""

    account_id: str
    carrier: str
    priority: int = 100
    tariff: tuple[Tariff, ...] = ()


class RuleEffect(msgspec.Struct, frozen=True):
    """What a rule does when its expression is true. `failed` says that it could not be evaluated."""

    name: str
    only: tuple[str, ...] = ()
    prefer: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    failed: str = ""


class LivePrice(msgspec.Struct, frozen=True):
    """A carrier's own price for one service on this lane."""

    freight: Money | None
    transit_s: int | None = None


class Considered(msgspec.Struct, frozen=True):
    """One account and product with everything that speaks for or against it. `rank` is 0 when excluded."""

    candidate: Candidate
    rank: int
    reasons: tuple[str, ...]
    exclusions: tuple[str, ...]
    freight: Money | None = None
    freight_is_live: bool = False
    transit_s: int | None = None


class Question(msgspec.Struct, frozen=True):
    """Everything routing looks at besides the manifests."""

    draft: OrderDraft
    effects: tuple[RuleEffect, ...] = ()
    live_prices: Mapping[tuple[str, str], LivePrice] = {}
    """By (account_id, service)."""
    refusals: Mapping[str, str] = {}
    """Live refusals by account_id ("destination stopped"), as the carrier answered a quote."""
    full: Mapping[str, str] = {}
    """Accounts that have had their orders of the day, and how many that were."""
    shares: Shares | None = None
    """Targets of accounts that could take the same order."""


class Alike(msgspec.Struct, frozen=True):
    """Everything of an order that routing looks at while each carrier finds its required fields filled.

    Orders alike in it, under the same effects, have the same candidates.
    """

    service_level: ServiceLevel
    options: Options
    routing: RoutingWish
    weight_g: int
    parcel_count: int
    from_country: str
    to_country: str
    to_province: str


def alike(draft: OrderDraft) -> Alike:
    """What of an order decides its candidates, its required fields apart."""
    to = draft.recipient.address
    return Alike(
        draft.service_level,
        draft.options,
        draft.routing,
        draft.weight_g,
        len(draft.parcels),
        draft.shipper.address.country_code,
        to.country_code,
        to.province,
    )


class Required:
    """The fields that any of some carriers requires."""

    def __init__(self, manifests: Iterable[Manifest]) -> None:
        paths = sorted({path for manifest in manifests for path in manifest.required_fields})
        of_parties = [path for path in paths if path.startswith(("shipper.", "recipient."))]
        self._of_parties = attrgetter("shipper", "recipient", *of_parties)
        self._others = [path for path in paths if path not in of_parties]

    def are_filled(self, draft: OrderDraft) -> bool:
        """Whether an order has all of them."""
        try:
            filled = all(self._of_parties(draft))
        except AttributeError:  # a manifest asks for what no order has
            return False
        return filled and all(_filled(draft, path) for path in self._others)


def route(question: Question, accounts: Sequence[AccountFacts], manifests: Mapping[str, Manifest]) -> list[Considered]:
    """All accounts and products, candidates first by rank, then the excluded ones."""
    considered = [
        _consider(question, account, manifests[account.carrier], service)
        for account in accounts
        if account.carrier in manifests
        for service in _services(question, account, manifests[account.carrier])
    ]
    priority = {a.account_id: a.priority for a in accounts}
    fitting = [c for c in considered if not c.exclusions]
    lag = question.shares.lag([c.candidate.account_id for c in fitting]) if question.shares else {}
    chosen = sorted(
        fitting,
        key=lambda c: (
            _preference(question, c.candidate.carrier),
            lag.get(c.candidate.account_id, 0.0),
            c.freight.minor_units if c.freight else _NO_PRICE,
            priority[c.candidate.account_id],
            c.candidate.account_id,
        ),
    )
    ranked = [msgspec.structs.replace(c, rank=i) for i, c in enumerate(chosen, 1)]
    return ranked + [c for c in considered if c.exclusions]


_NO_PRICE = 1 << 60


def _services(question: Question, account: AccountFacts, manifest: Manifest) -> list[Service]:
    """The first product that fits; when none does, the nearest one, so that its exclusions can be told."""
    wanted = [s for e in question.effects for s in e.services if s in {x.code for x in manifest.service}]
    offered = [s for s in manifest.service if not wanted or s.code in wanted]
    fitting = [s for s in offered if not _service_exclusions(question.draft, s)]
    return (fitting or offered)[:1]


def _consider(question: Question, account: AccountFacts, manifest: Manifest, service: Service) -> Considered:
    live = question.live_prices.get((account.account_id, service.code))
    freight = live.freight if live and live.freight else tariff_price(account.tariff, question.draft)
    return Considered(
        candidate=Candidate(account.carrier, account.account_id, service.code, service.name),
        rank=0,
        reasons=tuple(_reasons(question, account, freight)),
        exclusions=tuple(_exclusions(question, account, manifest, service)),
        freight=freight,
        freight_is_live=bool(live and live.freight),
        transit_s=live.transit_s if live else None,
    )


def _reasons(question: Question, account: AccountFacts, freight: Money | None) -> list[str]:
    carrier = account.carrier
    reasons = [f"rule {e.name!r} prefers {carrier}" for e in question.effects if carrier in e.prefer]
    reasons += [f"rule {e.name!r} sends it to {carrier} only" for e in question.effects if carrier in e.only]
    if carrier in question.draft.routing.preferred:
        reasons.append("preferred by the caller")
    reasons.append(f"price {freight.decimal()} {freight.currency_code}" if freight else "price not known")
    reasons.append(f"priority {account.priority}")
    if question.shares and (share := question.shares.reason(account.account_id)):
        reasons.append(share)
    return reasons


def _exclusions(question: Question, account: AccountFacts, manifest: Manifest, service: Service) -> list[str]:
    draft, carrier = question.draft, account.carrier
    found = _caller_exclusions(draft, carrier)
    for effect in question.effects:
        if effect.failed:
            found.append(f"rule {effect.name!r} could not be evaluated: {effect.failed}")
        if effect.only and carrier not in effect.only:
            found.append(f"rule {effect.name!r} allows only {', '.join(effect.only)}")
        if carrier in effect.exclude:
            found.append(f"rule {effect.name!r} excludes {carrier}")
    if account.account_id in question.refusals:
        found.append(f"{manifest.names.en}: {question.refusals[account.account_id]}")
    if account.account_id in question.full:
        found.append(question.full[account.account_id])
    return found + _manifest_exclusions(draft, manifest) + _service_exclusions(draft, service)


def _caller_exclusions(draft: OrderDraft, carrier: str) -> list[str]:
    wish = draft.routing
    found = []
    if wish.allowed and carrier not in wish.allowed:
        found.append("not among routing.allowed_carriers")
    if carrier in wish.excluded:
        found.append("among routing.excluded_carriers")
    return found


def _manifest_exclusions(draft: OrderDraft, manifest: Manifest) -> list[str]:
    found = []
    if "book" not in manifest.operations:
        found.append(f"{manifest.names.en} takes no bookings")
    for end, party in (("to", draft.recipient), ("from", draft.shipper)):
        if party.address.country_code not in manifest.countries:
            found.append(f"{manifest.names.en} does not ship {end} {party.address.country_code}")
    if found:
        return found  # what it would need besides does not matter any more
    if len(draft.parcels) > manifest.max_parcels:
        found.append(f"takes at most {manifest.max_parcels} parcels an order, this has {len(draft.parcels)}")
    found += [f"cannot be told option {o}" for o in _options(draft) if o not in manifest.options]
    found += [f"needs {path}" for path in manifest.required_fields if not _filled(draft, path)]
    return found


def _options(draft: OrderDraft) -> list[Option]:
    options, asked = draft.options, []
    if options.insured_value and options.insured_value.minor_units:
        asked.append(Option.INSURED_VALUE)
    if options.cash_on_delivery and options.cash_on_delivery.minor_units:
        asked.append(Option.CASH_ON_DELIVERY)
    if options.temperature is Temperature.CHILLED:
        asked.append(Option.CHILLED)
    if options.temperature is Temperature.FROZEN:
        asked.append(Option.FROZEN)
    if options.signed_receipt:
        asked.append(Option.SIGNED_RECEIPT)
    if options.pickup:
        asked.append(Option.PICKUP)
    if len(draft.parcels) > 1:
        asked.append(Option.MULTI_PARCEL)
    return asked


def _service_exclusions(draft: OrderDraft, service: Service) -> list[str]:
    found = []
    if draft.service_level is not service.level:
        found.append(f"product {service.name} is {service.level}, {draft.service_level} was asked for")
    if draft.options.temperature not in service.temperatures:
        found.append(f"product {service.name} does not carry {draft.options.temperature} goods")
    if draft.weight_g > service.max_weight_g:
        found.append(
            f"product {service.name} takes at most {service.max_weight_g / 1000:g} kg, "
            f"this weighs {draft.weight_g / 1000:g} kg"
        )
    return found


def _filled(draft: OrderDraft, path: str) -> bool:
    """Whether the field at `path` has a value; a path through a list looks at its first entry."""
    value: object = draft
    for part in path.split("."):
        value = getattr(value, part, None)
        if isinstance(value, tuple):
            value = value[0] if value else None
    return bool(value)


def _preference(question: Question, carrier: str) -> int:
    """The caller's preference counts before the rules'; the earlier named, the better."""
    wish = question.draft.routing.preferred
    if carrier in wish:
        return wish.index(carrier)
    ruled = [c for e in question.effects for c in e.prefer]
    return len(wish) + (ruled.index(carrier) if carrier in ruled else len(ruled))


def blamed_field(draft: OrderDraft, manifests: Mapping[str, Manifest]) -> str:
    """The one field that no carrier at all can serve, "" when the reasons differ from carrier to carrier."""
    for field, party in (("recipient", draft.recipient), ("shipper", draft.shipper)):
        if not any(party.address.country_code in m.countries for m in manifests.values()):
            return f"{field}.address.country_code"
    return ""


def tariff_price(tariff: Sequence[Tariff], draft: OrderDraft) -> Money | None:
    """The contract's price in CNY for this order, None when no step covers the province."""
    province = draft.recipient.address.province
    step = next((t for t in tariff if province in t.provinces), None) or next(
        (t for t in tariff if "*" in t.provinces), None
    )
    if step is None:
        return None
    extra_g = max(0, draft.weight_g - step.first_weight_g)
    steps = -(-extra_g // step.step_weight_g) if step.step_weight_g else 0
    return Money("CNY", step.first_price_fen + steps * step.step_price_fen)
