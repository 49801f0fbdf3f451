"""The peers, each used in the way that its own documentation shows and that is fastest.

Rule: a peer that is not installed is left out and named. Every peer keeps its defaults except
for a threshold that makes its breaker open at the first failure in the rejection case.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from benchmarks._harness import Contender

ABSENT: dict[str, str] = {}
NEVER = 10**9


async def bare_async() -> int:
    return 1


def bare() -> int:
    return 1


async def failing_async() -> int:
    raise OSError("down")


def failing() -> int:
    raise OSError("down")


def load(package: str, module: str | None = None) -> Any | None:
    """The peer's module, or None with a note when it is not installed."""
    try:
        return import_module(module or package)
    except ImportError as missing:
        ABSENT[package] = str(missing)
        return None


def closed_async() -> Iterator[Contender]:
    for name, wrap in _async_wrappers(NEVER):
        yield Contender(name=name, call=wrap(bare_async), bare=bare_async)
    yield from closed_block()


def closed_sync() -> Iterator[Contender]:
    for name, wrap in _sync_wrappers(NEVER):
        yield Contender(name=name, call=wrap(bare), bare=bare)


def window_async() -> Iterator[Contender]:
    for name, wrap in _window_wrappers():
        yield Contender(name=name, call=wrap(bare_async), bare=bare_async)


def rejected_async() -> Iterator[Contender]:
    for name, wrap in (*_async_wrappers(1), *_lasier("asyncio")):
        call = wrap(failing_async)
        yield Contender(
            name=name, call=call, bare=bare_async, rejected=asyncio.run(_trip_async(name, call))
        )


def rejected_sync() -> Iterator[Contender]:
    for name, wrap in (*_sync_wrappers(1), *_lasier("sync")):
        call = wrap(failing)
        yield Contender(name=name, call=call, bare=bare, rejected=_trip(name, call))


def _async_wrappers(threshold: int) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    if module := load("circuitbreaker"):
        yield "circuitbreaker", module.CircuitBreaker(threshold, 3600, name="b")
    if module := load("aiobreaker"):
        hour = dt.timedelta(hours=1)
        yield "aiobreaker", module.CircuitBreaker(fail_max=threshold, timeout_duration=hour)
    if module := load("purgatory"):
        yield "purgatory (decorator)", module.AsyncCircuitBreakerFactory(threshold, 3600)("b")
    if module := load("hyx", "hyx.circuitbreaker.api"):
        yield (
            "hyx",
            module.consecutive_breaker(failure_threshold=threshold, recovery_time_secs=3600),
        )
    if module := load("pyresilience"):
        yield "pyresilience", _pyresilience(module, failure_threshold=threshold)
    if module := load("interlock-cb", "interlock"):
        yield "interlock-cb", _interlock(module, threshold)


def _sync_wrappers(threshold: int) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    if module := load("circuitbreaker"):
        yield "circuitbreaker", module.CircuitBreaker(threshold, 3600, name="b")
    if module := load("pybreaker"):
        yield "pybreaker", module.CircuitBreaker(fail_max=threshold, reset_timeout=3600)
    if module := load("purgatory"):
        yield "purgatory (decorator)", module.SyncCircuitBreakerFactory(threshold, 3600)("b")
    if module := load("pyresilience"):
        yield "pyresilience", _pyresilience(module, failure_threshold=threshold)
    if module := load("interlock-cb", "interlock"):
        yield "interlock-cb", _interlock(module, threshold)


def _window_wrappers() -> Iterator[tuple[str, Callable[[Any], Any]]]:
    if module := load("pyresilience"):
        yield "pyresilience (window)", _pyresilience(module, sliding_window_size=100)
    if module := load("interlock-cb", "interlock"):
        yield "interlock-cb (calls)", _interlock(module, NEVER)
        kind = module.WindowType.TIME_BASED
        config = module.Config(window_type=kind, window_size=60)
        yield "interlock-cb (time)", module.CircuitBreaker(name="t", config=config)


def closed_block() -> Iterator[Contender]:
    """Purgatory is the one that has ``async with`` for a breaker at hand."""
    module = load("purgatory")
    if module is None:
        return
    breaker = asyncio.run(module.AsyncCircuitBreakerFactory(NEVER, 3600).get_breaker("b"))

    async def block() -> int:
        async with breaker:
            return await bare_async()

    async def nested() -> int:
        return await bare_async()

    yield Contender(name="purgatory (async with)", call=block, bare=nested)


def _pyresilience(module: Any, **settings: Any) -> Callable[[Any], Any]:
    config = module.CircuitBreakerConfig(recovery_timeout=3600, **settings)
    wrapper: Callable[[Any], Any] = module.resilient(circuit_breaker=config)
    return wrapper


def _interlock(module: Any, threshold: int) -> Any:
    config = module.Config(
        minimum_number_of_calls=1 if threshold == 1 else 10, wait_duration_in_open=3600.0
    )
    return module.CircuitBreaker(name="b", config=config)


def _lasier(side: str) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    if load("lasier") is None:
        return
    logging.getLogger("lasier").addHandler(logging.NullHandler())
    rules = import_module("lasier.circuit_breaker.rules")
    breaker = import_module(f"lasier.circuit_breaker.{side}").CircuitBreaker
    cache = _AsyncCache() if side == "asyncio" else _Cache()
    rule = rules.MaxFailuresRule(max_failures=1, failure_cache_key="failures")
    yield (
        "lasier",
        breaker(
            rule=rule,
            cache=cache,
            failure_exception=RuntimeError,
            catch_exceptions=(OSError,),
            circuit_timeout=3600,
            failure_timeout=3600,
        ),
    )


def _trip(name: str, call: Callable[[], Any]) -> type[BaseException]:
    for _ in range(12):
        try:
            call()
        except Exception as error:  # noqa: BLE001 (each peer has its own)
            last = type(error)
    return _checked(name, last)


async def _trip_async(name: str, call: Callable[[], Any]) -> type[BaseException]:
    for _ in range(12):
        try:
            await call()
        except Exception as error:  # noqa: BLE001 (each peer has its own)
            last = type(error)
    return _checked(name, last)


def _checked(name: str, kind: type[BaseException]) -> type[BaseException]:
    if kind is OSError:
        raise RuntimeError(f"{name} does not reject: the benchmark would time its calls")
    return kind


class _Cache:
    """What lasier keeps its state in, as light as can be."""

    def __init__(self) -> None:
        self._values: dict[str, int] = {}

    def get(self, key: str) -> int | None:
        return self._values.get(key)

    def set(self, key: str, value: int, _timeout: float | None = None) -> None:
        self._values[key] = value

    def add(self, key: str, value: int, _timeout: float | None = None) -> None:
        self._values.setdefault(key, value)

    def incr(self, key: str) -> int:
        self._values[key] = self._values.get(key, 0) + 1
        return self._values[key]

    def expire(self, _key: str, _timeout: float | None = None) -> None:
        """Nothing expires in a benchmark."""

    def delete(self, key: str) -> None:
        self._values.pop(key, None)

    def flushdb(self) -> None:
        self._values.clear()


class _AsyncCache:
    def __init__(self) -> None:
        self._cache = _Cache()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._cache, name)

        async def run(*args: Any) -> Any:
            return method(*args)

        return run
