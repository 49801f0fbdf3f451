"""Drawings: latency, failure cycles and badges, as numbers and as text."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon.results.store import LEVELS
from cbmon.results.summary import GOOD, Summary
from cbmon.web.badges import COLOURS, badge
from cbmon.web.latency import SCALES, chart, nice
from cbmon.web.trends import cycles, outages

NOW = 1_800_000_000.0 - 1_800_000_000.0 % 86_400 + 500.0
HOUR = SCALES["1h"]


def column(*seconds: float, failures: int = 0, up: int = 0, down: int = 0) -> Summary:
    its = Summary(up=up, down=down)
    for each in seconds:
        its.add(GOOD, each)
    for _ in range(failures):
        its.add(4, 5.0)
    return its


def at(back: int) -> float:
    """When the column that is so many minutes back begins."""
    return NOW - NOW % 60 - 60 * back


def test_without_anything_known_there_is_no_chart() -> None:
    assert chart({}, HOUR, NOW) is None
    assert chart({at(100): column(0.1)}, HOUR, NOW) is None, "it is too long ago"


def test_the_latest_column_stands_at_the_right_and_what_is_not_known_stays_empty() -> None:
    drawn = chart({at(0): column(0.2), at(3): column(0.1)}, HOUR, NOW)
    assert drawn is not None
    assert len(drawn.columns) == 60
    assert drawn.top == 0.2
    assert [c.slow for c in drawn.columns[-4:]] == [50.0, 0.0, 0.0, 100.0]
    assert [c.mark for c in drawn.columns[-4:]] == ["up", "unknown", "unknown", "up"]
    assert [c.at for c in drawn.told] == [at(0), at(3)]


def test_a_column_says_how_much_of_it_was_bad_by_runs_or_else_by_time() -> None:
    series = {
        at(0): column(0.1, failures=1),
        at(1): column(0.1, 0.1, 0.1, failures=1),
        at(2): column(down=600),
        at(3): column(up=6000),
    }
    drawn = chart(series, HOUR, NOW)
    assert drawn is not None
    assert [(c.bad, c.mark) for c in drawn.columns[-4:]] == [
        (0.0, "up"), (1.0, "down"), (0.25, "some"), (0.5, "down")
    ]  # fmt: skip
    assert (drawn.whole.runs, drawn.whole.failures) == (6, 2)


def test_a_bound_is_drawn_only_inside() -> None:
    inside = chart({at(0): column(0.2)}, HOUR, NOW, limit=0.1)
    outside = chart({at(0): column(0.2)}, HOUR, NOW, limit=5.0)
    assert inside is not None
    assert inside.limit == 50.0
    assert outside is not None
    assert outside.limit is None


@pytest.mark.parametrize("name", SCALES)
def test_every_span_has_columns_of_which_sums_can_be_made(name: str) -> None:
    scale = SCALES[name]
    assert scale.count <= 100
    assert scale.width < 300 or any(scale.width % level == 0 for level in LEVELS)
    assert abs(scale.span - {"1h": 3600, "24h": 86_400, "7d": 604_800, "90d": 7_776_000}[name]) < 1


@given(st.floats(0, 1e5))
def test_a_round_number_is_not_below_and_not_far_above(seconds: float) -> None:
    assert seconds * 0.998 <= nice(seconds) <= max(0.001, 2 * seconds)


def row(at: float, to_state: str, **more: object) -> dict[str, object]:
    return {"at": at, "to_state": to_state, "cause": "", "text": "", **more}


def test_cycles_are_those_at_each_opening_oldest_first() -> None:
    rows = [
        row(9, "disabled", cycles=2, cause="cycles_exhausted"),
        row(8, "half_open", cycles=1),
        row(7, "open", cycles=1),
        row(2, "open", cycles=None),
    ]
    found = [(one.at, one.cycles, one.disabled) for one in cycles(rows)]
    assert found == [(2.0, 0, False), (7.0, 1, False), (9.0, 2, True)]


def test_a_time_out_of_service_ends_with_the_next_move() -> None:
    rows = [
        row(9, "disabled", actor="otto", text="again"),
        row(5, "closed", actor="ada", text="mended"),
        row(3, "disabled", cause="cycles_exhausted", last_error="refused"),
    ]
    now, before = outages(rows)
    assert (now.until, now.by_itself, now.actor) == (None, False, "otto")
    assert (before.since, before.until, before.by_itself) == (3.0, 5.0, True)
    assert (before.error, before.ended_by, before.ended_text) == ("refused", "ada", "mended")


@pytest.mark.parametrize("colour", COLOURS)
def test_a_badge_is_well_formed_and_says_it_in_words(colour: str) -> None:
    picture = ET.fromstring(badge("<shop> & co", 'down"', colour))
    assert picture.get("aria-label") == '<shop> & co: down"'
    texts = [element.text for element in picture.iter() if element.tag.endswith("}text")]
    assert texts == ["<shop> & co", 'down"']
    assert COLOURS[colour] in badge("a", "b", colour)


@given(st.text(max_size=80))
def test_a_badge_of_any_name_stays_a_picture(name: str) -> None:
    assert ET.fromstring(badge(name, "up", "good")).tag.endswith("svg")
