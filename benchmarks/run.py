"""Every benchmark, one after the other: what `make bench` runs.

Run: python benchmarks/run.py [NAME ...]

Each prints its figures and exits with 1 when it misses a bar; so does this, after all of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
NOT_ALONE = {"run", "__init__"}


def names() -> list[str]:
    """The benchmarks beside this file: those that do not begin with an underscore."""
    found = (path.stem for path in HERE.glob("*.py") if not path.stem.startswith("_"))
    return sorted(name for name in found if name not in NOT_ALONE)


def main() -> int:
    wanted = sys.argv[1:] or names()
    missed = []
    environ = os.environ | {"PYTHONPATH": str(HERE.parent)}
    for name in wanted:
        print(f"\n=== {name}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        if subprocess.run(command, cwd=HERE.parent, env=environ, check=False).returncode:
            missed.append(name)
    print(f"\n{len(wanted) - len(missed)} of {len(wanted)} benchmarks kept their bars", end="")
    print(f"; missed: {', '.join(missed)}" if missed else "")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
