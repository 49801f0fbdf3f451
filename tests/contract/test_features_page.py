"""The table of features: every row is there, and every test that it names exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| ✓ (\w\d+) \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
TEST = re.compile(r"\[`(test_\w+)`\]\(\.\./(tests/[\w/]+\.py)\)")
ROWS = {row[1]: row for row in ROW.finditer(TEXT)}
WANTED = [
    *(f"E{n}" for n in range(1, 8)),
    *(f"A{n}" for n in range(1, 9)),
    *(f"B{n}" for n in range(1, 7)),
    *(f"C{n}" for n in range(1, 10)),
    *(f"D{n}" for n in range(1, 6)),
    *(f"X{n}" for n in range(1, 12)),
]


@cache
def functions_of(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))


def test_every_row_is_in_the_table_once_and_in_its_order() -> None:
    assert [row[1] for row in ROW.finditer(TEXT)] == WANTED


@pytest.mark.parametrize("row", WANTED)
def test_the_tests_that_a_row_names_exist(row: str) -> None:
    named = TEST.findall(ROWS[row][4])
    assert named
    assert len(named) == ROWS[row][4].count("[`")
    for name, path in named:
        assert name in functions_of(path), f"{path} has no {name}"


@pytest.mark.parametrize("row", WANTED)
def test_what_a_row_points_to_exists(row: str) -> None:
    for target in re.findall(r"\]\(([\w-]+\.md)(?:#[\w-]+)?\)", ROWS[row][3]):
        assert (ROOT / "docs" / target).exists(), target
