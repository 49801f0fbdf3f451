"""All receiver lines: started, woken, exchanged on reload, stopped.

Rule: a line never waits for another line. Nothing polls: a line sleeps until a commit wakes it or
its next retry is due.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final

from cbmon.breaker.breaker import CircuitBreaker
from cbmon.errors import StoreError
from cbmon.interfaces import Clock, Store
from cbmon.logs import fields
from cbmon.model import Message
from cbmon.notify.endpoint import Endpoint
from cbmon.notify.hooks import NotifyHooks, SilentHooks
from cbmon.notify.line import Line
from cbmon.notify.outbox import Limits
from cbmon.notify.waiting import Waiter, until

log = logging.getLogger(__name__)

GAUGES_APART: Final = 1.0
"""Seconds between two countings of the backlog; it is counted only after something changed."""
BURIED_EVERY: Final = 3600.0
"""Seconds between two looks for messages of removed receivers that are too old."""


class Dispatcher:
    """Delivers what lies in the outbox."""

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock,
        hooks: NotifyHooks | None = None,
        limits: Limits | None = None,
        wait: Waiter = until,
        standing: Callable[[str], Sequence[Message]] = lambda _: (),
        seed: int | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._hooks: NotifyHooks = hooks or SilentHooks()
        self._limits = limits or Limits()
        self._wait = wait
        self._standing = standing
        self._seed = seed
        self._lines: dict[str, Line] = {}
        self._changed = asyncio.Event()
        self._bury_at = 0.0
        self._gauges: asyncio.Task[None] | None = None

    @property
    def breakers(self) -> Mapping[str, CircuitBreaker]:
        """The breaker of each line, category ``receiver``."""
        return {name: line.breaker for name, line in self._lines.items()}

    async def start(self, endpoints: Iterable[Endpoint]) -> None:
        """Begin to deliver, with what an earlier process left in the outbox."""
        await self.reconfigure(endpoints)
        self._gauges = asyncio.get_running_loop().create_task(self._count(), name="notify gauges")

    def wake(self, receivers: Iterable[str] | None = None) -> None:
        """Messages for these lines were committed; None is all lines."""
        for name in self._lines if receivers is None else set(receivers):
            if (line := self._lines.get(name)) is not None:
                line.wake()
        self._changed.set()

    def revive(self, name: str) -> None:
        """This line's receiver took a message: if it was gone, it is back."""
        if (line := self._lines.get(name)) is not None:
            line.revive("it took a test message")

    async def reconfigure(self, endpoints: Iterable[Endpoint]) -> None:
        """Bring another set into force; a line that stays keeps its outbox and its breaker.

        Messages of a line that is gone stay for one that may come back, and become dead letters
        when they are too old.
        """
        wanted = {endpoint.name: endpoint for endpoint in endpoints}
        for name in self._lines.keys() - wanted.keys():
            await self._lines.pop(name).stop(self._limits.longest_wait)
            self._hooks.line_removed(name)
        for name, endpoint in wanted.items():
            line = self._lines.get(name)
            if line is None:
                self._add(endpoint)
            elif line.endpoint != endpoint:
                await line.replace(endpoint)
        self._changed.set()
        await self._bury_orphans()

    async def stop(self, deadline: float) -> None:
        """Let deliveries in flight end, at most ``deadline`` seconds; the rest stays in store."""
        gauges, self._gauges = self._gauges, None
        if gauges is not None:
            gauges.cancel()
            await asyncio.wait([gauges])
        lines, self._lines = self._lines, {}
        await asyncio.gather(*(line.stop(deadline) for line in lines.values()))

    def _add(self, endpoint: Endpoint) -> None:
        line = Line(
            endpoint,
            store=self._store,
            clock=self._clock,
            hooks=self._hooks,
            limits=self._limits,
            wait=self._wait,
            changed=self._changed.set,
            wake=self.wake,
            standing=partial(self._standing, endpoint.name),
            seed=self._seed,
        )
        self._lines[endpoint.name] = line
        self._hooks.line_added(endpoint.name, line.breaker)
        line.start()

    async def _bury_orphans(self) -> None:
        now = self._clock.time()
        before = now - self._limits.time_to_live
        self._bury_at = self._clock.monotonic() + BURIED_EVERY
        try:
            count = await self._store.expire(before=before, at=now, keep=list(self._lines))
            backlog = await self._store.backlog()
        except StoreError as error:
            log.warning("old messages were not looked through", extra=fields(error=error))
            return
        if count:
            log.error("messages of removed receivers given up", extra=fields(messages=count))
        for name in sorted(backlog.keys() - self._lines.keys()):
            if waiting := backlog[name][0]:
                said = fields(receiver=name, messages=waiting)
                log.warning("messages wait for a receiver that is not configured", extra=said)

    async def _count(self) -> None:
        never = asyncio.Event()
        while True:
            await self._wait(self._changed, max(0.0, self._bury_at - self._clock.monotonic()))
            self._changed.clear()
            if self._clock.monotonic() >= self._bury_at:
                await self._bury_orphans()
            try:
                backlog = await self._store.backlog()
            except StoreError as error:
                log.debug("backlog not counted", extra=fields(error=error))
            else:
                for name in self._lines:
                    self._hooks.backlog(name, *backlog.get(name, (0, None, 0)))
            await self._wait(never, GAUGES_APART)
