"""House rules 20 and 21: a test is a sentence, and never sleeps."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator

from tests.meta.exceptions import judge
from tests.meta.tree import parsed, python_files, relative

SLEEPERS = {"time.sleep", "asyncio.sleep", "anyio.sleep"}


def _tests() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path in python_files():
        if not (relative(path).startswith("tests/") and path.name.startswith("test_")):
            continue
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                yield f"{relative(path)} {node.name}", node


def _sleeps(test: ast.AST) -> bool:
    """True for a wait by the clock; `sleep(0)` only lets others run."""
    return any(
        isinstance(node, ast.Call)
        and ast.unparse(node.func) in SLEEPERS
        and not (isinstance(node.args[0], ast.Constant) and node.args[0].value == 0)
        for node in ast.walk(test)
    )


def test_every_test_says_in_a_sentence_which_behaviour_it_holds() -> None:
    """A failing test is read first by its docstring."""
    silent = {where: "has no docstring" for where, test in _tests() if not ast.get_docstring(test)}

    judge("test docstring", silent, "say in one sentence which behaviour it holds, not how it tests it")


def test_no_test_sleeps() -> None:
    """Waiting by the clock is slow on a fast machine and wrong on a slow one."""
    sleepers = {where: "sleeps" for where, test in _tests() if _sleeps(test)}

    judge("sleeping test", sleepers, "use tests/fakes/clock.py, or await the event it waits for")


def test_test_modules_have_names_of_their_own() -> None:
    """Two test modules of one name hide each other, since test folders are no packages."""
    names = Counter(p.name for p in python_files() if relative(p).startswith("tests/") and p.name.startswith("test_"))
    twice = [name for name, n in names.items() if n > 1]

    assert not twice, f"rename them so that the folder's noun is in the name: {twice}"
