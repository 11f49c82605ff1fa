"""`python -m tests.seeded [NAME…]`: plants each bug and demands that its test notices.

Exit codes: 0 each was caught, 1 one was not, 2 there is no such bug.
"""

from __future__ import annotations

import sys

from tests.seeded.bugs import BUGS
from tests.seeded.runner import judge


def main(names: list[str]) -> int:
    """Run the command; returns its exit code."""
    unknown = [name for name in names if name not in BUGS]
    if unknown:
        print(f"no such bug: {', '.join(unknown)}; there are {', '.join(BUGS)}", file=sys.stderr)
        return 2
    missed = 0
    for name in names or list(BUGS):
        verdict = judge(name)
        missed += bool(verdict.problem)
        print(f"{'MISSED' if verdict.problem else 'caught'}  {name}: {verdict.problem or BUGS[name].what}", flush=True)
    print(f"{len(names or BUGS) - missed} of {len(names or BUGS)} planted bugs were caught by name")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
