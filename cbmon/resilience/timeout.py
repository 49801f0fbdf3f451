"""Timeout: the longest that one attempt may take.

Rule: only what can be cancelled gets a timeout. A thread cannot be stopped from outside, so a
plain function is refused instead of being left running behind its caller's back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, TypeVar, cast

from cbmon.resilience.checks import positive
from cbmon.resilience.layer import Layer

R = TypeVar("R")
T = TypeVar("T")


class Timeout(Layer):
    """Cancels a coroutine after ``seconds`` (> 0) and raises the built-in TimeoutError.

    A plain function that returns an awaitable is limited while that is awaited; one that returns
    anything else raises TypeError: give such a function its client's own timeout.
    """

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = positive("seconds", seconds)

    def _run(self, func: Callable[[], R]) -> R:
        result = func()
        if not isawaitable(result):
            raise TypeError(
                "Timeout cannot stop a plain function; use the timeout of the client it calls"
            )
        return cast("R", self._finish(cast("Any", result)))

    async def _run_async(self, func: Callable[[], Awaitable[T]]) -> T:
        return await self._finish(func())

    async def _finish(self, awaitable: Awaitable[T]) -> T:
        async with asyncio.timeout(self.seconds):
            return await awaitable
