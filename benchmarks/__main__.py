"""Every benchmark, or those that are named, one after the other; then one picture of all figures.

    python -m benchmarks [--quick] [NAME …]

Each runs in a process of its own. Its JSON line is kept in `figures.jsonl` with the machine as it was, in place of
its former one, and `figures.png` is drawn anew. `--quick` takes smaller sizes, to see that everything runs: its
figures are rough, so they are printed and drawn only where `--out` says. One that did not find what is promised says so
and is kept; one whose load generator is not installed is left out.

Exit codes: 0 all was found as promised, 1 something was not, or one of them failed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from benchmarks.machine import look

HERE = Path(__file__).parent
QUICK: dict[str, tuple[str, ...]] = {
    "store": ("--orders", "1000"),
    "labels": ("--merge-count", "1000"),
    "booking": ("--orders", "1000", "--rounds", "1"),
    "stream": ("--orders", "2000"),
    "pushes": ("--pushes", "1000", "--rounds", "1", "--rate", "200", "--seconds", "5"),
    "tracks": ("--questions", "1000", "--rounds", "1", "--crowd", "2000"),
    "restart": ("--orders", "5000", "--seconds", "20"),
    "ghz": ("--calls", "1000", "--rounds", "1"),
    "fairness": ("--seconds", "5"),
    "overload": ("--seconds", "4", "--steps", "1,3"),
    "double11": ("--seconds", "20", "--peak", "40"),
    "outage": ("--kinds", "down", "--outage-seconds", "10", "--before-seconds", "10", "--seconds", "25"),
}
"""Benchmark -> arguments of its small size; in the order in which they run."""
FULL: dict[str, tuple[str, ...]] = {
    "overload": ("--plot", str(HERE / "overload.png")),
    "double11": ("--plot", str(HERE / "double11.png")),
    "outage": ("--plot", str(HERE / "outage.png")),
}
"""Arguments of those whose full size needs any."""
BROKEN, LACKING = 1, 2
"""Exit codes of a benchmark: it did not find what is promised; it needs a program that is not here."""


class Ran(NamedTuple):
    """How one ended. figures: none when it failed or could not begin."""

    figures: dict[str, Any] | None
    sound: bool


def run(name: str, arguments: Sequence[str]) -> Ran:
    """Run one, passing on what it prints; its figures are kept with the machine's."""
    machine = look()
    print(f"== {name} on {machine}", flush=True)
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        last = ""
        for line in process.stdout:
            print(line, end="", flush=True)
            last = line
    if process.returncode == LACKING:
        print(f"{name} is left out", file=sys.stderr)
        return Ran(None, sound=True)
    if process.returncode and not (process.returncode == BROKEN and last.startswith("{")):
        print(f"{name} failed with code {process.returncode}", file=sys.stderr)
        return Ran(None, sound=False)
    if process.returncode:
        print(f"{name} did not find what is promised", file=sys.stderr)
    figures = {**json.loads(last), "benchmark": name, "machine": msgspec.to_builtins(machine)}
    return Ran(figures, sound=not process.returncode)


def keep(path: Path, found: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Put figures in place of the former ones of the same benchmark; all that are known."""
    known = {line["benchmark"]: line for line in map(json.loads, path.read_text("utf-8").splitlines())}
    known |= {found["benchmark"]: found} if found else {}
    lines = [known[name] for name in QUICK if name in known]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), "utf-8")
    return lines


def main() -> int:
    """Run, keep, draw; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(QUICK)}; all when none is given")
    parser.add_argument("--quick", action="store_true", help="smaller sizes")
    parser.add_argument("--out", type=Path, help="folder for figures.jsonl and figures.png (default: here)")
    given = parser.parse_args()
    if unknown := set(given.names) - QUICK.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(QUICK)}")
    sizes = QUICK if given.quick else FULL
    folder = given.out or (Path(tempfile.mkdtemp(prefix="crossdock-benchmarks-")) if given.quick else HERE)
    folder.mkdir(parents=True, exist_ok=True)
    lines = folder / "figures.jsonl"
    lines.touch()
    sound = True
    for name in given.names or QUICK:
        ran = run(name, sizes.get(name, ()))
        keep(lines, ran.figures)  # at once: what comes after may take long, or be stopped
        sound &= ran.sound
    from benchmarks.figures import draw  # matplotlib is heavy, and of the dev group only

    draw(keep(lines), folder / "figures.png")
    print(f"figures in {folder}")
    return int(not sound)


if __name__ == "__main__":
    raise SystemExit(main())
