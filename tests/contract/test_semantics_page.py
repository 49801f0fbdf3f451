"""docs/breaker-semantics.md: every rule is there, and the tests that it names hold it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "breaker-semantics.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| R(\d+) \| .+ \| `(.+)` \|$", PAGE, re.MULTILINE)


def test_every_rule_has_one_row() -> None:
    assert [int(number) for number, _ in ROWS] == list(range(1, 28))


@pytest.mark.parametrize(("number", "path"), ROWS)
def test_the_named_tests_speak_of_the_rule(number: str, path: str) -> None:
    assert re.search(rf"R{number}\b", (ROOT / path).read_text(encoding="utf-8"))
