"""The grid of a test, and how its values are written."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cbmon.rules.film import GONE, Film, Token, lasting, spelled, unit_for
from cbmon.rules.words import humanized, told

TOKENS = st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0, 0.5, GONE]), max_size=30)


@given(TOKENS)
def test_promtool_reads_the_values_that_were_meant(tokens: list[Token]) -> None:
    assert read(spelled(tokens)) == tokens


def read(text: str) -> list[Token]:
    found: list[Token] = []
    for word in text.split():
        first, cross, times = word.partition("x")
        if not cross:
            found.append(word if word == GONE else float(word))
            continue
        sign = "-" if "-" in first else "+"
        start, step = (float(part) for part in first.split(sign))
        found += [start + index * float(f"{sign}{step}") for index in range(int(times) + 1)]
    return found


def test_steady_and_rising_values_are_written_short() -> None:
    assert spelled([1.0] * 5 + [GONE] + [2.0, 4.0, 6.0, 8.0]) == "1+0x4 stale 2+2x3"


def test_a_series_goes_on_as_it_ended() -> None:
    assert lasting([1.0, 3.0], 4) == [1.0, 3.0, 5.0, 7.0]
    assert lasting([3.0, 3.0], 4) == [3.0] * 4
    assert lasting([3.0, GONE], 4) == [3.0, GONE, GONE, GONE]
    assert lasting([3.0, 4.0], 1) == [3.0, 4.0]


@given(st.floats(0.01, 1e5), st.integers(0, 50))
def test_a_sample_enters_and_leaves_a_window_between_evaluations(window: float, at: int) -> None:
    film = Film(unit_for(window / 12))
    index = film.clear_of(at, [window])
    edge = film.sample(index) + window * 1000
    assert at <= index < at + 3
    assert film.step(film.step_after(edge)) > edge
    assert film.step_from(film.sample(index)) == film.step_after(film.sample(index))


def test_units_are_round() -> None:
    assert [unit_for(seconds) for seconds in (0.0002, 0.017, 5, 9, 73)] == [
        1,
        10,
        5000,
        5000,
        50_000,
    ]


def test_durations_in_the_words_of_a_message() -> None:
    assert [told(seconds) for seconds in (0.25, 1, 120, 5400, 90_061)] == [
        "0.25 seconds",
        "1 second",
        "2 minutes",
        "1 hour 30 minutes",
        "1 day 1 hour",
    ]


def test_durations_as_prometheus_writes_them() -> None:
    assert [humanized(s) for s in (0.0123, 0.000_004, 4.5, 65, 3725, 90_061)] == [
        "12.3ms",
        "4us",
        "4.5s",
        "1m 5s",
        "1h 2m 5s",
        "1d 1h 1m 1s",
    ]
