"""What the layers have in common: how each is put around a function, and how they are stacked.

Rule: a layer keeps the kind of what it wraps. A plain function stays plain, a coroutine function
stays one; a plain function that returns an awaitable is guarded while that is awaited.
"""

from __future__ import annotations

import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, Protocol, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Wrapper(Protocol):
    """Anything that wraps a function and keeps its signature: a layer, or a circuit breaker."""

    def __call__(self, func: Callable[P, R], /) -> Callable[P, R]:
        """Wrap ``func``."""
        ...


class Layer(ABC):
    """One layer of protection around a call: use it as a decorator, or through :meth:`call`."""

    __slots__ = ()

    def call(self, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run ``func`` inside this layer; an awaitable when ``func`` is async."""
        return self(func)(*args, **kwargs)

    def __call__(self, func: Callable[P, R], /) -> Callable[P, R]:
        """Wrap ``func``, keeping its signature and its kind. TypeError for a generator function."""
        refuse_generators(func, type(self).__name__)
        if is_async(func):
            return cast("Callable[P, R]", self._around_coroutine(cast("Any", func)))
        return self._around_function(func)

    def _around_coroutine(self, func: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        @functools.wraps(func)
        async def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
            return await self._run_async(functools.partial(func, *args, **kwargs))

        return guarded

    def _around_function(self, func: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(func)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            return self._run(functools.partial(func, *args, **kwargs))

        return guarded

    @abstractmethod
    def _run(self, func: Callable[[], R]) -> R:
        """Run a plain function inside this layer."""

    @abstractmethod
    async def _run_async(self, func: Callable[[], Awaitable[T]]) -> T:
        """Run a coroutine function inside this layer."""


def compose(*layers: Wrapper) -> Wrapper:
    """One decorator made of ``layers``, the outermost first.

    The order that works: ``compose(fallback, retry, breaker, bulkhead, timeout)``; why is told in
    the library guide. ValueError without any layer.
    """
    if not layers:
        raise ValueError("layers: got none, expected at least one")

    def composed(func: Callable[P, R], /) -> Callable[P, R]:
        for layer in reversed(layers):
            func = layer(func)
        return func

    return composed


def is_async(func: Callable[..., Any]) -> bool:
    """Whether calling ``func`` gives a coroutine: partials and callable objects are looked into."""
    return inspect.iscoroutinefunction(func) or inspect.iscoroutinefunction(
        getattr(func, "__call__", None)  # noqa: B004 (its kind is asked, not whether it is there)
    )


def refuse_generators(func: Callable[..., Any], layer: str) -> None:
    """TypeError for a generator function: calling it runs nothing that could be guarded."""
    if inspect.isgeneratorfunction(func) or inspect.isasyncgenfunction(func):
        name = getattr(func, "__qualname__", repr(func))
        raise TypeError(
            f"{layer} cannot guard the generator function {name}; put it around what its body calls"
        )
