"""Bulkhead: no more than N calls at once, so that one slow target cannot take every thread.

Rule: a place is handed from the call that ends straight to the one that has waited longest. A
caller that stops waiting (timeout, cancellation) never takes a place with it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from cbmon.breaker.arguments import check_name
from cbmon.breaker.forking import remember
from cbmon.breaker.unique import Unique
from cbmon.resilience.checks import at_least, not_negative
from cbmon.resilience.errors import BulkheadFullError
from cbmon.resilience.layer import Layer

R = TypeVar("R")
T = TypeVar("T")


class Bulkhead(Unique, Layer):
    """Lets ``max_concurrent_calls`` run at the same time; threads and tasks may share it.

    ``queue_timeout`` is how many seconds a call may wait for a place (0.0: none, it is turned
    away at once); ``max_queued`` is how many may wait at the same time (None: any number).
    Those that wait are served in the order in which they came. A call that gets no place raises
    :class:`BulkheadFullError`, which a breaker around the bulkhead counts as nothing.

        >>> pool = Bulkhead("reports", max_concurrent_calls=2)
        >>> pool.call(sum, [1, 2, 3])
        6
        >>> with pool:
        ...     pool.in_flight
        1
    """

    __slots__ = (
        "__weakref__",
        "_in_flight",
        "_lock",
        "_queue",
        "_rejections",
        "max_concurrent_calls",
        "max_queued",
        "name",
        "queue_timeout",
    )

    def __init__(
        self,
        name: str = "default",
        *,
        max_concurrent_calls: int = 10,
        queue_timeout: float = 0.0,
        max_queued: int | None = None,
    ) -> None:
        check_name(name)
        self.name = name
        self.max_concurrent_calls = at_least("max_concurrent_calls", max_concurrent_calls, 1)
        self.queue_timeout = not_negative("queue_timeout", queue_timeout)
        self.max_queued = None if max_queued is None else at_least("max_queued", max_queued, 1)
        self._lock = threading.Lock()
        self._queue: OrderedDict[_Waiter, None] = OrderedDict()
        self._in_flight = 0
        self._rejections = 0
        remember(self)

    @property
    def in_flight(self) -> int:
        """How many calls are running."""
        return self._in_flight

    @property
    def queued(self) -> int:
        """How many calls are waiting for a place."""
        return len(self._queue)

    @property
    def rejections(self) -> int:
        """How many calls got no place so far."""
        return self._rejections

    def acquire(self) -> None:
        """Take a place, waiting in this thread at most ``queue_timeout`` seconds.

        Raises BulkheadFullError. For use without ``with``; give the place back by :meth:`release`.
        """
        waiter = self._take_or_queue(_ThreadWaiter)
        if waiter is not None:
            try:
                waiter.event.wait(self.queue_timeout)
            finally:
                granted = self._leave_queue(waiter)
            if not granted:
                raise self._full(self.queue_timeout)

    async def acquire_async(self) -> None:
        """Like :meth:`acquire`, for a task: only the task waits."""
        waiter = self._take_or_queue(_TaskWaiter)
        if waiter is None:
            return
        try:
            async with asyncio.timeout(self.queue_timeout):
                await waiter.future
        except TimeoutError:
            pass
        except BaseException:
            if self._leave_queue(waiter):
                self.release()
            raise
        if not self._leave_queue(waiter):
            raise self._full(self.queue_timeout)

    def release(self) -> None:
        """Give a place back, or hand it to the call that has waited longest."""
        with self._lock:
            while self._queue:
                waiter, _ = self._queue.popitem(last=False)
                if waiter.grant():
                    return
            if self._in_flight:  # else it was taken before a fork
                self._in_flight -= 1

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    async def __aenter__(self) -> Self:
        await self.acquire_async()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<Bulkhead {self.name!r}: {self._in_flight} of {self.max_concurrent_calls} running>"

    def _in_child(self) -> None:
        """Those that run and those that wait are the parent's."""
        self._lock = threading.Lock()
        self._queue = OrderedDict()
        self._in_flight = 0

    def _run(self, func: Callable[[], R]) -> R:
        with self:
            result = func()
        if isawaitable(result):
            return cast("R", self._hold_while(cast("Any", result)))
        return result

    async def _run_async(self, func: Callable[[], Awaitable[T]]) -> T:
        async with self:
            return await func()

    async def _hold_while(self, awaitable: Awaitable[T]) -> T:
        async with self:
            return await awaitable

    def _take_or_queue(self, kind: Callable[[], _W]) -> _W | None:
        with self._lock:
            if self._in_flight < self.max_concurrent_calls:
                self._in_flight += 1
                return None
            if self.queue_timeout and (self.max_queued is None or self.queued < self.max_queued):
                waiter = kind()
                self._queue[waiter] = None
                return waiter
        raise self._full(0.0)

    def _leave_queue(self, waiter: _Waiter) -> bool:
        """Stop waiting; whether a place was granted before that."""
        with self._lock:
            self._queue.pop(waiter, None)
            return waiter.granted

    def _full(self, waited: float) -> BulkheadFullError:
        with self._lock:
            self._rejections += 1
        return BulkheadFullError(self.name, self.max_concurrent_calls, waited)


class BulkheadRegistry(Unique):
    """Bulkheads by name, made when first asked for, so that several callers share a pool.

    The settings are those of every pool that :meth:`get` makes without its own limit.
    """

    def __init__(
        self,
        *,
        max_concurrent_calls: int = 10,
        queue_timeout: float = 0.0,
        max_queued: int | None = None,
    ) -> None:
        self._default = Bulkhead(
            max_concurrent_calls=max_concurrent_calls,
            queue_timeout=queue_timeout,
            max_queued=max_queued,
        )
        self._lock = threading.Lock()
        remember(self)
        self._pools: dict[str, Bulkhead] = {}

    def get(self, name: str, *, max_concurrent_calls: int | None = None) -> Bulkhead:
        """The pool of that name. ValueError if it exists with another limit than the one given."""
        with self._lock:
            pool = self._pools.get(name)
            if pool is None:
                pool = self._pools[name] = self._made(name, max_concurrent_calls)
        if max_concurrent_calls not in {None, pool.max_concurrent_calls}:
            raise ValueError(
                f"max_concurrent_calls: got {max_concurrent_calls!r}, but bulkhead {name!r} exists "
                f"with {pool.max_concurrent_calls}"
            )
        return pool

    def __iter__(self) -> Any:
        return iter(list(self._pools.values()))

    def __len__(self) -> int:
        return len(self._pools)

    def _in_child(self) -> None:
        self._lock = threading.Lock()

    def _made(self, name: str, limit: int | None) -> Bulkhead:
        default = self._default
        return Bulkhead(
            name,
            max_concurrent_calls=default.max_concurrent_calls if limit is None else limit,
            queue_timeout=default.queue_timeout,
            max_queued=default.max_queued,
        )


class _ThreadWaiter:
    """A thread in the queue. ``granted`` is read and written under the bulkhead's lock."""

    __slots__ = ("event", "granted")

    def __init__(self) -> None:
        self.event = threading.Event()
        self.granted = False

    def grant(self) -> bool:
        self.granted = True
        self.event.set()
        return True


class _TaskWaiter:
    """A task in the queue; the one who grants may be in another thread or loop."""

    __slots__ = ("future", "granted", "loop")

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self.loop.create_future()
        self.granted = False

    def grant(self) -> bool:
        try:
            self.loop.call_soon_threadsafe(self._wake)
        except RuntimeError:  # its loop is closed: nobody is left to use the place
            return False
        self.granted = True
        return True

    def _wake(self) -> None:
        if not self.future.done():
            self.future.set_result(None)


_Waiter = _ThreadWaiter | _TaskWaiter
_W = TypeVar("_W", _ThreadWaiter, _TaskWaiter)
