"""Fallback: an answer of our own when everything inside has failed.

Rule: the handler is given the error; cancellation and what is not in ``on`` pass through.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, TypeVar, cast

from cbmon.breaker.arguments import refuse_type
from cbmon.resilience.checks import exception_classes
from cbmon.resilience.layer import Layer

R = TypeVar("R")
T = TypeVar("T")


class Fallback(Layer):
    """Answers with ``handler(error)`` when the call raises an exception in ``on``.

    ``handler`` may be async when what it stands in for is; ``on`` is an exception class or a
    tuple of them (default: Exception). An error of the handler reaches the caller.

        >>> stale = Fallback(lambda error: {"price": None}, on=ConnectionError)
        >>> def price():
        ...     raise ConnectionError("refused")
        >>> stale.call(price)
        {'price': None}
    """

    __slots__ = ("handler", "on")

    def __init__(
        self,
        handler: Callable[[Exception], Any],
        *,
        on: type[Exception] | tuple[type[Exception], ...] = Exception,
    ) -> None:
        if not callable(handler):
            refuse_type("handler", handler, "a function of the error")
        self.handler = handler
        self.on = exception_classes("on", on)

    def _run(self, func: Callable[[], R]) -> R:
        try:
            result = func()
        except self.on as error:
            return cast("R", self.handler(error))
        if isawaitable(result):
            return cast("R", self._finish(cast("Any", result)))
        return result

    async def _run_async(self, func: Callable[[], Awaitable[T]]) -> T:
        return await self._finish(func())

    async def _finish(self, awaitable: Awaitable[T]) -> T:
        try:
            return await awaitable
        except self.on as error:
            answer = self.handler(error)
        return cast("T", await answer if isawaitable(answer) else answer)
