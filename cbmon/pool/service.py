"""One service of a pool: its breaker, its bulkhead, its retries, and a call through all of them.

Rule: the order is fallback, retry, breaker, bulkhead. An error by which the service has answered
(a constraint of a database) is its success and still reaches the caller.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from cbmon.appconfig import BreakerConfig
from cbmon.breaker import CircuitBreaker, NeutralError
from cbmon.breaker.arguments import shown
from cbmon.pool.clients import is_transient
from cbmon.resilience import Bulkhead, Fallback, Wrapper, compose, retry

Function = Callable[..., Any]
Answered = Callable[[BaseException], bool]
"""Whether an error says that the service is well."""

_NO_LAYER: Final[tuple[Wrapper, ...]] = ()


class Service:
    """A service by name. Made by the pool, which changes it when its configuration does."""

    def __init__(
        self,
        config: BreakerConfig,
        breaker: CircuitBreaker,
        bulkhead: Bulkhead | None,
        *,
        fallback: Callable[[Exception], Any] | None = None,
        answered: Answered | None = None,
    ) -> None:
        self.breaker = breaker
        self.fallback = fallback
        self.answered = answered
        self.client: Any = None
        """What calls go through: an HTTP session, a Redis client, a database pool."""
        self.health_check: Callable[[], Any] | None = None
        """Looks at the service while its breaker is open."""
        self.owned = False
        """Whether the pool made the client, and closes it."""
        self.configure(config, bulkhead)

    def configure(self, config: BreakerConfig, bulkhead: Bulkhead | None) -> None:
        """Take another configuration; calls that are under way end as they began."""
        self.config = config
        self.bulkhead = bulkhead
        inner: tuple[Wrapper, ...] = (self.breaker,)
        if bulkhead is not None:
            inner = (*inner, bulkhead)
        again = _NO_LAYER
        if config.retry is not None:
            settings = config.retry
            again = (
                retry(attempts=settings.attempts, deadline=settings.deadline, on=is_transient),
            )
        outer = _NO_LAYER
        if (handler := self._handler()) is not None:
            outer = (Fallback(handler),)
        self._once = compose(*outer, *inner)(self._run)
        self._again = compose(*outer, *again, *inner)(self._run)
        self._once_plain = compose(*outer, *inner)(_run_plain)
        self._again_plain = compose(*outer, *again, *inner)(_run_plain)

    async def call(self, func: Callable[[], Awaitable[Any]], *, again: bool) -> Any:
        """Await ``func()`` through the layers; with retries if ``again``."""
        result = await (self._again if again else self._once)(func)
        if isinstance(result, _Raised):
            raise result.error
        return result

    def call_plain(self, func: Callable[[], Any], *, again: bool) -> Any:
        """Call a plain function through the layers."""
        return (self._again_plain if again else self._once_plain)(func)

    async def _run(self, func: Callable[[], Awaitable[Any]]) -> Any:
        if self.answered is None:
            return await _awaitable(func)
        try:
            return await _awaitable(func)
        except Exception as error:
            if self.answered(error):
                return _Raised(error)
            raise

    def _handler(self) -> Callable[[Exception], Any] | None:
        if self.fallback is not None:
            return self.fallback
        value = self.config.fallback
        return None if value is None else lambda _error: value


class NotAwaitableError(NeutralError, TypeError):
    """A plain function was given where a coroutine function is awaited: the caller's mistake."""


def _awaitable(func: Callable[[], Any]) -> Awaitable[Any]:
    """What ``func`` gives, if it can be awaited; else it says nothing of the service."""
    result = func()
    if isinstance(result, Awaitable):
        return result
    name = getattr(getattr(func, "func", func), "__qualname__", "it")
    raise NotAwaitableError(
        f"func: {name} gave {shown(result)}, which cannot be awaited; give a coroutine function, "
        "put asyncio.to_thread around a plain one, or decorate it by the pool's protect()"
    )


def _run_plain(func: Callable[[], Any]) -> Any:
    return func()


class _Raised:
    """An error on its way past a breaker that counts it as a success."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error
