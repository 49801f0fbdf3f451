"""docs/metrics.md says what the table of families says, and the table what the contract says."""

from __future__ import annotations

from pathlib import Path

from cbmon.metrics import families as f
from cbmon.metrics.page import page

ROOT = Path(__file__).parents[3]


def test_the_page_is_the_one_made_from_the_table() -> None:
    made = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    assert made == page(), "run: python -m cbmon.metrics.page > docs/metrics.md"


def test_every_name_is_used_once_and_ends_as_its_type_demands() -> None:
    families = f.every()
    assert len({family.name for family in families}) == len(families)
    for family in families:
        assert family.name.endswith("_total") == (family.type == "counter"), family.name
        assert family.help.endswith("."), family.name


def test_what_is_measured_in_a_unit_says_so_in_its_help() -> None:
    for family in f.every():
        if family.unit == "seconds":
            assert "econds" in family.help, family.name


def test_a_breaker_moves_by_itself_in_five_ways() -> None:
    moves = {f"{source}>{target}" for source, target in f.OWN_MOVES}
    assert moves == {
        "closed>open",
        "open>half_open",
        "half_open>closed",
        "half_open>open",
        "half_open>disabled",
    }
