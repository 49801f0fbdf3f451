"""The task that lets a notifier speak when its time has come.

Rule: it sleeps until the deadline or until something changed; it never polls.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from cbmon.interfaces import Clock
from cbmon.notify.waiting import Waiter, until

log = logging.getLogger(__name__)

LONGEST: Final = 600.0
"""Seconds after which one looks again anyway: deadlines are wall times, and a clock may be set."""


class Agenda:
    """Calls ``tick`` at each deadline."""

    def __init__(
        self,
        *,
        clock: Clock,
        deadline: Callable[[], float | None],
        tick: Callable[[], None],
        wait: Waiter = until,
    ) -> None:
        self._clock = clock
        self._deadline = deadline
        self._tick = tick
        self._wait = wait
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="notify agenda")

    def changed(self) -> None:
        """The deadline may be another one now."""
        self._changed.set()

    async def stop(self) -> None:
        """End."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            await self._wait(self._changed, self._pause())
            try:
                self._tick()
            except Exception:
                # Whoever stops here tells nobody anything any more.
                log.exception("messages could not be planned")
                await self._wait(asyncio.Event(), 1.0)

    def _pause(self) -> float | None:
        deadline = self._deadline()
        if deadline is None:
            return None
        return min(LONGEST, max(0.0, deadline - self._clock.time()))
