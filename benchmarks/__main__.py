"""`python -m benchmarks`: every benchmark, one after the other, in its own process."""

from __future__ import annotations

import subprocess
import sys

BENCHMARKS = ("store", "labels", "booking", "stream", "pushes", "tracks")


def main() -> int:
    """Run all; the exit code is that of the first that failed."""
    for name in BENCHMARKS:
        print(f"== {name}", flush=True)
        code = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
