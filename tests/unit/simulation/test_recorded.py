"""The daemon's own history: what an open breaker held off is filled in, and nothing else is."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cbmon.simulation import Sample
from cbmon.simulation.recorded import filled, from_points, held_off
from cbmon.web.views import timestamp

NOON = 1_800_000_000.0 - 1_800_000_000.0 % 300


def point(at: float, *, failures: int = 0, down: float = 0.0) -> dict[str, Any]:
    return {
        "at": timestamp(at),
        "failures": failures,
        "down_seconds": down,
        "duration_seconds": None if failures else {"max": 0.25},
    }


def test_single_runs_become_results() -> None:
    found = from_points([point(NOON), point(NOON + 10, failures=1)])
    assert found == [Sample(NOON, ok=True, seconds=0.25), Sample(NOON + 10, ok=False, seconds=None)]


def test_a_failure_is_repeated_while_the_check_was_down_and_nobody_looked() -> None:
    samples = [Sample(NOON, ok=False), Sample(NOON + 60, ok=True)]
    down = held_off([point(NOON, down=60.0)])
    found, count = filled(samples, down, interval=10, timeout=2)
    assert [one.at - NOON for one in found] == [0, 10, 20, 30, 40, 50, 60]
    assert [one.ok for one in found] == [False] * 6 + [True]
    assert count == 5


def test_a_time_of_which_nothing_is_known_stays_empty() -> None:
    samples = [Sample(NOON, ok=False), Sample(NOON + 3600, ok=True)]
    found, count = filled(samples, held_off([point(NOON, down=12.0)]), interval=60, timeout=2)
    assert count == 4, "only in the five minutes in which it was down"
    assert found[-1].at == NOON + 3600
    assert filled(samples, held_off([]), interval=60, timeout=2) == (samples, 0)


def test_nothing_follows_on_a_good_result() -> None:
    samples = [Sample(NOON, ok=True), Sample(NOON + 200, ok=True)]
    assert filled(samples, frozenset({NOON}), interval=10, timeout=2) == (samples, 0)


@given(st.lists(st.tuples(st.integers(1, 400), st.booleans()), max_size=30))
def test_what_was_recorded_stays_and_time_never_goes_back(gaps: list[tuple[int, bool]]) -> None:
    at, samples = NOON, []
    for gap, ok in gaps:
        at += gap
        samples.append(Sample(at, ok=ok))
    down = frozenset(NOON + 300 * number for number in range(50))
    found, count = filled(samples, down, interval=10, timeout=2)
    assert [one for one in found if one in samples] == samples
    assert len(found) == len(samples) + count
    assert found == sorted(found, key=lambda one: one.at)
