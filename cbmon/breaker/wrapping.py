"""Turning a callable into a protected one of the same kind and signature.

Rule: what was a coroutine function, a generator, an async generator or a plain function stays
one for everybody who looks.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial, update_wrapper
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, cast

from cbmon.breaker import lanes
from cbmon.breaker.arguments import is_coroutine_function
from cbmon.breaker.generators import async_generator_guard, generator_guard
from cbmon.breaker.specialise import specialised

if TYPE_CHECKING:
    from cbmon.breaker.core import Core

_KINDS: Final = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR

P = ParamSpec("P")
R = TypeVar("R")


def wrap(core: Core, func: Callable[P, R]) -> Callable[P, R]:
    """``func`` behind the breaker. Raises TypeError for what cannot be called, and where the
    breaker's fallback could not stand in."""
    if isinstance(func, staticmethod | classmethod):
        return cast("Callable[P, R]", type(func)(wrap(core, func.__func__)))
    if isinstance(func, type) or not callable(func):
        raise TypeError(f"{func!r} is not a function, method or callable object")
    return cast("Callable[P, R]", _dressed(_lane(core, func), func))


def _maker_for(core: Core, func: Callable[..., Any]) -> Callable[..., Any]:
    kind = kind_of(func)
    if core.fallback is not None:
        _check_fallback(core, core.fallback, func, kind)
    return _MAKERS[kind]


def _check_fallback(
    core: Core, fallback: Callable[..., Any], func: Callable[..., Any], kind: int
) -> None:
    """TypeError where the fallback's value could not stand in for the function's."""
    name = getattr(func, "__qualname__", repr(func))
    who = f"fallback: circuit breaker {core.machine.name!r} has one"
    if kind in {inspect.CO_GENERATOR, inspect.CO_ASYNC_GENERATOR}:
        raise TypeError(
            f"{who}, but {name} is a generator and has no value that it could stand in for; "
            "guard it by a breaker without a fallback and catch the error where it is read"
        )
    if not kind and is_coroutine_function(fallback):
        raise TypeError(
            f"{who} that is a coroutine function, but {name} is a plain function and nobody would "
            "await its value; give a plain fallback, or make the function a coroutine function"
        )


def bare(core: Core, func: Callable[..., Any]) -> Callable[..., Any]:
    """``func`` behind the breaker, without its name and signature."""
    return _maker_for(core, func)(core, func)  # type: ignore[no-any-return]


def _lane(core: Core, func: Callable[..., Any]) -> Callable[..., Any]:
    maker = _maker_for(core, func)
    return specialised(maker, core, func) if maker in _LANES else maker(core, func)


def kind_of(func: Callable[..., Any]) -> int:
    """The code flags that make a function a coroutine function or a generator; 0 for others."""
    if type(func) is FunctionType:  # by far the most, and a call should not wait for the rest
        return func.__code__.co_flags & _KINDS
    while isinstance(func, partial):
        func = func.func
    target: Any = func
    if not hasattr(target, "__code__"):
        target = type(target).__call__
    if inspect.iscoroutinefunction(target):
        return inspect.CO_COROUTINE
    flags = getattr(getattr(target, "__code__", None), "co_flags", 0)
    return int(flags) & _KINDS


_MAKERS = {
    0: lanes.plain,
    inspect.CO_COROUTINE: lanes.coroutine,
    inspect.CO_GENERATOR: generator_guard,
    inspect.CO_ASYNC_GENERATOR: async_generator_guard,
}


_LANES: Final = (lanes.plain, lanes.coroutine)


def _dressed(wrapper: Callable[..., Any], func: Callable[..., Any]) -> Callable[..., Any]:
    """The wrapper with the name, the doc and, through ``__wrapped__``, the signature."""
    named = func.func if isinstance(func, partial) else func
    update_wrapper(wrapper, func)
    for attribute in ("__name__", "__qualname__"):
        if not hasattr(func, attribute):
            setattr(wrapper, attribute, getattr(named, attribute, type(named).__name__))
    return wrapper
