"""What people and collectors see: counts, state, explanation, durations, and what it all weighs."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tracemalloc
from typing import Any

import pytest

import cbmon
from cbmon import BreakerPolicy, CircuitBreaker
from cbmon.breaker.histogram import Histogram
from cbmon.testing import ManualClock
from tests.unit.breaker.support import Driver, Make


@pytest.mark.parametrize("kind", ["count", "percentage"])
def test_a_glance_says_what_calls_change_and_whether_that_is_all(
    make: Make, drive: Driver, kind: str
) -> None:
    breaker = make(kind=kind)
    drive.run(breaker, "..")
    before, version = breaker.glance(), breaker.version
    assert (before.calls, before.in_flight) == (2, 0)
    assert (before.rest is None) == (kind == "percentage")  # a window ages by itself
    permit = breaker.try_acquire()
    assert permit is not None
    assert breaker.glance()[:2] == (3, 1)
    breaker.record(permit, failed=False)
    assert breaker.glance().rest == before.rest
    drive.run(breaker, "x")
    after = breaker.glance()
    assert (after.calls, after.in_flight) == (4, 0)
    assert kind == "percentage" or after.rest != before.rest
    assert breaker.version > version


def test_a_glance_adds_up_calls_under_way_however_they_began(make: Make, drive: Driver) -> None:
    breaker = make()
    drive.run(breaker, ".x.")
    permit = breaker.try_acquire()
    assert breaker.call(lambda: breaker.glance()[:2]) == (5, 2)
    assert breaker.call(lambda: breaker.counts.in_flight) == 2
    assert permit is not None
    breaker.record(permit, failed=False)
    assert breaker.glance()[:2] == (6, 0)


async def test_calls_of_several_tasks_are_all_under_way(make: Make) -> None:
    breaker, gate = make(), asyncio.Event()
    wait = breaker(gate.wait)
    for number in range(1, 5):
        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        assert (breaker.counts.in_flight, breaker.glance().in_flight) == (number, number)
        assert not task.done()
    gate.set()
    await asyncio.sleep(0.01)
    assert breaker.counts.in_flight == 0


@pytest.mark.parametrize("move", ["open", "force_open", "close", "reset"])
def test_every_move_gives_a_new_version(make: Make, move: str) -> None:
    breaker = make(initial_state="observe")
    before = breaker.version, breaker.glance().rest
    getattr(breaker, move)()
    assert breaker.version > before[0]
    assert breaker.glance().rest != before[1]


def test_counts_are_complete_and_agree(make: Make, drive: Driver, clock: ManualClock) -> None:
    breaker = make(kind="percentage", minimum_calls=3, slow_call_seconds=1.0, recovery_timeout=9.0)
    drive.run(breaker, ".sic")
    permit = breaker.try_acquire()
    counts = breaker.counts
    assert (counts.calls, counts.successes, counts.ignored, counts.cancelled) == (5, 2, 1, 1)
    assert (counts.slow_calls, counts.in_flight, counts.failure_ratio) == (1, 1, None)
    assert (counts.open_until, counts.last_failure_at, counts.histogram) == (None, None, None)
    assert permit is not None
    breaker.record(permit, failed=True)
    drive.run(breaker, "x")
    counts = breaker.counts
    assert (counts.failures, counts.failure_ratio, counts.slow_ratio) == (2, 0.5, 0.25)
    assert (counts.trips, counts.transitions) == (1, {("closed", "open"): 1})
    assert counts.open_until == clock.time() + 9.0
    assert (counts.last_transition_at, counts.last_failure_at) == (clock.time(), clock.time())


@pytest.mark.parametrize("kind", ["count", "time", "percentage", "adaptive"])
def test_the_state_is_json_and_has_what_the_contract_names(make: Make, kind: str) -> None:
    state = make(kind=kind).get_state()
    assert json.loads(json.dumps(state)) == state
    assert {
        "state", "failure_count", "success_count", "last_failure_time", "is_available",
        "retry_after",
    } <= set(state)  # fmt: skip
    assert (state["kind"], state["state_value"], state["is_available"]) == (kind, 1.0, True)


def test_a_half_open_breaker_is_available_while_it_has_trials(make: Make) -> None:
    breaker = make(initial_state="half_open")
    assert breaker.get_state()["is_available"] is True
    breaker.try_acquire()
    assert breaker.get_state()["is_available"] is False


@pytest.mark.parametrize(("fields", "outcomes", "lines"), [
    ({}, "xx", ["target is closed: every call is admitted and recorded",
                "it has not moved since it was made", "2 failures in a row, opens at 5"]),
    ({"kind": "percentage"}, "x.", ["target is closed: every call is admitted and recorded",
                                    "it has not moved since it was made",
                                    "2 calls seen, no verdict below 10"]),
    ({"kind": "time"}, "." * 9 + "x", ["target is closed: every call is admitted and recorded",
                                       "it has not moved since it was made",
                                       "failure ratio 0.100, opens at 0.5"]),
    ({"kind": "adaptive"}, "." * 10, ["target is closed: every call is admitted and recorded",
                                      "it has not moved since it was made",
                                      "error rate 0.000, opens at 0.250; learnt 0.000"]),
    ({"initial_state": "observe"}, "x",
     ["target is observe: every call is admitted and recorded; the breaker never trips",
      "it has not moved since it was made", "1 failures in a row, opens at 5"]),
    ({"initial_state": "forced_open"}, "",
     ["target is forced_open: every call is rejected until a person releases the breaker",
      "it has not moved since it was made"]),
    ({"initial_state": "half_open", "half_open_max_calls": 3}, ".",
     ["target is half_open: a counted number of trial calls is admitted; they decide",
      "it has not moved since it was made",
      "1 of 3 trial calls admitted, 1 succeeded, 0 failed"]),
    ({"failure_threshold": 1, "recovery_timeout": 30.0}, "x",
     ["target is open: every call is rejected until the recovery deadline",
      "moved from closed: 1 failures in a row, threshold 1",
      "first trial call in 30.000 s, opening 1"]),
])  # fmt: skip
def test_explain_says_why(
    make: Make, drive: Driver, fields: dict[str, Any], outcomes: str, lines: list[str]
) -> None:
    breaker = make(**fields)
    drive.run(breaker, outcomes)
    assert breaker.explain().splitlines() == lines


def test_explain_tells_the_last_failure(make: Make) -> None:
    breaker = make()
    for reason, error, line in (
        ("connect", "refused", "last failure: connect: refused"),
        (None, "refused", "last failure: refused"),
        ("connect", None, "last failure: connect"),
    ):
        permit = breaker.try_acquire()
        assert permit is not None
        breaker.record(permit, failed=True, reason=reason, error=error)
        assert breaker.explain().splitlines()[-1] == line


class TestDurations:
    def test_nothing_is_measured_until_somebody_asks(self, make: Make) -> None:
        breaker = make()
        breaker.call(int)
        assert breaker.counts.histogram is None

    async def test_every_call_is_in_its_bucket(self, make: Make, clock: ManualClock) -> None:
        breaker = make()
        breaker.enable_duration_histogram([0.1, 1.0])
        for seconds in (0.05, 0.1, 0.5, 5.0):
            breaker.call(clock.advance, seconds)
        with pytest.raises(ValueError, match="invalid literal"):
            breaker.call(int, "x")
        with breaker:
            clock.advance(1.0)
        permit = breaker.try_acquire()
        assert permit is not None
        breaker.record(permit, failed=False, duration=2.0)
        histogram = breaker.counts.histogram
        assert histogram is not None
        assert (histogram.bounds, histogram.counts, histogram.count) == ((0.1, 1.0), [3, 2, 2], 7)
        assert histogram.sum == pytest.approx(8.65)

    def test_what_counts_for_nothing_is_in_no_bucket(
        self, make: Make, drive: Driver, clock: ManualClock
    ) -> None:
        breaker = make(initial_state="forced_closed")
        breaker.enable_duration_histogram([1.0])
        drive.run(breaker, "..")
        breaker.call(clock.advance, 0.5)
        late = breaker.try_acquire()
        assert late is not None
        breaker.close()
        breaker.record(late, failed=False, duration=0.5)
        histogram = breaker.counts.histogram
        assert histogram is not None
        assert (histogram.count, histogram.sum) == (0, 0.0)

    def test_the_first_to_ask_chooses_the_buckets(self, make: Make) -> None:
        breaker = make()
        breaker.enable_duration_histogram()
        breaker.enable_duration_histogram([1.0])
        histogram = breaker.counts.histogram
        assert histogram is not None
        expected = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
        assert histogram.bounds == expected

    def test_counts_hold_a_copy(self, make: Make) -> None:
        breaker = make()
        breaker.enable_duration_histogram([1.0])
        before = breaker.counts.histogram
        breaker.call(int)
        assert before is not None
        assert before.count == 0

    @pytest.mark.parametrize("bounds", [
        [], [1.0, 1.0], [2.0, 1.0], [1.0, 1.0, 2.0], [float("nan")], [float("inf")],
    ])  # fmt: skip
    def test_bounds_grow_and_are_finite(self, bounds: list[float]) -> None:
        with pytest.raises(ValueError, match=r"^bounds: .* expected growing finite seconds$"):
            Histogram(bounds)


class TestWeight:
    @pytest.mark.parametrize("kind", ["count", "time", "percentage"])
    def test_a_breaker_at_rest_takes_less_than_a_kilobyte(self, kind: str) -> None:
        policy = BreakerPolicy(kind=kind)  # type: ignore[arg-type]
        CircuitBreaker("warm", policy).call(int)
        breakers: list[Any] = [None] * 500
        tracemalloc.start()
        for index in range(500):
            breakers[index] = CircuitBreaker("x", policy)
            breakers[index].call(int)
        used = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert used / 500 <= 1024

    def test_importing_cbmon_imports_no_library_of_the_daemon(self) -> None:
        heavy = ("asyncio", "aiohttp", "apscheduler", "prometheus_client", "pydantic", "yaml",
                 "sqlalchemy", "logging", "random", "click", "rich", "jinja2")  # fmt: skip
        code = f"import sys, cbmon; print([m for m in {heavy} if m in sys.modules])"
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                               check=True, env={**os.environ, "PYTHONPATH": "."})  # fmt: skip
        assert found.stdout.strip() == "[]"

    def test_the_public_names_are_there(self) -> None:
        for name in cbmon.__all__:
            assert getattr(cbmon, name).__doc__
        with pytest.raises(AttributeError, match="no attribute 'Breaker'"):
            cbmon.Breaker  # noqa: B018
        assert cbmon.__version__

    def test_the_lazy_names_are_loaded_once(self) -> None:
        assert cbmon.__getattr__("retry") is cbmon.retry


def test_calls_are_all_that_were_admitted_however_they_ended(make: Make) -> None:
    breaker = make(failure_threshold=100)
    for _ in range(3):
        permit = breaker.try_acquire()
        assert permit is not None
        breaker.reset()
        breaker.record(permit, failed=False)
        for failed in (True, False):
            breaker.record(breaker.try_acquire() or 0, failed=failed)
        for ignored in (True, False):
            breaker.release(breaker.try_acquire() or 0, ignored=ignored)
    breaker.force_close()
    for _ in range(3):
        breaker.record(breaker.try_acquire() or 0, failed=True)
    counts = breaker.counts
    assert (counts.stale, counts.failures, counts.successes) == (3, 3, 3)
    assert (counts.ignored, counts.cancelled) == (3, 3)
    assert counts.calls == breaker.glance().calls == 18


def test_moves_are_counted_by_where_from_and_where_to(make: Make) -> None:
    breaker = make()
    for _ in range(3):
        breaker.open()
        breaker.close()
    assert breaker.counts.transitions == {("closed", "open"): 3, ("open", "closed"): 3}


def test_a_call_that_ends_while_it_is_counted_is_counted_once(make: Make) -> None:
    """As in another thread, whose lane takes no lock."""
    breaker = make()
    machine = breaker._core.machine

    class Owners(dict[object, Any]):
        ended = False

        def __len__(self) -> int:
            if not self.ended:
                self.ended = True
                machine.inside = None
                machine.successes += 1
            return super().__len__()

    machine.inside = object()
    breaker._core.owners = Owners()
    counts = breaker.counts
    assert (counts.calls, counts.successes, counts.in_flight) == (1, 1, 0)
