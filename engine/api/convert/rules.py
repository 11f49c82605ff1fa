"""Routing rules in CEL over the contract's own Order, checked against its types when the settings are read.

Variables: `order` (crossdock.v1.Order, normalised), `weight_g` (all parcels), `remote` (the recipient's province is
far from everywhere). Example: `remote && order.service_level != ServiceLevel.SERVICE_LEVEL_EXPRESS`.
A rule that fails at run time excludes every carrier with its text: never taken as "no".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from cel_expr_python import cel

from crossdock.v1 import core_pb2
from engine.api.convert.orders import write_draft
from engine.config import ConfigError, RuleSettings
from engine.core.policy.divisions import is_remote
from engine.core.policy.records import OrderDraft
from engine.core.policy.routing import RuleEffect

LONGEST_RULE = 4096
MOST_RULES = 500
SEE_ORDER = "see the fields of Order in proto/crossdock/v1/core.proto"


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

    def effects(self, draft: OrderDraft) -> tuple[RuleEffect, ...]:
        """See RuleEngine."""
        if not self._rules:
            return ()
        activation = self._env.Activation(
            {
                "order": write_draft(draft),
                "weight_g": draft.weight_g,
                "remote": draft.recipient.address.country_code == "CN" and is_remote(draft.recipient.address.province),
            }
        )
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
