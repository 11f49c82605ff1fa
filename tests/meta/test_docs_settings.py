"""engine/README.md and engine/config.py say the same about every setting, and the example in it is valid."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from msgspec.structs import replace

from crossdock_sdk import Address, Contact, Options, Parcel, Party, ServiceLevel, Temperature
from engine.api.convert.rules import CelRules
from engine.api.convert.stall_rules import CelStallRules
from engine.config import Settings, load
from engine.core.policy.records import OrderDraft
from engine.core.policy.stalls import Judgement, StallFacts
from engine.core.registry import load_carriers
from engine.wiring import account_facts, accounts_of, stall_rules_of, tenants_of
from tests.meta.tree import ROOT, python_files, relative

README = ROOT / "engine/README.md"
# | `section.key` | default | unit or meaning |
ROW = re.compile(r"^\| `([a-z0-9_.\[\]]+)` \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def _of(struct: type[msgspec.Struct], prefix: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for field in msgspec.structs.fields(struct):
        inner, many = _struct_in(field.type)
        name = f"{prefix}{field.encode_name}"
        if inner is None:
            found[name] = _default(field)
        else:
            found |= _of(inner, f"{name}[]." if many else f"{name}.")
    return found


def _struct_in(kind: Any) -> tuple[type[msgspec.Struct] | None, bool]:
    """The section inside a field's type, and whether there may be many of it."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind, False
    for part in get_args(kind):
        inner, _ = _struct_in(part)
        if inner is not None:
            return inner, kind is not None and getattr(kind, "__origin__", None) is tuple
    return None, False


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.default_factory is not msgspec.NODEFAULT:
        return _as_toml(field.default_factory())
    return "required" if field.default is msgspec.NODEFAULT else _as_toml(field.default)


def _as_toml(value: Any) -> str:
    match value:
        case bool():
            return f"`{str(value).lower()}`"
        case str():
            return f'`"{value}"`'
        case tuple():
            return "`[]`"
        case dict():
            return "`{}`"
    return f"`{value}`"


def _documented() -> dict[str, str]:
    return {key: default.strip().replace("_", "") for key, default, _ in ROW.findall(README.read_text("utf-8"))}


def test_every_setting_is_documented_with_its_default() -> None:
    """The table has each key of the file once, with the default it really has."""
    settings = {key: default.replace("_", "") for key, default in _of(Settings, "").items()}
    documented = _documented()
    missing = [f"{key} (default {default})" for key, default in settings.items() if key not in documented]
    gone = [key for key in documented if key not in settings]
    wrong = [
        f"{key}: the default is {settings[key]}, the table says {documented[key]}"
        for key in settings.keys() & documented.keys()
        if settings[key] != documented[key]
    ]

    assert not missing, f"add a row to engine/README.md for: {missing}"
    assert not gone, f"engine/config.py has no such setting; remove its row: {gone}"
    assert not wrong, f"correct the rows in engine/README.md: {wrong}"


def _draft(
    province: str = "浙江省",
    service_level: ServiceLevel = ServiceLevel.STANDARD,
    weight_g: int = 500,
    temperature: Temperature = Temperature.AMBIENT,
) -> OrderDraft:
    party = Party(Contact("陈小帆", "13900002222"), Address("CN", province, "", street="样例路1号"))
    return OrderDraft("SO-1", party, party, (Parcel(weight_g),), service_level, Options(temperature=temperature))


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The settings file of the README, with the secret files it names beside it."""
    text = next(iter(re.findall(r"```toml\n(.*?)```", README.read_text("utf-8"), re.DOTALL)))
    for name in re.findall(r'_file = "(secrets/[^"]+)"', text):
        secret = tmp_path / name
        secret.parent.mkdir(exist_ok=True)
        secret.touch(0o600)
        secret.write_text("made-up-secret")
    path = tmp_path / "crossdock.toml"
    path.write_text(text, "utf-8")
    return path


def test_the_example_is_a_valid_configuration(example: Path) -> None:
    """Who copies the example gets accounts, a tenant with its warehouse, and rules."""
    settings = load(example, {})
    registry = load_carriers()

    accounts = accounts_of(settings, registry)
    facts = account_facts(settings, registry)
    tenants = tenants_of(settings)

    assert {a.carrier for a in accounts.values()} == {"sf", "zto"}
    assert {f.account_id for f in facts} == set(accounts)
    assert set(tenants.warehouses) == {"shop"}


RULED = {
    "remote provinces go by 中通": _draft(province="西藏自治区"),
    "express goes by 顺丰": _draft(service_level=ServiceLevel.EXPRESS),
    "over 20 kg goes as freight": _draft(weight_g=20_001),
    "cold chain goes by 顺丰": _draft(temperature=Temperature.CHILLED),
}


@pytest.mark.parametrize("rule", RULED)
def test_each_rule_of_the_example_applies_to_its_orders_only(rule: str, example: Path) -> None:
    """The rules do what their names say."""
    rules = CelRules(load(example, {}).rule)

    effects = rules.effects(RULED[rule])

    assert [e.name for e in effects] == [rule]
    assert not effects[0].failed


def test_an_ordinary_order_meets_no_rule_of_the_example(example: Path) -> None:
    """Most orders go by price and priority alone."""
    rules = CelRules(load(example, {}).rule)

    assert rules.effects(_draft()) == ()


def test_the_stall_rules_of_the_example_compile(example: Path) -> None:
    """Their conditions say what their names do."""
    rules = stall_rules_of(load(example, {}))
    judge = CelStallRules(rules)
    lhasa = StallFacts("sf", "IN_TRANSIT", "", False, 1, "拉萨市")

    said = {rule.name: judge.judge(rule, lhasa) for rule in rules}

    assert said == {"not collected": Judgement(False), "no movement": Judgement(False)}
    assert judge.judge(rules[1], replace(lhasa, city="杭州市")) == Judgement(True)


def test_every_setting_is_read_somewhere() -> None:
    """A setting nobody reads promises what the engine does not do."""
    code = "\n".join(
        path.read_text("utf-8")
        for path in python_files()
        if relative(path).startswith("engine/") and relative(path) != "engine/config.py"
    )
    config = (ROOT / "engine/config.py").read_text("utf-8")
    keys = {key.rpartition(".")[2] for key in _of(Settings, "")}
    # Sections checked as a whole while they are read count too.
    unread = [key for key in sorted(keys) if f".{key}" not in code and f".{key}" not in config]

    assert not unread, f"use them, or remove them from engine/config.py: {unread}"
