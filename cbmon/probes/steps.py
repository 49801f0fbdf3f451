"""Runs without a task: a coroutine stepped by whatever it waits for, under a shared deadline.

Rule: for runs that are over within milliseconds. What is waited for on the wire is a
:class:`Bell`, which goes on with the run at once, in the callback that rings it; any future works
too. What wants a task around it (``asyncio.timeout``, ``current_task``) does not, so only probes
that say so (:class:`cbmon.interfaces.Light`) are run like this.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator
from heapq import heappop, heappush
from math import ceil
from typing import Any, Final

from cbmon.interfaces import Attempt, Clock, Probe
from cbmon.model import Reason, Result
from cbmon.probes.run import cut_off

log = logging.getLogger(__name__)

GRAIN: Final = 0.01
"""Seconds of the grid on which deadlines lie: a run may be cut off that much late."""
SHORTEST: Final = 0.001
"""Seconds below which no timer is set: uvloop's have milliseconds, and 0 would spin."""

Done = Callable[[Result | None], object]


class _Stage:
    """Whose turn it is. Not an attribute of a class: setting one makes each look-up slow again."""

    __slots__ = ("run",)

    def __init__(self) -> None:
        self.run: LightRun | None = None
        """The run that is going on right now; inside of a task there is none."""


_STAGE: Final = _Stage()


class Bell:
    """One waits, another rings; what rang before does not count. For runs and for tasks."""

    __slots__ = ("_future", "_run")

    def __init__(self) -> None:
        self._run: LightRun | None = None
        self._future: asyncio.Future[None] | None = None

    def __await__(self) -> Generator[Any, None, None]:
        """Until it rings."""
        run = _STAGE.run
        if run is None:
            self._future = asyncio.get_running_loop().create_future()
            try:
                yield from self._future
            finally:
                self._future = None
            return
        self._run = run
        try:
            yield self
        finally:
            self._run = None

    def ring(self) -> None:
        """Whoever waits goes on, a run before this returns; without anybody, nothing happens."""
        run, future = self._run, self._future
        if run is not None:
            self._run = None
            run.step()
        elif future is not None and not future.done():
            future.set_result(None)


class LightRun(asyncio.Future[None]):
    """One run of a probe; as a future it is done when the run is over.

    ``done`` is told the result, None when the run was cancelled, before anybody who waits.
    :meth:`step` begins it.
    """

    __slots__ = (
        "_attempt",
        "_deadlines",
        "_done",
        "_expired",
        "_key",
        "_stop",
        "_waiting",
        "_work",
    )

    def __init__(self, probe: Probe, timeout: float, deadlines: Deadlines, done: Done) -> None:
        super().__init__(loop=deadlines.loop or deadlines.on_this_loop())
        self._attempt = attempt = Attempt(deadlines.clock.monotonic, timeout)
        self._work = probe.run(attempt)
        self._done: Done | None = done
        self._waiting: Any = None
        self._expired = self._stop = False
        self._deadlines = deadlines
        self._key = deadlines.add(self, attempt.started + timeout)

    def step(self) -> None:
        """Go on until the run waits for something, or is over."""
        stage = _STAGE
        before, stage.run = stage.run, self
        self._waiting = None
        try:
            if self._stop:
                self._stop = False
                waited = self._work.throw(asyncio.CancelledError())
            else:
                waited = self._work.send(None)
        except StopIteration as stop:
            self._over(stop.value)
        except asyncio.CancelledError:
            self._over(cut_off(self._attempt) if self._expired else None)
        except Exception as error:
            log.exception("run raised, which is a defect of cbmon")
            text = f"internal error, see the log: {type(error).__name__}"
            self._over(self._attempt.failed(Reason.INTERNAL, text))
        else:
            self._waiting = waited
            if waited.__class__ is not Bell:
                self._wait(waited)
        finally:
            stage.run = before

    def expire(self) -> None:
        """Its deadline has come: cut it off, and make a result of what is known."""
        if not self.done():
            self._expired = True
            self._interrupt()

    def cancel(self, msg: Any = None) -> bool:  # noqa: ARG002 - as of every future
        """Cut it off for good; whether there was anything to cut off."""
        if self.done():
            return False
        self._expired = False
        self._interrupt()
        return True

    def _interrupt(self) -> None:
        waiting = self._waiting
        if waiting.__class__ is Bell:
            self._stop = True
            self.step()
        elif waiting is None or not waiting.cancel():
            self._stop = True

    def _wait(self, waited: Any) -> None:
        """Be stepped when a future is done; None is only a breath."""
        if waited is None:
            self.get_loop().call_soon(self.step)
        else:
            waited._asyncio_future_blocking = False  # noqa: SLF001 - what says a task has taken it
            waited.add_done_callback(self._woken)

    def _woken(self, _: object) -> None:
        self.step()

    def _over(self, result: Result | None) -> None:
        self._deadlines.drop(self, self._key)
        done, self._done = self._done, None
        try:
            if done is not None:
                done(result)
        finally:
            self.set_result(None)


class Deadlines:
    """When runs are cut off; one timer for all of them. Used from one event loop."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.loop: asyncio.AbstractEventLoop | None = None
        """The event loop, from the first run on: to ask which one it is takes a system call."""
        self._cells: dict[int, set[LightRun]] = {}
        self._keys: list[int] = []
        self._timer: asyncio.TimerHandle | None = None

    def on_this_loop(self) -> asyncio.AbstractEventLoop:
        """Belong to the loop that is running."""
        self.loop = loop = asyncio.get_running_loop()
        return loop

    def add(self, run: LightRun, when: float) -> int:
        """Expire a run at the monotonic moment ``when``, unless it is dropped; for :meth:`drop`."""
        key = ceil(when / GRAIN)
        cell = self._cells.get(key)
        if cell is not None:
            cell.add(run)
            return key
        self._cells[key] = {run}
        heappush(self._keys, key)
        if self._keys[0] == key:
            self._arm()
        return key

    def drop(self, run: LightRun, key: int) -> None:
        """It is over."""
        cell = self._cells.get(key)
        if cell is not None:
            cell.discard(run)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._keys:
            delay = max(self._keys[0] * GRAIN - self.clock.monotonic(), SHORTEST)
            self._timer = asyncio.get_running_loop().call_later(delay, self._pass)

    def _pass(self) -> None:
        """Cut off what is due, and go to the next one, past those that were all dropped."""
        self._timer = None
        now, due = self.clock.monotonic(), list[LightRun]()
        keys, cells = self._keys, self._cells
        while keys and (keys[0] * GRAIN <= now or not cells[keys[0]]):
            due.extend(cells.pop(heappop(keys)))
        self._arm()
        for run in due:
            run.expire()
