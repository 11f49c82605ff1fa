"""Plug-ins are loaded one by one: a broken one is named with its reason and left out, the others stay."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from engine.core.registry import GROUP, Plugin, Registry, load_carriers, load_simulator

GOOD = """
from crossdock_sdk import Carrier, Manifest, hookimpl

MANIFEST = '''
code = "{code}"
sdk = 1
operations = []
base_url = "https://x.invalid"
[names]
en = "X"
zh = "某"
'''

@hookimpl
def crossdock_carrier():
    return Carrier(Manifest.parse(MANIFEST))
"""

BROKEN = [
    ("import nothing_of_that_name", "ModuleNotFoundError", "nothing_of_that_name"),
    ("def broken(:", "SyntaxError", ""),
    ("raise SystemExit(3)", "SystemExit", "3"),
    ("raise ValueError('at import')", "ValueError", "at import"),
    (GOOD.replace("def crossdock_carrier():", "def crossdock_carrier(engine):"), "PluginValidationError", "engine"),
    (GOOD.replace("def crossdock_carrier():", "def crossdock_carier():"), "PluginValidationError", "crossdock_carier"),
    ("x = 1", "TypeError", "has no hook crossdock_carrier; add it with @hookimpl"),
    (
        GOOD.replace("return Carrier(Manifest.parse(MANIFEST))", "return 'a carrier'"),
        "TypeError",
        "returned str; return a crossdock_sdk.Carrier",
    ),
    (GOOD.replace("return Carrier", "raise RuntimeError(7); return Carrier"), "RuntimeError", "7"),
    (GOOD.replace("sdk = 1", "sdk = 99"), "ManifestError", "write sdk = 1"),
    (GOOD.replace("operations = []", 'operations = ["book"]'), "ManifestError", "service"),
    (GOOD.replace('code = "{code}"', 'code = "other"'), "ValueError", "give them the same name"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where made-up plug-ins lie; forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def plugin(folder: Path, name: str, source: str = GOOD, *, module: str = "") -> EntryPoint:
    """An entry point with its module on disk."""
    module = module or f"made_up_{name}"
    (folder / f"{module}.py").write_text(source.replace("{code}", name), "utf-8")
    return EntryPoint(name, module, GROUP)


def problem_of(registry: Registry, name: str) -> str:
    """What is said about a plug-in."""
    return next(p.problem for p in registry.plugins if p.name == name)


def test_carriers_are_loaded_by_code(folder: Path) -> None:
    """With their manifests; nothing is wrong with them."""
    registry = load_carriers([plugin(folder, "beta"), plugin(folder, "alpha")])

    assert list(registry.carriers) == list(registry.manifests) == ["alpha", "beta"]
    assert registry.plugins == (Plugin("alpha", "made_up_alpha", ""), Plugin("beta", "made_up_beta", ""))


@pytest.mark.parametrize(("source", "kind", "text"), BROKEN, ids=[f"{i}-{e[1]}" for i, e in enumerate(BROKEN)])
def test_a_broken_plugin_is_named_and_left_out(source: str, kind: str, text: str, folder: Path) -> None:
    """Whatever it does at import or in its hook; those before and after it are loaded."""
    registry = load_carriers([plugin(folder, "aaa"), plugin(folder, "bad", source), plugin(folder, "zzz")])

    assert list(registry.carriers) == ["aaa", "zzz"]
    assert problem_of(registry, "bad").startswith(f"{kind}: ")
    assert text in problem_of(registry, "bad")


def test_the_second_plugin_of_one_name_is_left_out(folder: Path) -> None:
    """The first stays; the problem says what to do."""
    twins = [plugin(folder, "alpha"), plugin(folder, "alpha", module="made_up_twin")]

    registry = load_carriers(twins)

    assert list(registry.carriers) == ["alpha"]
    assert [p.problem for p in registry.plugins] == [
        "",
        "ValueError: carrier 'alpha' is already loaded from another package; remove one",
    ]


def test_a_broken_plugin_does_not_take_its_name_away(folder: Path) -> None:
    """The sound twin after it is loaded."""
    registry = load_carriers([plugin(folder, "alpha", "1 / 0"), plugin(folder, "alpha", module="made_up_twin")])

    assert list(registry.carriers) == ["alpha"]
    assert [bool(p.problem) for p in registry.plugins] == [True, False]


def test_whoever_stops_the_engine_is_heard(folder: Path) -> None:
    """Ctrl-C while plug-ins load is the operator's, not the plug-in's."""
    with pytest.raises(KeyboardInterrupt):
        load_carriers([plugin(folder, "bad", "raise KeyboardInterrupt")])


def test_the_installed_carriers_come_through_the_same_door() -> None:
    """With the version of their package, and their simulators on demand."""
    registry = load_carriers()

    assert {"sf", "zto"} <= set(registry.carriers)
    assert all(p.version and not p.problem for p in registry.plugins)
    assert load_simulator("sf").__name__


def test_a_missing_simulator_is_named() -> None:
    """With the code that was asked for."""
    with pytest.raises(LookupError, match="carrier 'nobody' is not installed or ships no simulator"):
        load_simulator("nobody")
