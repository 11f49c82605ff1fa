"""The floor plan: what stands at the top, what has a README, what must not be written anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.meta.exceptions import judge
from tests.meta.tree import ROOT, files, relative, texts

TOP = {"proto", "engine", "plugins", "clients", "tests", "benchmarks"}
TOP_FILES = {"pyproject.toml", "README.md", "buf.yaml", "LICENSE", "CHANGELOG.md"}

# One letter of each word stands in brackets, so that this file keeps its own rule.
FORBIDDEN = {
    r"\b(TO[D]O|FIX[M]E)\b": "finish it, or say in the README what is left out and why",
    r"\b(pypi\.or[g]|pythonhoste[d]\.org|npmj[s]\.org|crates\.i[o]|proxy\.golan[g]\.org|(docker|ghcr|quay)\.i[o])\b": (
        "name packages, never registry hosts; a machine's own settings say where they come from"
    ),
    r"(?<![\w.])/(?:wor[k]|hom[e]|roo[t]|User[s])/": "a path of one machine: make it relative or an argument",
}
MACHINE_TEMP = r"(?<![\w.])/tm[p]/"


def _tops() -> set[str]:
    return {relative(path).split("/")[0] for path in files()}


def _rooms_with_readme() -> Iterator[str]:
    yield from TOP
    yield "engine/ops"
    for group in ("clients", "plugins"):
        yield from (relative(p) for p in sorted((ROOT / group).iterdir()) if p.is_dir() and any(p.glob("*.*")))


def test_nothing_else_stands_at_the_top() -> None:
    """A newcomer sees six folders and knows where to look."""
    extra = {name for name in _tops() - TOP - TOP_FILES if not name.startswith(".")}

    assert not extra, f"move these into one of {sorted(TOP)}: {sorted(extra)}"


def test_every_room_says_what_lives_there() -> None:
    """Each folder of the floor plan, each client and each plug-in has a README with something in it."""
    silent = [
        room
        for room in _rooms_with_readme()
        if not (ROOT / room / "README.md").is_file() or len((ROOT / room / "README.md").read_text("utf-8")) < 200
    ]

    assert not silent, f"write a README.md that says what lives there: {silent}"


def test_the_map_of_the_house_names_every_room_of_the_engine() -> None:
    """The map in engine/README.md is complete and has no rooms that are gone."""
    table = re.findall(r"^\| `([a-z_/]+(?:\.py)?)` \|", (ROOT / "engine/README.md").read_text("utf-8"), re.MULTILINE)
    inside = {relative(path).removeprefix("engine/") for path in files() if relative(path).startswith("engine/")}
    rooms = {name.split("/")[0] + "/" if "/" in name else name for name in inside}
    rooms -= {"README.md", "__init__.py", "__main__.py"}
    mapped = set(table)
    gone = {name for name in mapped if not any(n == name or n.startswith(name) for n in inside)}

    assert not rooms - mapped, f"add to the map in engine/README.md: {sorted(rooms - mapped)}"
    assert not gone, f"remove from the map in engine/README.md: {sorted(gone)}"


def test_the_project_speaks_of_itself_alone() -> None:
    """No unfinished business, no registry hosts, no paths of one machine."""
    problems = {}
    for name, text in texts():
        rules = dict(FORBIDDEN)
        if not name.startswith("tests/"):
            rules[MACHINE_TEMP] = "a path of one machine: use a temporary directory of the process"
        for pattern, remedy in rules.items():
            found = re.search(pattern, text)
            if found:
                line = text.count("\n", 0, found.start()) + 1
                problems[name] = f"line {line}: {found.group()!r}; {remedy}"

    judge("words", problems, "see each line")


def test_relative_links_between_documents_lead_somewhere() -> None:
    """A reader who follows a link finds the page."""
    broken = [
        f"{name}: {target}"
        for name, text in texts()
        if name.endswith(".md")
        for target in re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", text)
        if not (ROOT / name).parent.joinpath(target).exists()
    ]

    assert not broken, f"correct these links: {broken}"
