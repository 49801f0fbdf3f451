"""The scheduler on a virtual loop: exact, steady, and deaf to the wall clock.

Rule: no real time passes in here.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import pairwise

import pytest

from cbmon.scheduler import BREATH, BURST, TICK, Scheduler
from tests.component.scheduler.conftest import Runs, World


class TestIntervals:
    def test_a_check_runs_once_per_interval_and_at_most_a_tick_late(
        self, world: World, scheduler: Scheduler, runs: Runs, lateness: list[float]
    ) -> None:
        async def main() -> None:
            scheduler.add("api", 10.0, runs)
            scheduler.start()
            await asyncio.sleep(100.0)
            await scheduler.stop()

        world.run(main)
        assert len(runs) == 10
        assert all(0.0 <= late <= TICK + 1e-6 for late in lateness)
        assert all(at >= due for (_, at), due in zip(runs.at, runs.dues, strict=True))

    def test_ten_thousand_checks_start_as_a_steady_stream(
        self, world: World, scheduler: Scheduler, runs: Runs
    ) -> None:
        async def main() -> None:
            for number in range(10_000):
                scheduler.add(f"check-{number}", 10.0, runs)
            scheduler.start()
            await asyncio.sleep(10.0)
            await scheduler.stop()

        world.run(main)
        assert len({name for name, _ in runs.at}) == len(runs) == 10_000
        start = runs.at[0][1]
        per_second = [runs.between(start + second, start + second + 1) for second in range(9)]
        assert max(per_second) < 1200

    def test_what_has_come_for_others_is_heard_between_the_runs_of_one_wake_up(
        self, world: World, runs: Runs
    ) -> None:
        heard: list[int] = []

        async def main() -> None:
            scheduler = Scheduler(world, breath=lambda: heard.append(len(runs)))
            soon = world.monotonic() + 1.0
            for number in range(2 * BREATH + 1):
                scheduler.add(f"check-{number}", 10.0, runs, first=soon)
            scheduler.start()
            await asyncio.sleep(1.0 + TICK)
            await scheduler.stop()

        world.run(main)
        assert len(runs) == 2 * BREATH + 1
        assert heard == [BREATH, 2 * BREATH]

    def test_what_would_keep_runs_waiting_is_done_before_those_of_a_wake_up(
        self, world: World, runs: Runs
    ) -> None:
        done: list[int] = []

        async def main() -> None:
            scheduler = Scheduler(world, before=lambda: done.append(len(runs)))
            for number, wait in enumerate((1.0, 1.0, 2.0)):
                first = world.monotonic() + wait
                scheduler.add(f"check-{number}", 10.0, runs, first=first)
            scheduler.start()
            await asyncio.sleep(2.0 + TICK)
            await scheduler.stop()

        world.run(main)
        assert len(runs) == 3
        assert done == [0, 2]

    def test_what_fails_before_the_runs_is_told_once_and_keeps_none_of_them(
        self, world: World, runs: Runs, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail() -> None:
            raise ZeroDivisionError

        async def main() -> None:
            scheduler = Scheduler(world, before=fail)
            scheduler.add("check", 1.0, runs)
            scheduler.start()
            await asyncio.sleep(3.0 + TICK)
            await scheduler.stop()

        world.run(main)
        assert len(runs) >= 3
        assert caplog.text.count("preparation failed") == 1

    def test_nothing_fires_before_start_and_what_came_due_by_then_is_let_go(
        self, world: World, scheduler: Scheduler, runs: Runs
    ) -> None:
        async def main() -> None:
            for number in range(200):
                scheduler.add(f"check-{number}", 10.0, runs)
            await asyncio.sleep(60.0)
            assert len(runs) == 0
            scheduler.start()
            await asyncio.sleep(0.2)
            await scheduler.stop()

        world.run(main)
        assert len(runs) < 20
        assert runs.missed == 0

    def test_run_now_fires_soon_but_never_from_within_the_call(
        self, world: World, scheduler: Scheduler, runs: Runs
    ) -> None:
        async def main() -> None:
            scheduler.start()
            scheduler.add("api", 1000.0, runs)
            scheduler.run_now("api")
            assert len(runs) == 0
            await asyncio.sleep(2 * TICK)
            assert len(runs) == 1
            await scheduler.stop()

        world.run(main)

    def test_a_breakers_deadline_is_kept_to_the_tick(
        self, world: World, scheduler: Scheduler, runs: Runs
    ) -> None:
        async def main() -> None:
            scheduler.add("api", 10.0, runs)
            scheduler.start()
            deadline = world.monotonic() + 60.0
            scheduler.at("api", deadline)
            assert scheduler.next_run("api") == deadline
            await asyncio.sleep(60.0 + TICK)
            assert deadline <= runs.at[0][1] <= deadline + TICK
            await asyncio.sleep(10.0)
            await scheduler.stop()

        world.run(main)
        assert len(runs) == 2

    def test_a_parked_check_stays_silent_until_it_is_resumed(
        self, world: World, scheduler: Scheduler, runs: Runs
    ) -> None:
        async def main() -> None:
            scheduler.add("api", 10.0, runs)
            scheduler.start()
            scheduler.park("api")
            await asyncio.sleep(100.0)
            assert (len(runs), scheduler.next_run("api")) == (0, None)
            scheduler.resume("api")
            await asyncio.sleep(10.0 + TICK)
            await scheduler.stop()

        world.run(main)
        assert (len(runs), runs.missed) == (1, 0)

    def test_a_removed_check_never_runs_again(
        self, world: World, scheduler: Scheduler, runs: Runs
    ) -> None:
        async def main() -> None:
            scheduler.add("api", 1.0, runs)
            scheduler.start()
            scheduler.remove("api")
            await asyncio.sleep(10.0)
            await scheduler.stop()

        world.run(main)
        assert (len(runs), len(scheduler), "api" in scheduler) == (0, 0, False)


class TestTrouble:
    def test_a_callback_that_raises_is_logged_and_counted_and_stops_nobody(
        self,
        world: World,
        scheduler: Scheduler,
        runs: Runs,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        def broken(_name: str, _due: float, _missed: int) -> None:
            raise RuntimeError("boom")

        async def main() -> None:
            scheduler.add("broken", 1.0, broken)
            scheduler.add("api", 1.0, runs)
            scheduler.start()
            await asyncio.sleep(5.0)
            await scheduler.stop()

        world.run(main)
        assert (scheduler.failures, len(runs)) == (5, 5)
        assert "boom" in caplog.text

    def test_a_frozen_process_counts_what_it_missed_and_starts_no_storm(
        self, world: World, scheduler: Scheduler, runs: Runs
    ) -> None:
        async def main() -> None:
            for number in range(1000):
                scheduler.add(f"check-{number}", 10.0, runs)
            scheduler.start()
            await asyncio.sleep(10.0)
            before = len(runs)
            world.freeze(3600.0)
            await asyncio.sleep(0.5)
            assert len(runs) - before < 100
            await asyncio.sleep(10.0)
            await scheduler.stop()

        world.run(main)
        assert runs.missed == pytest.approx(360_000, abs=1000)

    def test_a_short_stall_is_caught_up_at_a_bounded_rate(
        self, world: World, scheduler: Scheduler, runs: Runs
    ) -> None:
        async def main() -> None:
            for number in range(1000):
                scheduler.add(f"check-{number}", 10.0, runs)
            scheduler.start()
            await asyncio.sleep(10.0)
            resumed = world.monotonic() + 5.0
            world.freeze(5.0)
            await asyncio.sleep(1.0)
            await scheduler.stop()
            wakes = Counter(at for _, at in runs.at if resumed <= at < resumed + 0.05)
            assert max(wakes.values()) <= BURST
            assert all(b - a > 0.99 * TICK for a, b in pairwise(wakes))
            assert runs.between(resumed, resumed + 0.2) > 400

        world.run(main)
        assert runs.missed == 0

    def test_pause_stops_all_firing_at_once_even_from_within_a_firing(
        self, world: World, scheduler: Scheduler, runs: Runs
    ) -> None:
        def pausing(name: str, due: float, missed: int) -> None:
            runs(name, due, missed)
            scheduler.pause()

        async def main() -> None:
            now = world.monotonic()
            for number in range(10):
                scheduler.add(f"check-{number}", 1.0, pausing, first=now + 0.5)
            scheduler.start()
            await asyncio.sleep(10.0)
            assert len(runs) == 1
            scheduler.run_now("check-0")
            await asyncio.sleep(1.0)
            assert len(runs) == 1
            scheduler.start()
            await asyncio.sleep(0.1)
            await scheduler.stop()

        world.run(main)
        assert len(runs) == 2

    def test_a_lost_timer_is_noticed_and_armed_anew(
        self,
        world: World,
        scheduler: Scheduler,
        runs: Runs,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        async def main() -> None:
            scheduler.add("api", 1.0, runs)
            scheduler.start()
            await asyncio.sleep(5.0)
            assert scheduler._timer is not None
            scheduler._timer.cancel()
            scheduler._timer = None
            await asyncio.sleep(5.0)
            await scheduler.stop()

        world.run(main)
        assert len(runs) >= 8
        assert "timer of the timeline was lost" in caplog.text

    def test_the_lag_observer_hears_of_a_blocked_loop(self, world: World) -> None:
        lags: list[float] = []
        scheduler = Scheduler(world, lag=lags.append)

        async def main() -> None:
            scheduler.start()
            await asyncio.sleep(1.05)
            assert lags == pytest.approx([0.0] * 10, abs=1e-6)
            world.freeze(0.4)
            await asyncio.sleep(0.01)
            await scheduler.stop()

        world.run(main)
        assert max(lags) == pytest.approx(0.35)
