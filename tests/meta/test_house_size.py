"""House rules 1, 2 and 14: a file is about one noun and says which, a function does one thing."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.meta.exceptions import judge
from tests.meta.tree import parsed, python_files, relative

LONGEST_FILE = 400
LONGEST_FUNCTION = 60

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _functions(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, Function]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function):
            yield prefix + child.name, child
        name = f"{prefix}{child.name}." if isinstance(child, Function | ast.ClassDef) else prefix
        yield from _functions(child, name)


def test_no_file_is_longer_than_400_lines() -> None:
    """A longer file is about more than one noun."""
    lengths = {relative(p): len(p.read_text("utf-8").splitlines()) for p in python_files()}

    judge(
        "file length",
        {name: f"{n} lines, at most {LONGEST_FILE}" for name, n in lengths.items() if n > LONGEST_FILE},
        "split it by noun: find the second thing it is about and give that a file of its own",
    )


def test_no_function_is_longer_than_60_lines() -> None:
    """A longer function does more than one thing."""
    lengths = {
        f"{relative(path)} {name}": (function.end_lineno or 0) - function.lineno + 1
        for path in python_files()
        for name, function in _functions(parsed(path))
    }

    judge(
        "function length",
        {where: f"{n} lines, at most {LONGEST_FUNCTION}" for where, n in lengths.items() if n > LONGEST_FUNCTION},
        "split it into deciding and doing, or into a table and its reader; never into part 1 and part 2",
    )


def test_every_module_says_what_it_is_for() -> None:
    """A module with code opens with a docstring."""
    silent = {
        relative(path): "has no docstring"
        for path in python_files()
        if parsed(path).body and ast.get_docstring(parsed(path)) is None
    }

    judge("module docstring", silent, "open it with one sentence: what it is for and, if it has any, its own rules")
