"""Drawings: latency, failure cycles and badges, as numbers and as text."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon.recent import KEPT, RecentRuns, Run
from cbmon.web.badges import COLOURS, badge
from cbmon.web.latency import HEIGHT, PLACES, chart, nice, quantile
from cbmon.web.trends import cycles, outages


def runs(*seconds: float) -> list[Run]:
    return [Run(float(at), each, True) for at, each in enumerate(seconds)]


def test_without_a_run_there_is_no_chart() -> None:
    assert chart([]) is None


def test_bars_stand_at_the_right_and_reach_up_to_a_round_number() -> None:
    drawn = chart(runs(0.1, 0.2, 0.15))
    assert drawn is not None
    assert [bar.x for bar in drawn.bars] == [PLACES - 3, PLACES - 2, PLACES - 1]
    assert drawn.top == 0.2
    assert [bar.height for bar in drawn.bars] == [50.0, 100.0, 75.0]
    assert [bar.y + bar.height for bar in drawn.bars] == [HEIGHT] * 3
    assert (drawn.median, drawn.slowest) == (0.15, 0.2)


def test_failed_runs_are_counted() -> None:
    drawn = chart([Run(0.0, 0.1, True), Run(1.0, 0.1, False)])
    assert drawn is not None
    assert drawn.failed == 1


def test_a_bound_is_drawn_only_inside() -> None:
    inside, outside = chart(runs(0.2), limit=0.1), chart(runs(0.2), limit=5.0)
    assert inside is not None
    assert inside.limit == 50.0
    assert outside is not None
    assert outside.limit is None


@given(st.floats(0, 1e5))
def test_a_round_number_is_not_below_and_not_far_above(seconds: float) -> None:
    assert seconds * 0.998 <= nice(seconds) <= max(0.001, 2 * seconds)


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 3.0), (0.95, 5.0), (0.2, 1.0), (1.0, 5.0), (0.0, 1.0)]
)
def test_a_quantile_is_the_nearest_rank(share: float, expected: float) -> None:
    assert quantile([1.0, 2.0, 3.0, 4.0, 5.0], share) == expected


def test_the_ring_of_runs_forgets_the_oldest() -> None:
    ring = RecentRuns()
    for number in range(KEPT + 7):
        ring.add(float(number), number / 1000, ok=number % 2 == 0)
    kept = list(ring)
    assert len(kept) == len(ring) == KEPT
    assert [run.at for run in kept] == [float(n) for n in range(7, KEPT + 7)]
    assert [run.ok for run in kept[:2]] == [False, True]
    assert kept[-1].seconds == pytest.approx((KEPT + 6) / 1000)


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
    ET.fromstring(badge(name, "up", "good"))
