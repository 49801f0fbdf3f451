"""Retry: try again what failed for the moment, and stop before it does harm.

Rule: at most ``attempts`` tries, all within ``deadline`` seconds, paid from a budget; the error
that reaches the caller is the last attempt's own. An open breaker is waited for or given up on,
never hammered. Cancellation is never retried.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, ParamSpec, TypedDict, TypeVar, Unpack, cast, overload

from cbmon.breaker import CircuitOpenError, Clock, NeutralError, SystemClock
from cbmon.breaker.arguments import check_called, check_clock, check_seed, refuse_type
from cbmon.resilience.backoff import Backoff
from cbmon.resilience.budget import RetryBudget
from cbmon.resilience.checks import at_least, exception_classes, positive
from cbmon.resilience.layer import Layer

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_DEFAULT_BACKOFF = Backoff()

Retriable = type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryEvent:
    """What ``on_retry`` is told before each wait."""

    attempt: int
    """The attempt that failed, from 1."""
    error: Exception
    wait: float
    """Seconds until the next attempt."""


class RetrySettings(TypedDict, total=False):
    """The settings of :func:`retry`, all optional."""

    on: Retriable
    attempts: int
    deadline: float | None
    backoff: Backoff
    budget: RetryBudget | None
    wait_hint: Callable[[Exception], float | None] | None
    on_retry: Callable[[RetryEvent], None] | None
    seed: int | None
    clock: Clock
    sleep: Callable[[float], None]
    sleep_async: Callable[[float], Awaitable[None]]


@overload
def retry(func: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def retry(**settings: Unpack[RetrySettings]) -> Retry: ...
def retry(func: Callable[P, R] | None = None, /, **settings: Unpack[RetrySettings]) -> Any:
    """Try a function again when it fails: ``@retry``, ``@retry(attempts=5)``, or ``.call(func)``.

    Works on functions and coroutine functions; generator functions raise TypeError.

    - ``on`` (default OSError, the base of the network's errors): an exception class, a tuple of
      them, or a predicate. A full bulkhead is tried again only if its class is named here.
    - ``attempts`` (3, at least 1): tries in all, the first included.
    - ``deadline`` (30.0): seconds for everything, waits included; None for no limit. No wait is
      begun that would end later. A coroutine that runs at the deadline is cancelled and
      TimeoutError is raised; a plain function cannot be cut off.
    - ``backoff``: a :class:`Backoff`; by default 0.1 s, doubled, at most 10 s, full jitter.
    - ``budget``: a :class:`RetryBudget` shared by all that call the same target.
    - ``wait_hint``: what an error says about when to come back (a ``Retry-After`` header), in
      seconds, or None; jitter is added to it.
    - ``on_retry``: called with a :class:`RetryEvent` before each wait.
    - ``seed``, ``clock``, ``sleep``, ``sleep_async``: for tests.

    An open breaker inside (``CircuitOpenError``) is waited for when its ``retry_after`` fits the
    deadline, and raised at once when it does not, or when either has no limit. Cancellation,
    KeyboardInterrupt and SystemExit pass through. What is raised in the end is the error of the
    last attempt, unchanged. ValueError names a setting out of range.

        >>> answers = iter([ConnectionError("refused"), "pong"])
        >>> def ping():
        ...     answer = next(answers)
        ...     if isinstance(answer, Exception):
        ...         raise answer
        ...     return answer
        >>> retry(attempts=2, sleep=lambda seconds: None).call(ping)
        'pong'
    """
    layer = Retry(**settings)
    return layer if func is None else layer(func)


class Retry(Layer):
    """Tries a function again; made by :func:`retry`, where the settings are described."""

    __slots__ = (
        "_matches",
        "_random",
        "_sleep",
        "_sleep_async",
        "attempts",
        "backoff",
        "budget",
        "clock",
        "deadline",
        "on_retry",
        "wait_hint",
    )

    def __init__(
        self,
        *,
        on: Retriable = OSError,
        attempts: int = 3,
        deadline: float | None = 30.0,
        backoff: Backoff = _DEFAULT_BACKOFF,
        budget: RetryBudget | None = None,
        wait_hint: Callable[[Exception], float | None] | None = None,
        on_retry: Callable[[RetryEvent], None] | None = None,
        seed: int | None = None,
        clock: Clock | None = None,
        sleep: Callable[[float], None] = time.sleep,
        sleep_async: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.attempts = at_least("attempts", attempts, 1)
        self.deadline = None if deadline is None else positive("deadline", deadline)
        if not isinstance(backoff, Backoff):
            refuse_type("backoff", backoff, "a Backoff")
        if budget is not None and not isinstance(budget, RetryBudget):
            refuse_type("budget", budget, "a RetryBudget or None")
        for name, value in (("wait_hint", wait_hint), ("on_retry", on_retry), ("sleep", sleep)):
            if value is not None:
                check_called(value, name, f"{name}(…)")
        if clock is not None:
            check_clock(clock)
        check_seed(seed)
        self.backoff = backoff
        self.budget = budget
        self.wait_hint = wait_hint
        self.on_retry = on_retry
        self.clock: Clock = SystemClock() if clock is None else clock
        self._matches = _predicate(on)
        # what a fork copies would draw the same waits in every child
        self._random = random.SystemRandom() if seed is None else random.Random(seed)  # noqa: S311
        self._sleep = sleep
        self._sleep_async = sleep_async

    def matches(self, error: Exception) -> bool:
        """Whether ``error`` is one to try again after."""
        return isinstance(error, CircuitOpenError) or self._matches(error)

    def wait(self, error: Exception, attempt: int) -> float | None:
        """Seconds to wait after ``error`` in that attempt (from 1); None: it is not worth it."""
        drawn = self.backoff.draw(attempt, self._random)
        if isinstance(error, CircuitOpenError):
            if error.retry_after is None or self.deadline is None:
                return None
            return error.retry_after + drawn
        hinted = self.wait_hint(error) if self.wait_hint is not None else None
        return drawn if hinted is None else max(hinted, 0.0) + drawn

    def _run(self, func: Callable[[], R]) -> R:
        series = _Series(self)
        while True:
            try:
                result = func()
                break
            except Exception as error:  # re-raised unless it is to be retried
                wait = series.wait_after(error)
                if wait is None:
                    raise
            self._sleep(wait)
        if isawaitable(result):
            return cast("R", self._finish(series, cast("Any", result), cast("Any", func)))
        return result

    async def _run_async(self, func: Callable[[], Awaitable[T]]) -> T:
        return await self._finish(_Series(self), func(), func)

    async def _finish(
        self, series: _Series, attempt: Awaitable[T], func: Callable[[], Awaitable[T]]
    ) -> T:
        """Await ``attempt`` and, where it fails, what ``func`` gives; cut off at the deadline."""
        while True:
            try:
                async with asyncio.timeout(series.remaining()):
                    return await attempt
            except Exception as error:  # re-raised unless it is to be retried
                wait = series.wait_after(error)
                if wait is None:
                    raise
            await self._sleep_async(wait)
            attempt = func()


class _Series:
    """The attempts of one call."""

    __slots__ = ("_attempt", "_ends", "_retry")

    def __init__(self, retry: Retry) -> None:
        self._retry = retry
        self._attempt = 1
        self._ends = None if retry.deadline is None else retry.clock.monotonic() + retry.deadline
        if retry.budget is not None:
            retry.budget.deposit()

    def remaining(self) -> float | None:
        """Seconds until the deadline; None without one."""
        if self._ends is None:
            return None
        return max(0.0, self._ends - self._retry.clock.monotonic())

    def wait_after(self, error: Exception) -> float | None:
        """Seconds to wait before the next attempt; None if there is to be none."""
        retry = self._retry
        if self._attempt >= retry.attempts or not retry.matches(error):
            return None
        wait = retry.wait(error, self._attempt)
        left = self.remaining()
        if wait is None or (left is not None and wait >= left) or not self._paid(error):
            return None
        if retry.on_retry is not None:
            retry.on_retry(RetryEvent(attempt=self._attempt, error=error, wait=wait))
        self._attempt += 1
        return wait

    def _paid(self, error: Exception) -> bool:
        """A rejection costs nothing: it put no load on the target."""
        budget = self._retry.budget
        return budget is None or isinstance(error, CircuitOpenError) or budget.withdraw()


def _predicate(on: Retriable) -> Callable[[Exception], bool]:
    if not isinstance(on, (type, tuple)):
        check_called(on, "on", "exception classes or a predicate on(error)")
        return on
    kinds = exception_classes("on", on)
    neutral = tuple(kind for kind in kinds if issubclass(kind, NeutralError))
    return lambda error: isinstance(error, neutral if isinstance(error, NeutralError) else kinds)
