"""States over time: nothing is drawn that is not known."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon.results.store import Span
from cbmon.web.timeline import Part, parts, share

HEALTHY = frozenset({"closed"})


def move(at: float, before: str, after: str) -> dict[str, Any]:
    return {"at": at, "from_state": before, "to_state": after}


def widths(found: list[Part]) -> list[tuple[str, float, float]]:
    return [(part.state, part.start, part.width) for part in found]


def test_without_moves_it_is_the_present_state_since_it_is_known() -> None:
    found = parts([], state="closed", now=1000, span=100, known_since=950)
    assert widths(found) == [("closed", 50.0, 50.0)]


def test_moves_cut_the_span_oldest_first() -> None:
    rows = [move(990, "open", "closed"), move(950, "closed", "open")]
    found = parts(rows, state="closed", now=1000, span=100, known_since=0)
    assert widths(found) == [("closed", 0.0, 50.0), ("open", 50.0, 40.0), ("closed", 90.0, 10.0)]
    assert share(found, HEALTHY) == pytest.approx(0.6)


def test_a_move_before_the_span_tells_what_it_began_with() -> None:
    rows = [move(500, "closed", "open")]
    found = parts(rows, state="open", now=1000, span=100, known_since=0)
    assert widths(found) == [("open", 0.0, 100.0)]
    assert share(found, HEALTHY) == 0.0


def test_nothing_known_is_no_share() -> None:
    found = parts([], state="closed", now=1000, span=100, known_since=1000)
    assert found == []
    assert share(found, HEALTHY) is None


def test_a_row_from_the_future_does_no_harm() -> None:
    rows = [move(2000, "closed", "open")]
    found = parts(rows, state="open", now=1000, span=100, known_since=0)
    assert widths(found) == [("closed", 0.0, 100.0)]


@given(
    times=st.lists(st.floats(0, 2000), max_size=30),
    known_since=st.floats(-100, 2100),
    now=st.floats(1000, 1100),
)
def test_the_parts_never_overlap_and_never_leave_the_span(
    times: list[float], known_since: float, now: float
) -> None:
    rows = [move(at, "closed", "open") for at in sorted(times, reverse=True)]
    found = parts(rows, state="open", now=now, span=100, known_since=known_since)
    edge = 0.0
    for part in found:
        assert part.width > 0
        assert part.start >= edge - 0.002
        edge = part.start + part.width
    assert edge <= 100.002


def test_the_time_in_which_no_daemon_ran_is_left_out() -> None:
    rows = [move(950.0, "open", "closed")]
    gaps = [Span(920.0, 960.0), Span(980.0, 985.0), Span(1.0, 2.0)]
    found = parts(rows, state="closed", now=1000, span=100, known_since=0, absences=gaps)
    assert [(part.state, part.since, part.until) for part in found] == [
        ("open", 900.0, 920.0),
        ("closed", 960.0, 980.0),
        ("closed", 985.0, 1000.0),
    ]
    assert share(found, HEALTHY) == pytest.approx(35 / 55)
