"""The project's files as the house rules see them: what is written by hand, without what tools put there."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# What .gitignore names, besides everything hidden. `.ci` is ours although it is hidden.
MADE_BY_TOOLS = {"node_modules", "__pycache__", "dist", "build", "crossdock-demo", "crossdock-out", "uv.lock"}
OURS_THOUGH_HIDDEN = {".ci", ".gitignore", ".gitattributes"}
GENERATED = ("clients/python/crossdock/v1/", "clients/python/buf/")


def _walk(folder: Path) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        name = entry.name
        if name in MADE_BY_TOOLS or name.endswith(".egg-info"):
            continue
        if name.startswith(".") and name not in OURS_THOUGH_HIDDEN:
            continue
        if entry.is_dir():
            yield from _walk(entry)
        else:
            yield entry


def relative(path: Path) -> str:
    """The path as people write it: from the project's root, with slashes."""
    return path.relative_to(ROOT).as_posix()


def is_generated(name: str) -> bool:
    """True for stubs that protoc wrote."""
    return name.startswith(GENERATED)


@cache
def files() -> tuple[Path, ...]:
    """Every file of the project."""
    return tuple(_walk(ROOT))


@cache
def python_files() -> tuple[Path, ...]:
    """Every Python module written by hand."""
    return tuple(p for p in files() if p.suffix == ".py" and not is_generated(relative(p)))


@cache
def parsed(path: Path) -> ast.Module:
    """A module's syntax tree."""
    return ast.parse(path.read_text("utf-8"), relative(path))


def texts() -> Iterator[tuple[str, str]]:
    """Name and content of every text file written by hand."""
    for path in files():
        if is_generated(relative(path)):
            continue
        try:
            yield relative(path), path.read_text("utf-8")
        except UnicodeDecodeError:
            continue  # a font or packed data
