"""Routing rules in CEL over the contract's own Order, checked against its types when the settings are read.

Variables: `order` (crossdock.v1.Order, normalised), `weight_g` (all parcels), `remote` (the recipient's province is
far from everywhere). Example: `remote && order.service_level != ServiceLevel.SERVICE_LEVEL_EXPRESS`.
A rule that fails at run time excludes every carrier with its text: never taken as "no".

Most rules ask for few things that many orders share: options, speed, weight, remoteness. While no rule asks for more,
what they say is remembered by these; evaluating them was measured at a twelfth of a booking.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Protocol, TypeVar

from cel_expr_python import cel
from msgspec.structs import replace

from crossdock.v1 import core_pb2
from crossdock_sdk import Options, ServiceLevel
from engine.api.convert.orders import write_draft
from engine.config import ConfigError, RuleSettings
from engine.core.policy.divisions import is_remote
from engine.core.policy.records import NOBODY, OrderDraft, RoutingWish
from engine.core.policy.routing import RuleEffect

LONGEST_RULE = 4096
MOST_RULES = 500
REMEMBERED = 4096
"""Different questions whose answers are kept."""
_SHARED = frozenset({"service_level", "options", "routing"})
"""Fields of an order that many orders have alike."""
_ORDER = re.compile(r"\border\b(?:\s*\.\s*(\w+))?")
"""The variable `order`, and the field asked of it when that stands right behind it."""
SEE_ORDER = "see the fields of Order in proto/crossdock/v1/core.proto"

Effects = tuple[RuleEffect, ...]
Question = tuple[ServiceLevel, Options, RoutingWish, int, bool]
"""What orders share: speed, options, routing, total weight, remoteness."""


class _Conditional(Protocol):
    """A configured rule of any kind."""

    @property
    def name(self) -> str:
        """What it is called in messages."""

    @property
    def when(self) -> str:
        """Its condition, in CEL."""


R = TypeVar("R", bound=_Conditional)


class CelRules:
    """The configured rules, compiled. Implements `core.router.RuleEngine`."""

    def __init__(self, rules: Sequence[RuleSettings]) -> None:
        self._env = cel.NewEnv(
            variables={
                "order": cel.Type(core_pb2.Order.DESCRIPTOR.full_name),
                "weight_g": cel.Type.INT,
                "remote": cel.Type.BOOL,
            },
            container="crossdock.v1",
        )
        self._rules = compile_rules(self._env, "rule", rules, SEE_ORDER)
        texts = [rule.when for rule, _ in self._rules]
        self._weighs = any("weight_g" in text for text in texts)
        # Too many fields found is harmless; too few cannot be: whatever is not `order.field` counts as all of it.
        self._asks_for_more = any(not _SHARED.issuperset(_ORDER.findall(text)) for text in texts)
        self._remembered: Callable[[Question], Effects] = lru_cache(REMEMBERED)(self._shared_effects)

    def effects(self, draft: OrderDraft) -> Effects:
        """See RuleEngine."""
        if not self._rules:
            return ()
        address = draft.recipient.address
        remote = address.country_code == "CN" and is_remote(address.province)
        weight_g = draft.weight_g if self._weighs else 0
        if self._asks_for_more:
            return self._evaluate(draft, weight_g, remote)
        return self._remembered((draft.service_level, draft.options, draft.routing, weight_g, remote))

    def _shared_effects(self, question: Question) -> Effects:
        service_level, options, routing, weight_g, remote = question
        asked = replace(_NO_ORDER, service_level=service_level, options=options, routing=routing)
        return self._evaluate(asked, weight_g, remote)

    def _evaluate(self, draft: OrderDraft, weight_g: int, remote: bool) -> Effects:
        activation = self._env.Activation({"order": write_draft(draft), "weight_g": weight_g, "remote": remote})
        found = []
        for rule, expression in self._rules:
            value = expression.eval(activation)
            if value.type() == cel.Type.ERROR:
                found.append(RuleEffect(rule.name, failed=failure_text(str(value.value()))))
            elif value.value() is True:
                found.append(RuleEffect(rule.name, rule.only, rule.prefer, rule.exclude, rule.services))
        return tuple(found)


def compile_rules(env: cel.Env, section: str, rules: Sequence[R], hint: str) -> list[tuple[R, cel.Expression]]:
    """Each rule with its condition. Raises ConfigError with every problem; `hint` says where the fields stand."""
    problems = [f"{section}: {len(rules)} rules; at most {MOST_RULES} are allowed"] if len(rules) > MOST_RULES else []
    compiled = []
    for rule in rules:
        try:
            compiled.append((rule, _compile(env, rule.when, hint)))
        except ValueError as error:
            problems.append(f"{section} {rule.name}: when: {error}")
    if problems:
        raise ConfigError(problems)
    return compiled


_NO_ORDER = OrderDraft("", NOBODY, NOBODY, ())


def _compile(env: cel.Env, when: str, hint: str) -> cel.Expression:
    if len(when) > LONGEST_RULE:
        raise ValueError(f"has {len(when)} characters; at most {LONGEST_RULE} are allowed")
    try:
        expression = env.compile(when)
    except Exception as error:  # the binding raises RuntimeError for every mistake in a rule
        text = str(error).split("=== Source Location ===")[0].strip()
        raise ValueError(f"{text}; {hint}") from error
    if expression.return_type() != cel.Type.BOOL:
        raise ValueError(f"gives {expression.return_type().name()}, a rule must be true or false")
    return expression


def failure_text(text: str) -> str:
    """What went wrong, without the value it went wrong with: that may be a name or a phone.

    CEL writes `CODE: what: value`.
    """
    _, _, said = text.partition(": ")
    return said.partition(":")[0].strip() or "it failed"
