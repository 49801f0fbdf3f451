"""The timeline loses no tick, makes none up, and spreads what it was given.

Rule: time is a number that the test moves.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbmon.timeline import Firing, Timeline, phase_of


def no_op(_name: str, _due: float, _missed: int) -> None:
    """A callback that the timeline never calls."""


def drain(timeline: Timeline, now: float) -> list[Firing]:
    return list(iter(lambda: timeline.pop(now), None))


def ticks_between(name: str, interval: float, after: float, until: float) -> list[float]:
    """The ticks in (after, until], reckoned the plain way."""
    phase = phase_of(name) * interval
    first = int((after - phase) // interval) - 1
    last = int((until - phase) // interval) + 1
    every = (phase + k * interval for k in range(first, last + 1))
    return [tick for tick in every if after < tick <= until]


class TestTicks:
    def test_a_name_ticks_at_its_phase_of_every_interval(self) -> None:
        timeline = Timeline()
        timeline.add("api", 10.0, no_op, now=1000.0)
        dues = [firing.due for step in range(60) for firing in drain(timeline, 1000.0 + step)]
        assert dues == pytest.approx(ticks_between("api", 10.0, 1000.0, 1059.0))
        assert len(dues) in {5, 6}

    def test_a_restarted_process_finds_the_ticks_of_the_one_before(self) -> None:
        before, after = Timeline(), Timeline()
        before.add("api", 10.0, no_op, now=1000.0)
        after.add("api", 10.0, no_op, now=1003.0)
        drain(before, 1019.9)
        drain(after, 1019.9)
        assert before.next_run("api") == pytest.approx(after.next_run("api"))

    def test_nothing_is_due_before_its_moment_and_it_is_due_at_it(self) -> None:
        timeline = Timeline()
        timeline.add("api", 10.0, no_op, now=0.0, first=4.0)
        assert timeline.pop(3.999) is None
        assert timeline.pop(4.0) == Firing("api", 4.0, 0, no_op)

    def test_what_is_due_comes_oldest_first(self) -> None:
        timeline = Timeline()
        for number in range(50):
            timeline.add(f"check-{number}", 5.0, no_op, now=0.0)
        dues = [firing.due for firing in drain(timeline, 4.9)]
        assert dues == sorted(dues)

    @settings(max_examples=500)
    @given(name=st.text(max_size=3), interval=st.floats(1e-3, 1e6), now=st.floats(0.0, 1e8))
    def test_after_a_tick_comes_a_later_one_however_floats_are_rounded(
        self, name: str, interval: float, now: float
    ) -> None:
        timeline = Timeline()
        timeline.add(name, interval, no_op, now=now)
        tick = timeline.next_run(name)
        assert tick is not None
        timeline.park(name)
        timeline.resume(name, now=tick)
        after = timeline.next_run(name)
        assert after is not None
        assert now < tick < after

    @pytest.mark.parametrize("interval", [0.0, -1.0, float("nan"), float("inf")])
    def test_an_interval_that_is_no_positive_number_is_refused(self, interval: float) -> None:
        with pytest.raises(ValueError, match="interval of 'api'"):
            Timeline().add("api", interval, no_op, now=0.0)


class TestSpreading:
    def test_ten_thousand_checks_are_spread_evenly(self) -> None:
        timeline = Timeline()
        for number in range(10_000):
            timeline.add(f"check-{number}", 10.0, no_op, now=500.0)
        per_tenth = Counter(int(firing.due * 10) for firing in drain(timeline, 509.9))
        assert min(per_tenth.values()) > 60
        assert max(per_tenth.values()) < 145

    def test_the_first_run_of_a_name_is_within_its_first_interval(self) -> None:
        timeline = Timeline()
        for number in range(1000):
            timeline.add(f"check-{number}", 30.0, no_op, now=77.0)
        dues = [timeline.next_run(name) for name in timeline]
        assert all(due is not None and 77.0 < due <= 107.0 for due in dues)

    def test_a_changed_interval_keeps_the_place_in_it(self) -> None:
        timeline = Timeline()
        timeline.add("api", 10.0, no_op, now=0.0)
        timeline.add("api", 20.0, no_op, now=3.0)
        due = timeline.next_run("api")
        assert due is not None
        assert (due / 20.0) % 1 == pytest.approx(phase_of("api"))
        assert 3.0 < due <= 23.0

    def test_adding_again_unchanged_moves_nothing_but_the_callback(self) -> None:
        timeline = Timeline()
        timeline.add("api", 10.0, no_op, now=0.0, first=2.5)

        def other(_name: str, _due: float, _missed: int) -> None: ...

        timeline.add("api", 10.0, other, now=1.0)
        assert timeline.pop(2.5) == Firing("api", 2.5, 0, other)


class TestMissing:
    def test_a_run_late_by_less_than_its_interval_is_done_late(self) -> None:
        timeline = Timeline()
        timeline.add("api", 10.0, no_op, now=0.0)
        due = timeline.next_run("api")
        assert due is not None
        assert timeline.pop(due + 9.9) == Firing("api", due, 0, no_op)

    def test_after_a_pause_it_waits_for_its_phase_and_tells_what_it_missed(self) -> None:
        timeline = Timeline()
        timeline.add("api", 10.0, no_op, now=0.0)
        due = timeline.next_run("api")
        assert due is not None
        assert timeline.pop(due + 35.0) is None
        assert timeline.next_run("api") == pytest.approx(due + 40.0)
        firing = timeline.pop(due + 40.5)
        assert firing is not None
        assert firing.missed == 4

    def test_the_end_of_an_hour_long_pause_is_no_storm(self) -> None:
        timeline = Timeline()
        for number in range(1000):
            timeline.add(f"check-{number}", 10.0, no_op, now=0.0)
        assert drain(timeline, 3600.0) == []
        assert len(drain(timeline, 3600.1)) < 30

    def test_a_wanted_pause_is_not_counted(self) -> None:
        timeline = Timeline()
        timeline.add("api", 10.0, no_op, now=0.0)
        timeline.skip(100.0)
        firing = timeline.pop(110.0)
        assert firing is not None
        assert firing.missed == 0

    @given(
        interval=st.floats(0.1, 500.0),
        looks=st.lists(st.floats(0.0, 2000.0), min_size=1, max_size=40),
    )
    def test_every_tick_is_either_fired_or_counted_as_missed(
        self, interval: float, looks: list[float]
    ) -> None:
        timeline = Timeline()
        timeline.add("api", interval, no_op, now=0.0)
        told, last = 0, 0.0
        for now in sorted(looks):
            for firing in drain(timeline, now):
                told += 1 + firing.missed
                assert last < firing.due <= now < firing.due + interval
                last = firing.due
        assert told == len(ticks_between("api", interval, 0.0, last + interval * 1e-6))


class TestAppointments:
    def test_an_appointment_replaces_the_tick_and_the_phase_goes_on_after_it(self) -> None:
        timeline = Timeline()
        timeline.add("api", 10.0, no_op, now=0.0)
        timeline.at("api", 34.56, now=1.0)
        assert timeline.pop(34.55) is None
        assert timeline.pop(34.56) == Firing("api", 34.56, 0, no_op)
        assert timeline.next_run("api") == pytest.approx(ticks_between("api", 10.0, 34.56, 50.0)[0])

    def test_an_appointment_is_kept_however_late(self) -> None:
        timeline = Timeline()
        timeline.add("api", 10.0, no_op, now=0.0)
        timeline.at("api", 34.56, now=1.0)
        assert timeline.pop(5000.0) == Firing("api", 34.56, 0, no_op)

    def test_an_appointment_in_the_past_is_now(self) -> None:
        timeline = Timeline()
        timeline.add("api", 10.0, no_op, now=0.0)
        timeline.at("api", -5.0, now=1.0)
        assert timeline.pop(1.0) == Firing("api", 1.0, 0, no_op)

    def test_a_parked_name_never_runs_until_it_is_resumed(self) -> None:
        timeline = Timeline()
        timeline.add("api", 10.0, no_op, now=0.0)
        timeline.park("api")
        assert (timeline.next_run("api"), timeline.next_due(), timeline.pop(99.0)) == (None,) * 3
        timeline.resume("api", now=99.0)
        firing = timeline.pop(109.0)
        assert firing is not None
        assert (firing.missed, firing.due > 99.0) == (0, True)

    def test_resume_ends_an_appointment_and_leaves_ordinary_ticks_alone(self) -> None:
        timeline = Timeline()
        timeline.add("api", 10.0, no_op, now=0.0)
        tick = timeline.next_run("api")
        timeline.resume("api", now=0.0)
        assert timeline.next_run("api") == tick
        timeline.at("api", 500.0, now=0.0)
        timeline.resume("api", now=0.0)
        assert timeline.next_run("api") == tick

    def test_a_changed_interval_leaves_a_parked_name_parked_and_an_appointment_kept(self) -> None:
        timeline = Timeline()
        for name in ("parked", "appointed"):
            timeline.add(name, 10.0, no_op, now=0.0)
        timeline.park("parked")
        timeline.at("appointed", 77.0, now=0.0)
        for name in ("parked", "appointed"):
            timeline.add(name, 30.0, no_op, now=1.0)
        assert timeline.next_run("parked") is None
        assert timeline.next_run("appointed") == 77.0

    def test_a_wanted_pause_keeps_an_appointment(self) -> None:
        timeline = Timeline()
        timeline.add("api", 10.0, no_op, now=0.0, first=3.0)
        timeline.skip(50.0)
        assert timeline.pop(50.0) == Firing("api", 50.0, 0, no_op)


class TestNames:
    def test_a_removed_name_is_gone_at_once_and_removing_it_again_is_no_error(self) -> None:
        timeline = Timeline()
        timeline.add("api", 10.0, no_op, now=0.0)
        timeline.remove("api")
        timeline.remove("api")
        assert ("api" in timeline, len(timeline), timeline.next_due()) == (False, 0, None)
        assert timeline.rate == 0.0

    @pytest.mark.parametrize("method", ["at", "park", "resume"])
    def test_a_name_that_was_not_added_is_a_key_error(self, method: str) -> None:
        arguments = {"at": (1.0,)}.get(method, ())
        now = {} if method == "park" else {"now": 0.0}
        with pytest.raises(KeyError):
            getattr(Timeline(), method)("nobody", *arguments, **now)

    def test_the_rate_is_the_ticks_per_second_of_all_names(self) -> None:
        timeline = Timeline()
        timeline.add("a", 10.0, no_op, now=0.0)
        timeline.add("b", 5.0, no_op, now=0.0)
        timeline.add("b", 2.0, no_op, now=0.0)
        assert timeline.rate == pytest.approx(0.6)

    def test_ten_thousand_changes_leave_no_rubbish_in_the_heap(self) -> None:
        timeline = Timeline()
        for number in range(100):
            timeline.add(f"check-{number}", 10.0, no_op, now=0.0)
        for step in range(10_000):
            timeline.at(f"check-{step % 100}", 1000.0 + step, now=0.0)
        assert len(timeline._heap) <= 2 * 100 + 64
        for name in list(timeline):
            timeline.remove(name)
        assert len(timeline._heap) <= 64

    def test_what_was_taken_leaves_no_rubbish_either(self) -> None:
        timeline = Timeline()
        for number in range(10):
            timeline.add(f"check-{number}", 0.01, no_op, now=0.0)
        for step in range(5000):
            drain(timeline, 0.01 * step)
            assert len(timeline._heap) == 10

    def test_what_is_due_sooner_than_all_else_comes_first_wherever_it_was_planned(self) -> None:
        timeline = Timeline()
        for number in range(20):
            timeline.add(f"check-{number}", 1000.0, no_op, now=0.0, first=500.0 + number)
        assert timeline.next_due() == 500.0
        timeline.at("check-19", 3.0, now=0.0)
        timeline.at("check-18", 500.1, now=0.0)
        timeline.at("check-17", 3.0, now=0.0)
        dues = [(firing.name, firing.due) for firing in drain(timeline, 501.0)]
        assert dues == [
            ("check-19", 3.0),
            ("check-17", 3.0),
            ("check-0", 500.0),
            ("check-18", 500.1),
            ("check-1", 501.0),
        ]


@dataclass
class Model:
    """The same by hand: for each name a plan, looked through from end to end."""

    intervals: dict[str, float] = field(default_factory=dict)
    plans: dict[str, tuple[float, bool] | None] = field(default_factory=dict)
    missed: Counter[str] = field(default_factory=Counter)

    def tick_after(self, name: str, now: float) -> float:
        interval = self.intervals[name]
        return next(
            tick for tick in ticks_between(name, interval, now, now + 3 * interval) if tick > now
        )

    def due(self, now: float) -> list[tuple[str, float, int]]:
        fired = []
        for name, plan in self.plans.items():
            if plan is None or plan[0] > now:
                continue
            due, appointed = plan
            if not appointed and now - due >= self.intervals[name]:
                self.missed[name] += len(ticks_between(name, self.intervals[name], due - 1e-6, now))
            else:
                fired.append((name, round(due, 6), self.missed.pop(name, 0)))
            self.plans[name] = (self.tick_after(name, now), False)
        return fired


operations = st.tuples(
    st.sampled_from(["add", "remove", "at", "park", "resume", "look"]),
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from([0.25, 1.0, 4.0]),
    st.floats(0.0, 3.0).map(lambda seconds: round(seconds, 2)),
)


class TestAgainstAModel:
    @settings(max_examples=300)
    @given(script=st.lists(operations, max_size=60))
    def test_any_sequence_of_changes_gives_the_runs_that_a_plain_list_gives(
        self, script: list[tuple[str, str, float, float]]
    ) -> None:
        timeline, model, now = Timeline(), Model(), 100.0
        for verb, name, interval, seconds in script:
            now += seconds
            fired = [(f.name, round(f.due, 6), f.missed) for f in drain(timeline, now)]
            assert sorted(model.due(now)) == sorted(fired)
            if verb == "add":
                timeline.add(name, interval, no_op, now=now)
                changed = model.intervals.get(name) != interval
                model.intervals[name] = interval
                plan = model.plans.get(name, (0.0, False))
                if changed and plan is not None and not plan[1]:
                    model.plans[name] = (model.tick_after(name, now), False)
            elif name not in model.plans:
                continue
            elif verb == "remove":
                timeline.remove(name)
                del model.plans[name], model.intervals[name]
                model.missed.pop(name, None)
            elif verb == "at":
                timeline.at(name, now + interval, now=now)
                model.plans[name] = (now + interval, True)
            elif verb == "park":
                timeline.park(name)
                model.plans[name] = None
            elif verb == "resume":
                timeline.resume(name, now=now)
                plan = model.plans[name]
                if plan is None or plan[1]:
                    model.plans[name] = (model.tick_after(name, now), False)
        for name in model.plans:
            plan = model.plans[name]
            expected = None if plan is None else pytest.approx(plan[0])
            assert timeline.next_run(name) == expected
