"""Finds I/O, clocks, randomness and logging in a carrier's source, by its syntax tree.

Simulators are servers and may do as they like: modules and folders named simulator… are not read.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from crossdock_sdk.testing.finding import Finding

_IO = "yield an HttpRequest and let the engine do the rest"
_CLOCK = "take ctx.now (parse_push gets `now`)"
_CHANCE = "take ctx.nonce"
_LOG = "raise CarrierError with a message; the engine logs it"
_ENGINE = "import crossdock_sdk only; a carrier never knows the engine"

# Top-level or dotted module -> what to do instead.
FORBIDDEN_IMPORTS: dict[str, str] = {
    **dict.fromkeys(("socket", "ssl", "select", "selectors", "http.client", "urllib.request"), _IO),
    **dict.fromkeys(("requests", "httpx", "httpx2", "aiohttp", "urllib3", "pyreqwest"), _IO),
    **dict.fromkeys(("asyncio", "anyio", "trio", "threading", "multiprocessing"), _IO),
    **dict.fromkeys(("subprocess", "concurrent", "sqlite3", "os"), _IO),
    "time": _CLOCK,
    **dict.fromkeys(("random", "secrets", "uuid"), _CHANCE),
    **dict.fromkeys(("logging", "structlog"), _LOG),
    **dict.fromkeys(("engine", "grpc", "google"), _ENGINE),
}
# Last two parts of a called name.
FORBIDDEN_CALLS: dict[str, str] = {
    "datetime.now": _CLOCK,
    "datetime.utcnow": _CLOCK,
    "datetime.today": _CLOCK,
    "date.today": _CLOCK,
    "open": _IO,
    "input": _IO,
    "print": _LOG,
    "__import__": "import at the top of the module",
    "importlib.import_module": "import at the top of the module",
}
_RULE = "a carrier does no I/O, reads no clock, draws nothing, logs nothing"


def check_purity(package: Path) -> list[Finding]:
    """Scan all modules below a package's folder."""
    findings: list[Finding] = []
    for path in sorted(package.rglob("*.py")):
        inside = path.relative_to(package)
        if any(part.startswith("simulator") for part in inside.parts):
            continue
        findings += scan(path.read_text("utf-8"), f"{package.name}/{inside.as_posix()}")
    return findings


def scan(source: str, name: str) -> list[Finding]:
    """Scan one module's source; `name` stands in the findings."""
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        return [Finding("the source compiles", f"{name}:{error.lineno}", "correct the syntax")]
    return [
        Finding(_RULE, f"{name}:{line} uses {what}", remedy)
        for node in ast.walk(tree)
        for line, what, remedy in _offences(node)
    ]


def _offences(node: ast.AST) -> Iterator[tuple[int, str, str]]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield from _imported(node.lineno, alias.name)
    elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        found = list(_imported(node.lineno, node.module))
        # `from http import client` names the module in its second half.
        yield from found or [
            hit for alias in node.names for hit in _imported(node.lineno, f"{node.module}.{alias.name}")
        ]
    elif isinstance(node, ast.Call):
        called = ".".join(_dotted(node.func).split(".")[-2:])
        if called in FORBIDDEN_CALLS:
            yield node.lineno, f"{called}()", FORBIDDEN_CALLS[called]


def _imported(line: int, module: str) -> Iterator[tuple[int, str, str]]:
    parts = module.split(".")
    for length in range(1, len(parts) + 1):
        remedy = FORBIDDEN_IMPORTS.get(".".join(parts[:length]))
        if remedy is not None:
            yield line, module, remedy
            return


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""
