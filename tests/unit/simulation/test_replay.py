"""Histories replayed through breakers: pages, delays, what is missed and what is spared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon import BreakerPolicy
from cbmon.simulation import Sample, Span, outages, replay

EVERY = 10.0
QUICK = BreakerPolicy(failure_threshold=1, recovery_timeout=30.0)
CALM = BreakerPolicy(failure_threshold=3, recovery_timeout=30.0)


def history(letters: str) -> list[Sample]:
    """A result every ten seconds: ``.`` good, ``x`` failed."""
    return [Sample(EVERY * index, letter == ".") for index, letter in enumerate(letters)]


def test_an_outage_is_one_page_however_often_it_was_tried_again() -> None:
    found = replay(history("..." + "x" * 30 + "...."), QUICK)
    assert [page.begin for page in found.pages] == [30.0]
    assert found.outages == (Span(30.0, 330.0),)
    assert (found.missed, found.for_blips, found.delays) == (0, 0, (0.0,))


def test_a_higher_threshold_pages_later_and_not_for_a_blip() -> None:
    letters = "..x..." + "x" * 12 + "......"
    quick = replay(history(letters), QUICK, blip=15.0)
    calm = replay(history(letters), CALM, blip=15.0)
    assert (len(quick.pages), quick.for_blips, quick.delay) == (2, 1, 0.0)
    assert (len(calm.pages), calm.for_blips, calm.delay) == (1, 0, 20.0)


def test_an_outage_that_never_opened_it_is_missed() -> None:
    found = replay(history("..xx....xx.."), CALM)
    assert (found.pages, found.missed, found.delay, found.slowest) == ((), 2, None, None)


def test_runs_are_spared_while_it_is_open_and_recovery_is_seen_by_a_trial() -> None:
    found = replay(history("x......"), QUICK)
    assert found.spared == 2
    assert found.pages == (Span(0.0, 30.0),)
    assert found.recovery_delay == 20.0
    assert found.runs == 5
    assert found.time_open == 30.0


def test_what_is_not_over_is_counted_to_the_end() -> None:
    found = replay(history("..xxx"), CALM, blip=15.0)
    assert found.pages == (Span(40.0, None),)
    assert found.outages == (Span(20.0, None),)
    assert found.final == "open"


def test_an_outage_inside_an_open_incident_is_known_at_once() -> None:
    policy = BreakerPolicy(
        failure_threshold=1, recovery_timeout=30, half_open_max_calls=2, success_threshold=2
    )
    found = replay(history("x..." + "." + "x" * 3 + "...."), policy)
    assert len(found.pages) == 2 or 0.0 in found.delays


def test_slow_runs_open_it_too() -> None:
    policy = BreakerPolicy(kind="percentage", slow_call_seconds=1.0, minimum_calls=2)
    slow = [Sample(index * EVERY, ok=True, seconds=2.0) for index in range(4)]
    assert len(replay(slow, policy).pages) == 1


@pytest.mark.parametrize(
    ("samples", "message"),
    [([], "nothing to replay"), ([Sample(2.0, ok=True), Sample(1.0, ok=True)], "back in time")],
)
def test_a_history_that_is_none_is_refused(samples: list[Sample], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replay(samples, QUICK)


@given(st.lists(st.booleans(), min_size=1, max_size=120), st.floats(0, 100))
def test_the_numbers_agree_whatever_happened(verdicts: list[bool], blip: float) -> None:
    samples = [Sample(EVERY * index, ok) for index, ok in enumerate(verdicts)]
    found = replay(samples, CALM, blip=blip)
    assert found.runs + found.spared == len(samples)
    assert len(found.delays) + found.missed == len(found.outages)
    assert found.for_blips <= len(found.pages)
    assert all(delay >= 0 for delay in (*found.delays, *found.recovery_delays))
    assert len(outages(samples)) >= len(found.outages)
    assert found.time_open <= samples[-1].at - samples[0].at
