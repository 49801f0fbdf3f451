"""The hot paths keep their budget of instructions."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_no_hot_path_takes_more_instructions_than_its_budget() -> None:
    if sys.version_info[:2] != (3, 11) or platform.machine() != "x86_64":
        pytest.skip("the budgets are for CPython 3.11 on x86_64")
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "instructions.py"), "--check"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=1700,
    )
    if done.stdout.startswith("skipped"):
        if os.environ.get("CI") == "true":
            pytest.fail(done.stdout)
        pytest.skip(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
