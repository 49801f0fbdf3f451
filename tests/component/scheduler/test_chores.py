"""Housekeeping on the scheduler, and the wall clock, which moves no run.

Rule: no real time passes in here.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from cbmon.scheduler import TICK, Scheduler
from tests.component.scheduler.conftest import Runs, World


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
