"""Checks that a worker looks at, and the runs of them that go on.

Rule: what a run is comes from the daemon; what a worker knows of it can be told anew at any time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from cbmon.config.fields import Options
from cbmon.interfaces import Attempt
from cbmon.model import NO_FACTS, Result
from cbmon.probes.run import ONCE, Elsewhere, Plan

Done = Callable[[Result | None], object]


class Orders(Protocol):
    """A worker, as far as its checks and runs need it."""

    def begin(self, delegate: Delegate, timeout: float, plan: Plan, done: Done) -> AwayRun:
        """Order a run; ``done`` is told its result, None when it was cancelled."""
        ...

    def cancel(self, run: AwayRun) -> None:
        """Nobody wants to know how it ends."""
        ...

    def forget(self, delegate: Delegate) -> None:
        """The check is gone."""
        ...


class Delegate(Elsewhere):
    """A check's runner that lets a worker look."""

    __slots__ = ("_worker", "facts", "kind", "known", "number", "options")

    def __init__(self, worker: Orders, number: int, kind: str, options: Options) -> None:
        self._worker = worker
        self.number = number
        self.kind = kind
        self.options = options
        self.facts: Mapping[str, Any] = NO_FACTS
        """Those of the last result."""
        self.known: tuple[int, float, Plan] | None = None
        """As which it is defined, and in which process of its worker."""

    async def run(self, attempt: Attempt) -> Result:
        """One look, under the worker's own stopwatch."""
        found: list[Result | None] = []
        await self.begin(attempt.remaining, ONCE, found.append)
        if found[0] is None:
            raise asyncio.CancelledError
        return found[0]

    def begin(self, timeout: float, plan: Plan, done: Done) -> AwayRun:
        """Order a run; ``done`` is told its result before anybody who waits for it."""
        return self._worker.begin(self, timeout, plan, done)

    async def close(self) -> None:
        """The worker need not know it any more."""
        self._worker.forget(self)


class AwayRun(asyncio.Future[None]):
    """A run that was ordered; done when it is over. Cancelled, it is cancelled in the worker."""

    __slots__ = ("_done", "_worker", "deaths", "delegate", "number", "plan", "sent_at", "timeout")

    def __init__(
        self, worker: Orders, number: int, delegate: Delegate, timeout: float, plan: Plan, *,
        done: Done,
    ) -> None:  # fmt: skip
        super().__init__(loop=asyncio.get_running_loop())
        self._worker = worker
        self._done: Done | None = done
        self.number = number
        self.delegate = delegate
        self.timeout = timeout
        self.plan = plan
        self.sent_at: float | None = None
        """When the process that is there now was told, by the event loop's clock."""
        self.deaths = 0

    @property
    def longest(self) -> float:
        """Seconds after which it has ended, however it goes."""
        plan = self.plan
        return (1 + plan.confirmations) * self.timeout + plan.confirmations * plan.delay

    def cancel(self, msg: Any = None) -> bool:  # noqa: ARG002 - as of every future
        """Nobody wants to know how it ends; whether there was anything to cut off."""
        if self.done():
            return False
        self._worker.cancel(self)
        self.over(None)
        return True

    def over(self, result: Result | None) -> None:
        """It has ended, or was cancelled (None)."""
        done, self._done = self._done, None
        try:
            if done is not None:
                done(result)
        finally:
            if not self.done():
                self.set_result(None)
