"""A fresh machine resolves the same packages: pyproject.toml pins all of them, by name and version only."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, version

from packaging.requirements import Requirement

from tests.meta.tree import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PIN = re.compile(r"([a-z0-9-]+)==([0-9][\w.!]*)")
OURS = {"crossdock", "crossdock-engine", "crossdock-sdk", "crossdock-sf", "crossdock-zto"}


def _pins() -> dict[str, str]:
    pins = PROJECT["tool"]["uv"]["constraint-dependencies"]
    return {m[1]: m[2] for pin in pins if (m := PIN.fullmatch(pin))}


def _direct() -> Iterator[Requirement]:
    """What the members and the dev group ask for."""
    for path in (ROOT / "pyproject.toml", *ROOT.glob("*/*/pyproject.toml")):
        member = tomllib.loads(path.read_text("utf-8"))
        groups = [member["project"].get("dependencies", [])]
        groups += member["project"].get("optional-dependencies", {}).values()
        groups += member.get("dependency-groups", {}).values()
        for group in groups:
            yield from map(_requirement, group)


def _requirement(text: str) -> Requirement:
    requirement = Requirement(text)
    requirement.name = re.sub(r"[-_.]+", "-", requirement.name).lower()
    return requirement


def _needed() -> dict[str, str]:
    """Installed version of everything we need, directly or through others."""
    found: dict[str, str] = {}
    queue = list(_direct())
    while queue:
        asked = queue.pop()
        if asked.name in found or asked.name in OURS or (asked.marker and not asked.marker.evaluate({"extra": ""})):
            continue
        try:
            installed = distribution(asked.name)
        except PackageNotFoundError:
            continue  # for another system, or an extra nobody asked for
        found[asked.name] = installed.version
        queue += map(_requirement, installed.requires or ())
    return found


def test_each_pin_is_a_name_and_a_version() -> None:
    """No address, no marker, no range: what stands there is what is installed."""
    pins = PROJECT["tool"]["uv"]["constraint-dependencies"]

    odd = [pin for pin in pins if not PIN.fullmatch(pin)]

    assert not odd, f"write name==version: {odd}"
    names = [pin.partition("==")[0] for pin in pins]
    assert names == sorted(set(names)), "keep the pins sorted by name and without doubles"


def test_every_package_we_need_is_pinned_as_installed() -> None:
    """A dependency added without its pin, or upgraded past it, is seen at once; other tools here are not."""
    needed = _needed()

    wrong = {name: v for name, v in needed.items() if _pins().get(name) != v}

    assert not wrong, f"pin these in pyproject.toml, [tool.uv] constraint-dependencies: {wrong}"


def test_every_dependency_of_ours_is_pinned() -> None:
    """Direct dependencies of all members and of the dev group have a pin, installed here or not."""
    missing = sorted({r.name for r in _direct()} - _pins().keys() - OURS)

    assert not missing, f"pin these in pyproject.toml, [tool.uv] constraint-dependencies: {missing}"


def test_members_have_the_version_of_the_engine() -> None:
    """Engine, client, sdk and carriers are released together."""
    versions = set()
    for name in OURS:
        try:
            versions.add(version(name))
        except PackageNotFoundError:
            continue  # a member this environment did not ask for

    assert versions == {PROJECT["project"]["version"]}
