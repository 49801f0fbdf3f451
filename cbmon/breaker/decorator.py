"""``@circuit_breaker(...)``: a breaker of its own for one function."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast, overload

from cbmon.breaker.arguments import check_name
from cbmon.breaker.breaker import CircuitBreaker
from cbmon.breaker.clock import Clock
from cbmon.breaker.core import Listener
from cbmon.breaker.policy import BreakerPolicy
from cbmon.breaker.settings import merged

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Guarded(Protocol[P, R_co]):
    """A protected function with its breaker hanging on it."""

    breaker: CircuitBreaker

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call it through the breaker."""
        ...

    @overload
    def __get__(self, instance: None, owner: Any) -> Guarded[P, R_co]: ...
    @overload
    def __get__(
        self: Guarded[Concatenate[Any, Q], R], instance: object, owner: Any
    ) -> Callable[Q, R]: ...


class Decorator(Protocol):
    """What ``circuit_breaker(...)`` gives."""

    def __call__(self, func: Callable[P, R], /) -> Guarded[P, R]:
        """Put the breaker around ``func``."""
        ...


def circuit_breaker(
    name: str | None = None,
    *,
    policy: BreakerPolicy | None = None,
    clock: Clock | None = None,
    seed: int | None = None,
    listeners: Iterable[Listener] = (),
    fallback: Callable[[Any], Any] | None = None,
    category: str = "app",
    **policy_fields: Any,
) -> Decorator:
    """Protect a function with a breaker of its own, found as ``function.breaker``.

    ``name`` is ``module.qualname`` of the function by default. The rest is as for
    :class:`CircuitBreaker`, whose errors it raises. Raises TypeError without parentheses.

        >>> @circuit_breaker(failure_threshold=3)
        ... def fetch(path: str) -> str:
        ...     return path.upper()
        >>> fetch("a"), fetch.breaker.counts.successes
        ('A', 1)
    """
    if callable(name):
        raise TypeError("circuit_breaker needs parentheses: @circuit_breaker()")
    chosen = merged(policy, policy_fields)
    if name is not None:
        check_name(name)

    def decorate(func: Callable[P, R], /) -> Guarded[P, R]:
        breaker = CircuitBreaker(
            _name_of(func) if name is None else name,
            chosen,
            clock=clock,
            seed=seed,
            listeners=listeners,
            fallback=fallback,
            category=category,
        )
        guarded: Any = breaker(func)
        guarded.breaker = breaker
        return cast("Guarded[P, R]", guarded)

    return decorate


def _name_of(func: Any) -> str:
    inner = getattr(func, "__func__", func)
    inner = getattr(inner, "func", inner)
    qualname = getattr(inner, "__qualname__", type(inner).__qualname__)
    return f"{inner.__module__}.{qualname}"
