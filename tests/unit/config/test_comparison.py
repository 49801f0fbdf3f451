"""Equality and the hash of configurations: what a reload goes by.

Rule: what means the same is equal; what does not is not, secrets included.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

BASE = """
checks:
  - {name: a, http: {url: https://a.example.net/, password: "${TOKEN}"}, interval: 60s}
  - {name: b, tcp: {address: "b:1"}}
exports: [{name: e, textfile: {path: e.prom}}]
notifications: {receivers: [{name: r, webhook: {url: "https://r.example.net/"}}]}
"""


def test_the_same_meaning_written_otherwise_is_equal(load: Any) -> None:
    other = """
templates: {mine: {base: conservative}}
defaults: {interval: 0.5m}
checks:
  - name: a
    interval: 1m
    enabled: true
    http:
      password: hunter2
      url: "https://a.example.net/"
  - {name: b, tcp: {address: "b:1"}, breaker: mine, timeout: 5000ms}
exports: [{name: e, textfile: {path: ./e.prom}}]
notifications: {route: {receiver: r}, receivers: [{name: r, webhook: {url: "https://r.example.net/"}}]}
"""
    assert load(BASE) == load(other)
    assert load(BASE).hash == load(other).hash


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("60s", "61s"),
        ("b:1", "b:2"),
        ("a.example", "aa.example"),
        ("name: b", "name: c"),
        ("e.prom", "f.prom"),
        ("r.example", "s.example"),
        ("checks:", "global: {labels: {site: x}}\nchecks:"),
        ("checks:", "storage: {retention: 1d}\nchecks:"),
        ("checks:", "web: {listen: [':1']}\nchecks:"),
        ("interval: 60s", "interval: 60s, breaker: lenient"),
        ("interval: 60s", "interval: 60s, depends_on: [b]"),
    ],
)
def test_another_meaning_is_another_configuration(load: Any, old: str, new: str) -> None:
    before, after = load(BASE), load(BASE.replace(old, new))

    assert before != after
    if "r.example" not in old:
        assert before.hash != after.hash


def test_only_what_changed_is_unequal(load: Any) -> None:
    before, after = load(BASE), load(BASE.replace("b:1", "b:2"))

    assert before.checks[0] == after.checks[0]
    assert before.checks[1] != after.checks[1]
    assert before.exports == after.exports
    assert before.notifications == after.notifications


def test_a_rotated_secret_is_a_change_that_the_hash_does_not_give_away(load: Any) -> None:
    before, after = load(BASE, TOKEN="old"), load(BASE, TOKEN="new")

    assert before.checks[0] != after.checks[0]
    assert before.checks[1] == after.checks[1]
    assert before.hash == after.hash


def test_the_hash_is_the_same_in_another_process_and_directory(load: Any, tmp_path: Path) -> None:
    first = load(BASE).hash
    script = (
        "import importlib.util, pathlib, sys\n"
        "spec = importlib.util.spec_from_file_location('kinds', sys.argv[1])\n"
        "kinds = importlib.util.module_from_spec(spec)\n"
        "sys.modules['kinds'] = kinds\n"
        "spec.loader.exec_module(kinds)\n"
        "from cbmon.config import load_config\n"
        "path = pathlib.Path(sys.argv[2])\n"
        "print(load_config(path, types=kinds.TYPES, environ={'TOKEN': 'hunter2'}).hash)\n"
    )
    elsewhere = tmp_path / "elsewhere" / "other.yml"
    elsewhere.parent.mkdir()
    elsewhere.write_text(BASE)
    kinds = Path(__file__).parent / "conftest.py"
    done = subprocess.run(
        [sys.executable, "-c", script, kinds, elsewhere],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
        timeout=30,
    )

    assert done.stdout.strip() == first
    assert len(first) == 12


def test_the_order_of_checks_does_not_change_the_hash(load: Any) -> None:
    lines = BASE.splitlines()
    swapped = [*lines[:2], lines[3], lines[2], *lines[4:]]

    assert load(BASE).hash == load("\n".join(swapped)).hash


def test_a_configuration_can_be_taken_apart(load: Any) -> None:
    assert asdict(load(BASE).checks[0])["name"] == "a"
