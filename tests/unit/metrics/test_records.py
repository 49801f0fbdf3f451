"""What recording a run, a skip or a hold does to a record."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon.breaker.breaker import DURATION_BUCKETS, CircuitBreaker
from cbmon.metrics.families import DURATION_BOUNDS
from cbmon.metrics.own import Recent
from cbmon.metrics.records import ComponentRecord
from cbmon.model import BreakerInfo, Category, Phase, Phases, Reason, Result, SkipCause


@pytest.fixture
def record() -> ComponentRecord:
    return new_record()


def new_record() -> ComponentRecord:
    return ComponentRecord(BreakerInfo(name="api", category=Category.CHECK), CircuitBreaker("api"))


def breaker_skips(record: ComponentRecord, now: float) -> int:
    skips = record.skipped(now)
    return 0 if skips is None else skips[list(SkipCause).index(SkipCause.BREAKER)]


class TestRuns:
    def test_a_good_run_is_up_and_a_success(self, record: ComponentRecord) -> None:
        record.observe(Result(ok=True, duration=0.2), 50.0)
        assert (record.runs, record.up, record.last_run_at, record.last_success_at) == (
            1,
            1,
            50,
            50,
        )
        assert record.failures is None

    def test_a_failed_run_keeps_the_last_success_and_counts_its_reason(
        self, record: ComponentRecord
    ) -> None:
        record.observe(Result(ok=True, duration=0.2), 50.0)
        record.observe(Result(ok=False, duration=0.3, reason=Reason.DNS, error="x"), 60.0)
        assert (record.up, record.last_run_at, record.last_success_at) == (0, 60.0, 50.0)
        assert record.failures == {Reason.DNS: 1}

    def test_a_failure_without_a_reason_is_cbmons_own(self, record: ComponentRecord) -> None:
        record.observe(Result(ok=False, duration=0.3), 60.0)
        assert record.failures == {Reason.INTERNAL: 1}

    def test_a_duration_that_equals_a_bound_belongs_below_it(self, record: ComponentRecord) -> None:
        record.observe(Result(ok=True, duration=0.005), 1.0)
        record.observe(Result(ok=True, duration=0.0051), 1.0)
        record.observe(Result(ok=True, duration=99.0), 1.0)
        assert (record.counts[0], record.counts[1], record.counts[-1]) == (1, 1, 1)

    def test_a_certificate_that_was_seen_is_remembered(self, record: ComponentRecord) -> None:
        record.observe(Result(ok=True, duration=0.1, certificate_expiry=7.0), 1.0)
        record.observe(Result(ok=False, duration=0.1, reason=Reason.CONNECT, error="x"), 2.0)
        assert record.certificate_expiry == 7.0

    def test_the_phases_stand_in_the_order_of_their_label(self) -> None:
        assert Phases._fields == tuple(Phase)

    def test_checks_and_other_breakers_share_their_buckets(self) -> None:
        assert DURATION_BOUNDS == DURATION_BUCKETS


class TestSkips:
    def test_skips_are_counted_by_cause(self, record: ComponentRecord) -> None:
        record.skip(SkipCause.OVERRUN)
        record.skip(SkipCause.MISSED, 4)
        assert dict(zip(SkipCause, record.skips or (), strict=True)) == {
            **dict.fromkeys(SkipCause, 0),
            SkipCause.OVERRUN: 1,
            SkipCause.MISSED: 4,
        }

    def test_a_held_check_shows_the_runs_that_its_breaker_passes_over_as_they_pass(
        self, record: ComponentRecord
    ) -> None:
        record.hold(10.0, 100.0)
        assert [breaker_skips(record, now) for now in (100.0, 109.9, 110.0, 135.0)] == [0, 0, 1, 3]
        record.release(135.0)
        assert breaker_skips(record, 1000.0) == 3

    def test_release_without_hold_counts_nothing(self, record: ComponentRecord) -> None:
        record.release(5.0)
        assert record.skipped(9.0) is None

    @given(moves=st.lists(st.tuples(st.sampled_from("hrs"), st.floats(0, 100)), max_size=20))
    def test_the_count_never_goes_down(self, moves: list[tuple[str, float]]) -> None:
        record, now, seen = new_record(), 0.0, 0
        for move, seconds in moves:
            now += seconds
            if move == "h":
                record.hold(7.0, now)
            elif move == "r":
                record.release(now)
            shown = breaker_skips(record, now)
            assert shown >= seen
            seen = shown


class TestRecent:
    def test_the_worst_lag_is_remembered_for_a_minute_and_forgotten_after_two(self) -> None:
        lag = Recent(60.0)
        lag.add(0.5, 1000.0)
        lag.add(0.1, 1001.0)
        assert [lag.worst(at) for at in (1002.0, 1059.0, 1119.0)] == [0.5, 0.5, 0.5]
        assert lag.worst(1300.0) == 0.0
