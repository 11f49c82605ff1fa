"""error_reason.proto and the engine name the same reasons, and each reason has an example."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from crossdock.v1.error_reason_pb2 import ErrorReason
from engine.core.policy.transitions import REASONS
from tests.meta.tree import ROOT, parsed, python_files, relative

PROTO = ROOT / "proto/crossdock/v1/error_reason.proto"
PREFIX = "ERROR_REASON_"
# Where the engine puts a reason: keyword or parameter name, and functions that take it as the argument at that place.
KEYWORDS = {"reason"}
FUNCTIONS = {"_status": 2, "_invalid": 0, "order_refused": 0, "RequestInvalid": 1}
REASON = re.compile(r"[A-Z][A-Z_]{2,62}")
# Below these rooms `reason` means something else: why a lane sent nothing, why a push was refused.
ROOMS = ("engine/api/", "engine/core/")


def _in_proto() -> set[str]:
    return {name.removeprefix(PREFIX) for name in ErrorReason.keys()} - {"UNSPECIFIED"}


def _constants(node: ast.AST) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


def _given(node: ast.AST) -> Iterator[str]:
    """Reasons that one call or parameter list names."""
    if isinstance(node, ast.Call):
        function = ast.unparse(node.func).rpartition(".")[2]
        place = FUNCTIONS.get(function)
        if place is not None and len(node.args) > place:
            yield from _constants(node.args[place])
        for keyword in node.keywords:
            if keyword.arg in KEYWORDS:
                yield from _constants(keyword.value)
    if isinstance(node, ast.arguments):
        for argument, default in zip(reversed(node.args), reversed(node.defaults), strict=False):
            if argument.arg in KEYWORDS:
                yield from _constants(default)


def _in_engine() -> dict[str, str]:
    """Reason -> a file that gives it."""
    found = {reason: "engine/core/policy/transitions.py" for reason, _ in REASONS.values()}
    for path in python_files():
        if relative(path).startswith(ROOMS):
            for node in ast.walk(parsed(path)):
                found |= {text: relative(path) for text in _given(node) if REASON.fullmatch(text)}
    return found


def test_every_reason_the_engine_gives_is_in_the_contract() -> None:
    """A caller can look up what it is told."""
    unknown = {reason: file for reason, file in _in_engine().items() if reason not in _in_proto()}

    assert not unknown, f"add these to error_reason.proto, with an example: {unknown}"


def test_every_reason_of_the_contract_can_be_given() -> None:
    """A reason nobody gives makes callers write code that never runs."""
    never = sorted(_in_proto() - _in_engine().keys())

    assert not never, f"give these in the engine, or reserve their numbers and remove them: {never}"


def test_every_reason_has_an_example_that_names_it() -> None:
    """An example shows what stands in the metadata, or in the fields of an order's failure."""
    text = PROTO.read_text("utf-8")
    beside = r'(?:metadata: \{source: "(?:ENGINE|CARRIER)".*\}|carrier: "\w+".*)'
    example = rf'// Example: \{{reason: "(\w+)", {beside}\}}\n'
    shown = re.findall(rf"{example}\s*ERROR_REASON_(\w+) =", text)
    wrong = [name for example_of, name in shown if example_of != name]
    without = sorted(_in_proto() - {name for _, name in shown})

    assert not wrong, f"the example of these names another reason: {wrong}"
    assert not without, f"add an `// Example: {{reason: …, metadata: {{source: …}}}}` line to: {without}"
