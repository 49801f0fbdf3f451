"""Rule: steps start in order, stop last-in first-out, and a failing one is named."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from cbmon.errors import StartupError, StoreError
from cbmon.lifecycle import Lifecycle


def noting(seen: list[str], word: str) -> Callable[[], Awaitable[None]]:
    async def note() -> None:
        seen.append(word)

    return note


async def test_steps_stop_in_the_reverse_of_the_order_they_started_in() -> None:
    seen: list[str] = []
    steps = Lifecycle()
    for name in ("store", "web", "timeline"):
        await steps.start(name, noting(seen, f"+{name}"), noting(seen, f"-{name}"))
    assert await steps.stop(1.0)
    assert seen == ["+store", "+web", "+timeline", "-timeline", "-web", "-store"]


async def test_a_step_that_fails_to_start_is_named_and_still_stopped() -> None:
    seen: list[str] = []

    async def fail() -> None:
        raise StoreError("disk is read-only")

    steps = Lifecycle()
    with pytest.raises(StartupError, match=r"^store: disk is read-only$"):
        await steps.start("store", fail, noting(seen, "stopped"))
    await steps.stop(1.0)
    assert seen == ["stopped"]


async def test_a_bug_in_a_step_is_not_taken_for_a_readable_failure() -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Lifecycle().start("web", fail, fail)


async def test_a_step_that_raises_at_stop_does_not_keep_the_others_running() -> None:
    seen: list[str] = []

    async def fail() -> None:
        raise ZeroDivisionError

    steps = Lifecycle()
    await steps.start("store", None, noting(seen, "store"))
    await steps.start("web", None, fail)
    assert not await steps.stop(1.0)
    assert seen == ["store"]


async def test_a_step_that_hangs_at_stop_is_cut_off_and_the_rest_still_stops() -> None:
    seen: list[str] = []
    cut = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cut.set()

    steps = Lifecycle()
    await steps.start("store", None, noting(seen, "store"))
    await steps.start("web", None, hang)
    assert not await steps.stop(0.0)
    assert cut.is_set()
    assert seen == ["store"]
