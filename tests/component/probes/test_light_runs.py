"""Rule: a run without a task ends as one in a task would: by its result, its deadline or the
cancellation that was asked for, and nothing of it is left."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from cbmon.interfaces import Attempt
from cbmon.model import Phase, Reason, Result
from cbmon.probes.steps import GRAIN, Bell, Deadlines, LightRun

Work = Callable[[Attempt], Awaitable[Result]]
CLOCK = SimpleNamespace(monotonic=time.monotonic, time=time.time)


def begun(work: Work, timeout: float = 5.0, deadlines: Deadlines | None = None) -> Any:
    results: list[Result | None] = []
    probe: Any = SimpleNamespace(run=work)
    run = LightRun(probe, timeout, deadlines or Deadlines(CLOCK), results.append)
    run.step()
    return SimpleNamespace(run=run, results=results)


async def test_a_run_that_waits_for_nothing_is_over_at_once() -> None:
    async def work(attempt: Attempt) -> Result:
        return attempt.passed()

    one = begun(work)
    assert one.run.done()
    assert one.results[0].ok


async def test_a_bell_goes_on_with_the_run_before_its_ring_returns() -> None:
    bell = Bell()

    async def work(attempt: Attempt) -> Result:
        await bell
        return attempt.passed()

    one = begun(work)
    assert not one.run.done()
    bell.ring()
    assert one.run.done()
    bell.ring()  # nobody waits any more


async def test_a_bell_wakes_a_task_too() -> None:
    bell = Bell()

    async def wait() -> str:
        await bell
        return "awake"

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    bell.ring()
    bell.ring()
    assert await task == "awake"


async def test_runs_that_ring_each_other_stay_apart() -> None:
    first, second = Bell(), Bell()
    seen = []

    async def waits(attempt: Attempt) -> Result:
        await first
        seen.append("first went on")
        second.ring()
        await second
        return attempt.passed()

    async def rings(attempt: Attempt) -> Result:
        await second
        seen.append("second went on")
        return attempt.passed()

    one, other = begun(waits), begun(rings)
    first.ring()
    assert seen == ["first went on", "second went on"]
    assert other.run.done()
    assert not one.run.done()
    second.ring()
    assert one.run.done()


async def test_futures_and_breaths_are_waited_for() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def work(attempt: Attempt) -> Result:
        await asyncio.sleep(0)
        attempt.facts["found"] = await future
        attempt.facts["in a thread"] = await asyncio.to_thread(lambda: 2)
        return attempt.passed()

    one = begun(work)
    await asyncio.sleep(0)
    future.set_result(1)
    await asyncio.wait([one.run])
    assert one.results[0].facts == {"found": 1, "in a thread": 2}


@pytest.mark.parametrize("waits_for", ["a bell", "a future"])
async def test_a_run_is_cut_off_at_its_deadline(waits_for: str) -> None:
    ended = []

    async def work(attempt: Attempt) -> Result:
        attempt.facts["host"] = "shop"
        attempt.begin(Phase.RESOLVE)
        try:
            if waits_for == "a bell":
                await Bell()
            else:
                await asyncio.get_running_loop().create_future()
        finally:
            ended.append(True)
        raise AssertionError

    one = begun(work, timeout=0.05)
    await asyncio.wait([one.run], timeout=5)
    (result,) = one.results
    assert (result.reason, result.error) == (Reason.DNS, "no answer within 50ms, resolving shop")
    assert 0.05 <= result.duration < 0.05 + GRAIN + 1.0
    assert ended == [True]


async def test_one_that_answers_although_it_is_cut_off_has_answered() -> None:
    async def work(attempt: Attempt) -> Result:
        try:
            await Bell()
        except asyncio.CancelledError:
            return attempt.failed(Reason.LATENCY, "late")
        raise AssertionError

    one = begun(work, timeout=0.02)
    await asyncio.wait([one.run], timeout=5)
    assert one.results[0].reason is Reason.LATENCY


@pytest.mark.parametrize("waits_for", ["a bell", "a future", "a breath"])
async def test_a_cancelled_run_has_no_result(waits_for: str) -> None:
    async def work(attempt: Attempt) -> Result:
        if waits_for == "a bell":
            await Bell()
        elif waits_for == "a future":
            await asyncio.get_running_loop().create_future()
        else:
            await asyncio.sleep(0)
        return attempt.passed()

    one = begun(work)
    assert one.run.cancel()
    await asyncio.wait([one.run], timeout=5)
    assert one.results == [None]
    assert not one.run.cancel()


async def test_one_that_is_cancelled_after_its_deadline_is_cancelled() -> None:
    async def work(attempt: Attempt) -> Result:
        try:
            await Bell()
        finally:
            await asyncio.sleep(0)
        return attempt.passed()

    one = begun(work, timeout=5)
    one.run.expire()
    one.run.cancel()
    await asyncio.wait([one.run], timeout=5)
    assert one.results == [None]


async def test_what_a_run_raises_is_logged_and_internal(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work(attempt: Attempt) -> Result:
        raise ZeroDivisionError

    with caplog.at_level(logging.ERROR):
        one = begun(work)
    assert one.results[0].reason is Reason.INTERNAL
    assert "ZeroDivisionError" in caplog.text


async def test_deadlines_of_runs_that_are_over_wake_nobody() -> None:
    deadlines = Deadlines(CLOCK)

    async def work(attempt: Attempt) -> Result:
        return attempt.passed()

    async def hangs(attempt: Attempt) -> Result:
        await Bell()
        return attempt.passed()

    for number in range(100):
        begun(work, timeout=0.01 + number / 1000, deadlines=deadlines)
    last = begun(hangs, timeout=0.2, deadlines=deadlines)
    await asyncio.wait([last.run], timeout=5)
    assert last.results[0].reason is Reason.TIMEOUT
    assert not deadlines._cells
    assert deadlines._timer is None


async def test_deadlines_come_in_their_order_whatever_order_they_were_set_in() -> None:
    deadlines, order = Deadlines(CLOCK), []

    def hanging(timeout: float) -> Any:
        async def work(attempt: Attempt) -> Result:
            try:
                await Bell()
            finally:
                order.append(timeout)
            return attempt.passed()

        return begun(work, timeout=timeout, deadlines=deadlines).run

    await asyncio.wait([hanging(each) for each in (0.12, 0.04, 0.08)], timeout=5)
    assert order == [0.04, 0.08, 0.12]
