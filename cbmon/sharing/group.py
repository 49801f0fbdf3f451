"""A group of instances that share their breakers: the runner around :class:`Member`.

Rules: no call waits for it; every question to the store is under a deadline; a store that is down
is told once, and once when it is back.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

from cbmon.breaker import CircuitBreaker, State
from cbmon.breaker.arguments import check_called, refuse_type, several
from cbmon.resilience.checks import positive
from cbmon.sharing.member import Member
from cbmon.sharing.record import Record
from cbmon.sharing.store import NOTHING, SharedStore, StoreDownError

log = logging.getLogger(__name__)

_TRIES: Final = 5
"""Swaps of one breaker that may be lost to other instances in one round."""
_LONGEST_PAUSE: Final = 10.0
"""Seconds between two questions to a store that is down, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharingEvent:
    """The store went down (``degraded``: every instance decides alone) or is back
    (``recovered``); ``at`` is Unix time."""

    kind: Literal["degraded", "recovered"]
    at: float
    error: str | None = None


class SharedBreakers:
    """Keeps breakers of the same names in several processes in agreement.

    ``store`` is where they meet. Every ``interval`` seconds, and at once after a move here, the
    store is asked. ``lease`` is how long (seconds) one instance may keep the trials without a
    verdict before another may have them; ``timeout`` is how long the store may take.
    ``listeners`` are called with every :class:`SharingEvent`.

    Use it as ``async with``; the breakers then go on by themselves. For a program without an
    event loop use :meth:`in_thread`. Raises ValueError for a number <= 0.

    What is shared: the state, the deadline of an opening, how many openings and failure cycles
    there have been, and one budget of trials. What is not: the windows. Each instance trips on
    its own calls, since counting them together would make every call wait for the network.
    """

    def __init__(
        self,
        store: SharedStore,
        breakers: Iterable[CircuitBreaker] = (),
        *,
        instance: str | None = None,
        interval: float = 0.5,
        lease: float = 10.0,
        timeout: float = 2.0,
        listeners: Iterable[Callable[[SharingEvent], object]] = (),
    ) -> None:
        self.instance = instance or uuid.uuid4().hex[:12]
        self.interval = positive("interval", interval)
        self.lease = positive("lease", lease)
        self.timeout = positive("timeout", timeout)
        if self.lease <= self.interval:
            raise ValueError(
                f"lease: got {lease!r}, expected more than interval {interval!r}, by which it is "
                "renewed; three times as much or more is safe"
            )
        for name in ("read", "swap", "close"):
            if not callable(getattr(store, name, None)):
                refuse_type("store", store, "a store with read(), swap() and close()")
        self.degraded = False
        """Whether the store is down, so that every instance decides alone."""
        self._store = store
        self._listeners = several(listeners, "listeners", "functions")
        for listener in self._listeners:
            check_called(listener, "listeners", "listener(event)")
        self._members: dict[str, Member] = {}
        self._offset = 0.0
        self._asked = False
        self._failures = 0
        self._leaving = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None
        for breaker in several(breakers, "breakers", "CircuitBreakers"):
            self.add(breaker)

    def add(self, breaker: CircuitBreaker) -> None:
        """Share this one, too; from any thread. Raises ValueError if its name is shared already."""
        if not isinstance(breaker, CircuitBreaker):
            refuse_type("breaker", breaker, "a CircuitBreaker")
        if breaker.name in self._members:
            raise ValueError(f"breaker {breaker.name!r} is shared already; a name is shared once")
        slack = 2 * self.interval + self.timeout
        member = Member(
            breaker, instance=self.instance, lease=self.lease, slack=slack, interval=self.interval
        )
        if breaker.state is not State.CLOSED:
            member.own_moves += 1
        self._members = {**self._members, breaker.name: member}
        breaker.add_listener(self._moved, kinds=("transition",))
        self._post()

    def remove(self, name: str) -> None:
        """Share it no more; it stays as it is. Raises KeyError."""
        members = dict(self._members)
        members.pop(name).breaker.remove_listener(self._moved)
        self._members = members

    # --- running -------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin; RuntimeError when it has begun already."""
        if self._task is not None:
            raise RuntimeError("the shared breakers have been started already")
        self._loop = asyncio.get_running_loop()
        self._leaving = False
        self._wake = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name="shared breakers")

    async def stop(self) -> None:
        """Give the trials back and leave; the breakers stay as they are."""
        task, self._task = self._task, None
        if task is None:
            return
        self._leaving = True
        self._wake.set()
        await asyncio.wait([task], timeout=self.timeout)  # clients do not like to be cut off
        task.cancel()
        (ending,) = await asyncio.gather(task, return_exceptions=True)
        self._loop = None
        if ending is not None and not isinstance(ending, asyncio.CancelledError):
            raise ending
        if not self.degraded:
            await self._let_go()
        await self._store.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_ending: object) -> None:
        await self.stop()

    def in_thread(self) -> Callable[[], None]:
        """Run it in a thread of its own; returns a function that stops it and waits for that."""
        began, ended = threading.Event(), threading.Event()
        stop: list[Callable[[], object]] = []

        async def live() -> None:
            over, loop = asyncio.Event(), asyncio.get_running_loop()
            stop.append(lambda: loop.call_soon_threadsafe(over.set))
            async with self:
                began.set()
                await over.wait()

        def body() -> None:
            try:
                asyncio.run(live())
            finally:
                ended.set()
                began.set()

        thread = threading.Thread(target=body, name="shared breakers", daemon=True)
        thread.start()
        began.wait()

        def finish() -> None:
            if not ended.is_set():
                stop[0]()
            thread.join()

        return finish

    # --- inside --------------------------------------------------------------------------

    def _moved(self, event: Any) -> None:
        member = self._members.get(event.name)
        if member is not None and member.moved(event):
            self._post()

    def _post(self) -> None:
        """Ask the store soon; from whatever thread."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._wake.set)

    async def _run(self) -> None:
        while not self._leaving:
            self._wake.clear()
            await self._round()
            try:
                async with asyncio.timeout(self._pause()):
                    await self._wake.wait()
            except TimeoutError:
                continue
            if (
                self.degraded and not self._leaving
            ):  # moves of here do not make a store that is down busier
                await asyncio.sleep(self.interval)

    def _pause(self) -> float:
        if not self.degraded:
            return self.interval
        longest = min(_LONGEST_PAUSE, self.interval * 2.0 ** min(self._failures, 10))
        return random.uniform(self.interval, max(self.interval, longest))  # noqa: S311 - no secret

    async def _round(self) -> None:
        try:
            await self._agree(list(self._members))
        except (StoreDownError, OSError, TimeoutError) as error:
            self._went_down(error)
        else:
            self._came_back()

    async def _agree(self, names: list[str]) -> None:
        """Ask for all, write what is to be written; what was lost to others is tried again."""
        for _ in range(_TRIES):
            if not names:
                return
            async with asyncio.timeout(self.timeout):
                now, held = await self._store.read(names)
            self._offset, self._asked = now - time.monotonic(), True
            names = [
                name
                for name in names
                if (member := self._members.get(name)) is not None
                and not await self._settle(member, held.get(name, NOTHING), now)
            ]
        log.info("shared state of %d breakers is contended; next round", len(names))

    async def _settle(self, member: Member, seen: Any, now: float) -> bool:
        moves = member.own_moves
        record = member.decide(seen, now)
        if record is None:
            return True
        return await self._swap(member, record, moves)

    async def _swap(self, member: Member, record: Record, moves: int) -> bool:
        async with asyncio.timeout(self.timeout):
            done = await self._store.swap(member.breaker.name, member.version, record)
        if done:
            member.wrote(record, moves)
        return done

    async def _let_go(self) -> None:
        now = time.monotonic() + self._offset
        try:
            for member in self._members.values():
                record = member.let_go(now) if self._asked else None
                if record is not None:
                    await self._swap(member, record, member.own_moves)
        except (StoreDownError, OSError, TimeoutError) as error:
            log.info("trials were not given back, their lease ends by itself: %s", error)

    def _went_down(self, error: Exception) -> None:
        self._failures += 1
        if self.degraded:
            return
        self.degraded = True
        words = str(error) or type(error).__name__
        log.warning("shared state is out of reach, every instance decides alone: %s", words)
        if self._asked:
            for member in self._members.values():
                member.alone(time.monotonic() + self._offset)
        self._tell(SharingEvent(kind="degraded", at=time.time(), error=words))

    def _came_back(self) -> None:
        self._failures = 0
        if self.degraded:
            self.degraded = False
            log.warning("shared state is back")
            self._tell(SharingEvent(kind="recovered", at=time.time()))

    def _tell(self, event: SharingEvent) -> None:
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                log.exception("listener failed for %s", event.kind)
