"""Recovery checks: try the target ourselves while its breaker is open, not with a user's call.

Rule: the breaker stays open until the check has given ``successes`` good answers in a row. It is
held open by a lease that each check renews, so that a runner that dies leaves an ordinary
breaker behind, which lets a trial through when the lease is over.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from inspect import isawaitable
from typing import Any, Final, Self

from cbmon.breaker import CircuitBreaker, State
from cbmon.breaker.arguments import check_called, refuse_type
from cbmon.resilience.checks import at_least, positive
from cbmon.resilience.layer import is_async

Check = Callable[[], Any]
"""Looks at the target. A bad answer is False or an exception; everything else is a good one."""

ACTOR: Final = "recovery check"
_DOWN: Final = (State.OPEN, State.HALF_OPEN)
"""What a check may end: half-open is where the lease ends when the program was held up."""


class Recovery:
    """The decisions, without threads, tasks or waiting; a runner tells it what was found.

    ``interval`` and ``timeout`` in seconds (> 0), ``successes`` an integer >= 1.
    """

    def __init__(
        self, breaker: CircuitBreaker, *, interval: float, timeout: float, successes: int
    ) -> None:
        if not isinstance(breaker, CircuitBreaker):
            refuse_type("breaker", breaker, "a CircuitBreaker")
        self.breaker = breaker
        self.interval = positive("interval", interval)
        self.timeout = positive("timeout", timeout)
        self.successes = at_least("successes", successes, 1)
        self.good = 0
        """Good answers in a row so far."""
        self._wake: Callable[[], object] | None = None
        self._listens = False

    @property
    def lease(self) -> float:
        """Seconds that the breaker is held open at a time: until after the next check's end."""
        return 2 * self.interval + self.timeout

    def watch(self, wake: Callable[[], object] | None) -> None:
        """Call ``wake`` whenever the breaker moves, in the thread that moved it; None: no more."""
        self._wake = wake
        if not self._listens:
            self._listens = True
            self.breaker.add_listener(self._moved, kinds=("transition",))

    def begin(self) -> bool:
        """Whether there is something to check; if it is open it is held open."""
        state = self.breaker.state
        if state is State.OPEN:
            self.breaker.open(for_seconds=self.lease, actor=ACTOR, reason="a check decides")
        elif state is not State.HALF_OPEN:
            self.good = 0
        return state in _DOWN

    def found(self, good: bool) -> bool:
        """Take one answer in; whether it closed the breaker."""
        if self.breaker.state not in _DOWN:
            self.good = 0
            return False
        self.good = self.good + 1 if good else 0
        if self.good < self.successes:
            self.begin()
            return False
        self.breaker.close(actor=ACTOR, reason=f"{self.good} good answers in a row")
        self.good = 0
        return True

    def _moved(self, _event: Any) -> None:
        if (wake := self._wake) is not None:
            wake()


class RecoveryCheck:
    """Runs ``check`` in a task of its own while ``breaker`` is open.

    Every ``interval`` seconds ``check`` is called: a coroutine function on the loop, a plain
    function in a thread. After ``timeout`` seconds, or when it raises or gives False, the answer
    counts as bad. ``successes`` good answers in a row close the breaker. States set by a person
    (forced, disabled, observe) are left alone; an ``open()`` ends like any other opening, so use
    ``force_open()`` to keep callers away. Use it as ``async with``, or start and stop it.

    A plain function that hangs keeps its thread: no second one is started until it ends. Raises
    ValueError for an interval or timeout <= 0 or successes < 1.
    """

    def __init__(
        self,
        breaker: CircuitBreaker,
        check: Check,
        *,
        interval: float = 5.0,
        timeout: float = 5.0,
        successes: int = 2,
    ) -> None:
        self._recovery = Recovery(breaker, interval=interval, timeout=timeout, successes=successes)
        if not callable(check):
            refuse_type("check", check, "a function that looks at the target")
        self._check = check
        self._in_thread = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to watch the breaker; RuntimeError if it has been started already."""
        if self._task is not None:
            raise RuntimeError("the recovery check has been started already")
        loop, opened = asyncio.get_running_loop(), asyncio.Event()
        opened.set()
        self._recovery.watch(lambda: _post(loop, opened.set))
        self._task = asyncio.create_task(
            self._watch(opened), name=f"recovery of {self._recovery.breaker.name}"
        )

    async def stop(self) -> None:
        """Stop watching and wait for the running check to end; does nothing before a start.

        Raises what ended the watch early, if anything did.
        """
        task, self._task = self._task, None
        if task is None:
            return
        self._recovery.watch(None)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exit_info: object) -> None:
        await self.stop()

    async def _watch(self, opened: asyncio.Event) -> None:
        while True:
            await opened.wait()
            opened.clear()
            while self._recovery.begin():
                await asyncio.sleep(self._recovery.interval)
                self._recovery.found(await self._look())

    async def _look(self) -> bool:
        try:
            async with asyncio.timeout(self._recovery.timeout):
                if is_async(self._check):
                    return await self._check() is not False
                if self._in_thread:
                    return False
                self._in_thread = True
                answer = await asyncio.to_thread(self._look_in_thread)
                return (await answer if isawaitable(answer) else answer) is not False
        except Exception:  # noqa: BLE001 (whatever a check raises is a bad answer)
            return False

    def _look_in_thread(self) -> Any:
        try:
            return self._check()
        finally:
            self._in_thread = False


class ThreadRecoveryCheck:
    """:class:`RecoveryCheck` for programs without an event loop: ``check`` runs in one thread.

    ``check`` is a plain function and must keep its own timeout: a thread cannot be stopped from
    outside. ``timeout`` is how long it may normally take; it sets the lease, and how long
    :meth:`stop` waits. Use it as ``with``, or start and stop it.
    """

    def __init__(
        self,
        breaker: CircuitBreaker,
        check: Check,
        *,
        interval: float = 5.0,
        timeout: float = 5.0,
        successes: int = 2,
    ) -> None:
        self._recovery = Recovery(breaker, interval=interval, timeout=timeout, successes=successes)
        check_called(check, "check", "a function (RecoveryCheck takes coroutine functions)")
        self._check = check
        self._stopping = threading.Event()
        self._opened = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to watch the breaker; RuntimeError if it has been started already."""
        if self._thread is not None:
            raise RuntimeError("the recovery check has been started already")
        self._stopping.clear()
        self._opened.set()
        self._recovery.watch(self._opened.set)
        self._thread = threading.Thread(
            target=self._watch, name=f"recovery of {self._recovery.breaker.name}", daemon=True
        )
        self._thread.start()

    def stop(self) -> bool:
        """Stop watching; False if the running check did not end within its timeout."""
        thread, self._thread = self._thread, None
        if thread is None:
            return True
        self._recovery.watch(None)
        self._stopping.set()
        self._opened.set()
        thread.join(self._recovery.timeout)
        return not thread.is_alive()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exit_info: object) -> None:
        self.stop()

    def _watch(self) -> None:
        while not self._stopping.is_set():
            self._opened.wait()
            self._opened.clear()
            while not self._stopping.is_set() and self._recovery.begin():
                if not self._stopping.wait(self._recovery.interval):
                    self._recovery.found(self._look())

    def _look(self) -> bool:
        try:
            return self._check() is not False
        except Exception:  # noqa: BLE001 (whatever a check raises is a bad answer)
            return False


def _post(loop: asyncio.AbstractEventLoop, callback: Callable[[], Any]) -> None:
    """Call it in the loop's thread; a loop that is closed has nothing left to wake."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(callback)
