"""Return rules in CEL: who may send back what, and until when. Checked against the contract's types when read.

The first rule whose condition is true decides; where none is, a person does. Variables: `order` (crossdock.v1.Order),
`request` (crossdock.v1.Return, what is asked for), `delivered`, `days_since_delivery` (a fraction; -1.0 while it is
not delivered). Example: `delivered && days_since_delivery <= 7.0 && !request.opened`.
A rule that fails at run time leaves the return to a person, with its text: never taken as "no".
"""

from __future__ import annotations

from collections.abc import Sequence

from cel_expr_python import cel

from crossdock.v1 import core_pb2, return_service_pb2
from engine.api.convert.orders import write_draft
from engine.api.convert.returns import write_return
from engine.api.convert.rules import compile_rules, failure_text
from engine.config import ReturnRuleSettings
from engine.core.policy.records import OrderDraft
from engine.core.policy.return_records import ReturnRecord, Verdict
from engine.core.policy.returns import Facts, Ruling

NOT_DELIVERED = -1.0


class CelReturnRules:
    """The configured return rules, compiled. Implements `core.returns.ReturnRules`. Raises ConfigError."""

    def __init__(self, rules: Sequence[ReturnRuleSettings]) -> None:
        self._env = cel.NewEnv(
            variables={
                "order": cel.Type(core_pb2.Order.DESCRIPTOR.full_name),
                "request": cel.Type(return_service_pb2.Return.DESCRIPTOR.full_name),
                "delivered": cel.Type.BOOL,
                "days_since_delivery": cel.Type.DOUBLE,
            },
            container="crossdock.v1",
        )
        hint = "see the fields of Order and Return in proto/crossdock/v1"
        self._rules = compile_rules(self._env, "return_rule", rules, hint)

    def judge(self, draft: OrderDraft, record: ReturnRecord, facts: Facts) -> Ruling:
        """See ReturnRules."""
        days = facts.days_since_delivery
        activation = self._env.Activation(
            {
                "order": write_draft(draft),
                "request": write_return(record),
                "delivered": days is not None,
                "days_since_delivery": NOT_DELIVERED if days is None else days,
            }
        )
        for rule, condition in self._rules:
            value = condition.eval(activation)
            if value.type() == cel.Type.ERROR:
                text = f"rule {rule.name} failed: {failure_text(str(value.value()))}"
                return Ruling(Verdict.REVIEW, rule.name, text)
            if value.value() is True:
                return Ruling(Verdict(rule.decision.upper()), rule.name, rule.explanation or rule.name)
        return Ruling(Verdict.REVIEW, "", "no rule applies")
