"""Conditions of stall rules in CEL over a parcel's facts, checked against their types when the settings are read.

Variables: `carrier` (string, its code), `status` (string, NOTHING_KNOWN before the first), `milestone` (string, may be
empty), `of_order` (bool, booked here), `event_count` (int), `city` (string, of the newest event, as the carrier names
it). There is no clock among them: time stands in the rule's `since` and `after_h`. Example:
`carrier == 'sf' && city.startsWith('拉萨')`.
A condition that fails at run time is a finding with its text: never taken as "no".
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from cel_expr_python import cel

from engine.api.convert.rules import compile_rules, failure_text
from engine.core.policy.stalls import Judgement, StallFacts, StallRule

_TYPES = {str: cel.Type.STRING, bool: cel.Type.BOOL, int: cel.Type.INT}
VARIABLES = {field.name: _TYPES[field.type] for field in msgspec.structs.fields(StallFacts)}
SEE_FACTS = f"a stall rule knows {', '.join(VARIABLES)}"


class CelStallRules:
    """The conditions of the stall rules, compiled. Implements `core.policy.stalls.Judge`."""

    def __init__(self, rules: Sequence[StallRule]) -> None:
        self._env = cel.NewEnv(variables=VARIABLES)
        asked = [rule for rule in rules if rule.when]
        compiled = compile_rules(self._env, "stall_rule", asked, SEE_FACTS)
        self._conditions: dict[str, cel.Expression] = {rule.name: condition for rule, condition in compiled}

    def judge(self, rule: StallRule, facts: StallFacts) -> Judgement:
        """See Judge."""
        try:
            value = self._conditions[rule.name].eval(self._env.Activation(msgspec.structs.asdict(facts)))
        except Exception as error:  # whatever it is, it must not keep a parcel's event from being kept
            return Judgement(False, type(error).__name__)
        if value.type() == cel.Type.ERROR:
            return Judgement(False, failure_text(str(value.value())))
        return Judgement(value.value() is True)
