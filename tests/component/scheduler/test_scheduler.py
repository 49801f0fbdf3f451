"""The scheduler on a virtual loop: exact, steady, and deaf to the wall clock.

Rule: no real time passes in here.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise
from typing import Protocol

import pytest

from cbmon.scheduler import BURST, TICK, Scheduler


class World(Protocol):
    """The conftest's world, as far as it is used here."""

    def monotonic(self) -> float: ...
    def time(self) -> float: ...
    def step_wall_clock(self, seconds: float) -> None: ...
    def freeze(self, seconds: float) -> None: ...
    def run(self, main: object) -> object: ...


class Runs:
    """A fire callback that remembers when it was called."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.at: list[tuple[str, float]] = []
        self.dues: list[float] = []
        self.missed = 0

    def __call__(self, name: str, due: float, missed: int) -> None:
        self.at.append((name, self._world.monotonic()))
        self.dues.append(due)
        self.missed += missed

    def __len__(self) -> int:
        return len(self.at)

    def between(self, start: float, end: float) -> int:
        return sum(start <= at < end for _, at in self.at)


@pytest.fixture
def runs(world: World) -> Runs:
    return Runs(world)


@pytest.fixture
def lateness() -> list[float]:
    return []


@pytest.fixture
def scheduler(world: World, lateness: list[float]) -> Scheduler:
    return Scheduler(world, lateness=lateness.append)


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


class TestWallClock:
    @pytest.mark.parametrize("step", [-3600.0, -60.0, 60.0, 3600.0, 86_400.0 * 365])
    def test_a_step_of_the_wall_clock_moves_no_run_and_no_housekeeping(
        self, world: World, scheduler: Scheduler, runs: Runs, step: float
    ) -> None:
        kept: list[float] = []

        async def main() -> None:
            scheduler.add("api", 1.0, runs)
            scheduler.every("flush", 2.0, lambda: kept.append(world.monotonic()))
            scheduler.start()
            await asyncio.sleep(10.0)
            world.step_wall_clock(step)
            await asyncio.sleep(20.0)
            await scheduler.stop()

        world.run(main)
        gaps = [
            after - before for (_, before), (_, after) in zip(runs.at, runs.at[1:], strict=False)
        ]
        assert (len(runs), runs.missed) == (30, 0)
        assert gaps == pytest.approx([1.0] * 29, abs=2 * TICK)
        assert len(kept) in {14, 15}
        assert [b - a for a, b in pairwise(kept)] == pytest.approx(
            [2.0] * (len(kept) - 1), abs=0.05
        )

    def test_the_clock_that_creeps_is_followed_and_not_taken_for_a_step(
        self, world: World, scheduler: Scheduler, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def main() -> None:
            scheduler.start()
            for _ in range(100):
                world.step_wall_clock(0.05)
                await asyncio.sleep(1.0)
            await scheduler.stop()

        world.run(main)
        assert "stepped" not in caplog.text

    @pytest.mark.parametrize(
        ("step", "expected"),
        [(3600.0, ["13:30"]), (-3600.0, ["11:30", "12:30"])],
        ids=["forward", "back"],
    )
    def test_a_calendar_goes_on_from_the_new_time(
        self, world: World, scheduler: Scheduler, step: float, expected: list[str]
    ) -> None:
        seen: list[str] = []

        async def main() -> None:
            scheduler.calendar(
                "report", "30 * * * *", lambda: seen.append(f"{datetime.now(UTC):%H:%M}")
            )
            scheduler.start()
            await asyncio.sleep(60.0)
            world.step_wall_clock(step)
            await asyncio.sleep(3600.0 + 1800.0 if step < 0 else 3600.0)
            await scheduler.stop()

        world.run(main)
        assert seen == expected


class TestHousekeeping:
    def test_jobs_may_be_plain_or_async_and_one_that_raises_runs_again(
        self, world: World, scheduler: Scheduler, caplog: pytest.LogCaptureFixture
    ) -> None:
        calls = {"plain": 0, "async": 0, "broken": 0}

        def plain() -> None:
            calls["plain"] += 1

        async def asynchronous() -> None:
            await asyncio.sleep(0.1)
            calls["async"] += 1

        def broken() -> None:
            calls["broken"] += 1
            raise RuntimeError("boom")

        async def main() -> None:
            scheduler.every("plain", 1.0, plain)
            scheduler.start()
            scheduler.every("async", 1.0, asynchronous)
            scheduler.every("broken", 1.0, broken)
            await asyncio.sleep(5.5)
            await scheduler.stop()

        world.run(main)
        assert calls == {"plain": 5, "async": 5, "broken": 5}
        assert "boom" in caplog.text

    def test_a_job_never_runs_twice_at_once(self, world: World, scheduler: Scheduler) -> None:
        running = most = done = 0

        async def slow() -> None:
            nonlocal running, most, done
            running += 1
            most = max(most, running)
            await asyncio.sleep(3.5)
            running -= 1
            done += 1

        async def main() -> None:
            scheduler.every("slow", 1.0, slow)
            scheduler.start()
            await asyncio.sleep(20.0)
            await scheduler.stop()

        world.run(main)
        assert most == 1
        assert done == 5

    def test_the_same_name_replaces_a_job(self, world: World, scheduler: Scheduler) -> None:
        seen: list[str] = []

        async def main() -> None:
            scheduler.every("job", 1.0, lambda: seen.append("old"))
            scheduler.start()
            await asyncio.sleep(2.5)
            scheduler.every("job", 5.0, lambda: seen.append("new"))
            await asyncio.sleep(10.5)
            await scheduler.stop()

        world.run(main)
        assert seen == ["old", "old", "new", "new"]

    def test_stop_lets_a_running_job_end(self, world: World, scheduler: Scheduler) -> None:
        ended: list[str] = []

        async def slow() -> None:
            await asyncio.sleep(3.0)
            ended.append("slow")

        async def main() -> None:
            scheduler.every("slow", 1.0, slow)
            scheduler.start()
            await asyncio.sleep(1.5)
            await scheduler.stop(grace=5.0)

        world.run(main)
        assert ended == ["slow"]

    def test_no_job_begins_while_stop_waits_for_another(
        self, world: World, scheduler: Scheduler
    ) -> None:
        begun: list[str] = []

        async def slow() -> None:
            begun.append("slow")
            await asyncio.sleep(3.0)

        async def main() -> None:
            scheduler.every("slow", 1.0, slow)
            scheduler.every("quick", 0.75, lambda: begun.append("quick"))
            scheduler.start()
            await asyncio.sleep(1.2)
            await scheduler.stop(grace=5.0)

        world.run(main)
        assert begun == ["quick", "slow"]

    def test_stop_cancels_a_job_that_outlives_its_grace_and_says_which(
        self, world: World, scheduler: Scheduler, caplog: pytest.LogCaptureFixture
    ) -> None:
        cancelled: list[str] = []

        async def stuck() -> None:
            try:
                await asyncio.sleep(1000.0)
            except asyncio.CancelledError:
                cancelled.append("stuck")
                raise

        async def main() -> None:
            scheduler.every("stuck", 1.0, stuck)
            scheduler.start()
            await asyncio.sleep(1.5)
            before = world.monotonic()
            await scheduler.stop(grace=2.0)
            assert world.monotonic() - before == pytest.approx(2.0)

        with caplog.at_level(logging.WARNING):
            world.run(main)
        assert cancelled == ["stuck"]
        assert "housekeeping did not end in time" in caplog.text

    def test_a_stopped_scheduler_can_be_started_again(
        self, world: World, scheduler: Scheduler, runs: Runs
    ) -> None:
        ticks: list[float] = []

        async def main() -> None:
            scheduler.add("api", 1.0, runs)
            scheduler.every("job", 1.0, lambda: ticks.append(world.monotonic()))
            for _ in range(2):
                scheduler.start()
                scheduler.start()
                await asyncio.sleep(3.5)
                await scheduler.stop()
                await scheduler.stop()

        world.run(main)
        assert len(ticks) == 6
        assert len(runs) in {6, 7, 8}
