"""What ``call_timeout`` raises is the built-in TimeoutError and the client's own kind."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import aiohttp
import asyncpg
import grpc
import httpx
import httpx2
import psycopg
import pytest
import redis

from cbmon import BreakerRegistry, CircuitBreaker
from cbmon.breaker import BreakerWarning
from cbmon.integrations import protect
from cbmon.integrations.aiohttp import AiohttpCircuitOpenError, BreakerMiddleware
from cbmon.integrations.asgi import CircuitBreakerMiddleware, ProtectedRoute
from cbmon.integrations.asyncpg import AsyncpgCircuitOpenError
from cbmon.integrations.asyncpg import connection_class as asyncpg_class
from cbmon.integrations.calls import run_async
from cbmon.integrations.grpc import AioCircuitOpenError, BreakerInterceptor, aio_interceptors
from cbmon.integrations.http_rules import HttpRules
from cbmon.integrations.httpx import AsyncBreakerTransport, BreakerTransport, HttpxCircuitOpenError
from cbmon.integrations.httpx2 import Httpx2CircuitOpenError
from cbmon.integrations.mcp import McpClient
from cbmon.integrations.psycopg import PsycopgCircuitOpenError, connection_class
from cbmon.integrations.redis import RedisCircuitOpenError, protect_redis
from cbmon.integrations.requests import BreakerAdapter
from cbmon.integrations.sqlalchemy import protect_engine
from cbmon.integrations.verdicts import NEUTRAL

KINDS: dict[Any, Any] = {
    AiohttpCircuitOpenError: aiohttp.ServerTimeoutError,
    AioCircuitOpenError: grpc.aio.AioRpcError,
    AsyncpgCircuitOpenError: asyncpg.PostgresError,
    HttpxCircuitOpenError: httpx.TimeoutException,
    Httpx2CircuitOpenError: httpx2.TimeoutException,
    PsycopgCircuitOpenError: psycopg.OperationalError,
    RedisCircuitOpenError: redis.TimeoutError,
}


@pytest.mark.parametrize("refusal", KINDS, ids=lambda refusal: refusal.__name__)
async def test_it_is_of_both_kinds_and_says_whose_limit_it_was(refusal: Any) -> None:
    breaker = CircuitBreaker("shop", call_timeout=0.01)
    with pytest.raises(TimeoutError) as caught:
        await run_async(breaker, refusal, lambda _: NEUTRAL, asyncio.sleep, 3600)
    error = caught.value
    assert isinstance(error, KINDS[refusal])
    assert "no answer within the 0.01 s of circuit breaker 'shop'" in str(error)
    assert type(pickle.loads(pickle.dumps(error))) is type(error)
    state = breaker.get_state()
    assert (breaker.counts.failures, breaker.counts.in_flight) == (1, 0)
    assert state["last_failure_reason"] == "timeout"


TAKERS: dict[str, Any] = {
    "httpx": BreakerTransport,
    "httpx async": AsyncBreakerTransport,
    "aiohttp": BreakerMiddleware,
    "requests": BreakerAdapter,
    "grpc": BreakerInterceptor,
    "grpc aio": aio_interceptors,
    "redis": lambda it: protect_redis(redis.Redis(), it),
    "sqlalchemy": lambda it: protect_engine(
        __import__("sqlalchemy").create_engine("sqlite://"), it
    ),
    "psycopg": connection_class,
    "asyncpg": asyncpg_class,
    "protect": lambda it: protect({}, it),
    "mcp": lambda it: McpClient({"a": "http://127.0.0.1:1/mcp"}, it),
}


@pytest.mark.parametrize("name", TAKERS)
@pytest.mark.parametrize("wrong", ["shop", None, 3, CircuitBreaker], ids=repr)
def test_what_is_no_breaker_is_refused_at_once(name: str, wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"breakers: .* is not allowed; expected a "):
        TAKERS[name](wrong)


@pytest.mark.parametrize("name", ["httpx", "requests", "grpc", "redis", "sqlalchemy", "psycopg"])
def test_a_limit_that_cannot_be_kept_is_a_warning(name: str) -> None:
    for breakers in (CircuitBreaker("x", call_timeout=2), BreakerRegistry(call_timeout=2)):
        with pytest.warns(
            BreakerWarning, match=r"call_timeout=2.0 does nothing for .*; use "
        ) as told:
            TAKERS[name](breakers)
        assert told[0].filename == __file__


@pytest.mark.parametrize("name", ["httpx async", "aiohttp", "grpc aio", "asyncpg"])
def test_one_that_can_be_kept_is_none(name: str) -> None:
    TAKERS[name](CircuitBreaker("x", call_timeout=2))


@pytest.mark.parametrize(("make", "message"), [
    (lambda: HttpRules(failure_statuses=500),  # type: ignore[arg-type]
     r"failure_statuses: 500 is not allowed; expected several statuses; did you mean \[500\]\?"),
    (lambda: HttpRules(retry_after_statuses=["429"]),  # type: ignore[arg-type]
     "retry_after_statuses: '429' is not allowed; expected a status as a number"),
    (lambda: protect({}, CircuitBreaker("x"), methods="get"), r"did you mean \['get'\]"),
    (lambda: protect({}, CircuitBreaker("x"), kind=3),  # type: ignore[arg-type]
     "kind: 3 is not allowed; expected an exception class"),
    (lambda: protect_redis("redis://a", CircuitBreaker("x")), "client: 'redis://a' is not"),
    (lambda: CircuitBreakerMiddleware(_app, routes=["/a"]),  # type: ignore[list-item]
     "routes: '/a' is not allowed; expected a ProtectedRoute"),
    (lambda: CircuitBreakerMiddleware(_app, routes=ProtectedRoute("/a")),  # type: ignore[arg-type]
     "routes: .* expected several ProtectedRoute"),
    (lambda: CircuitBreakerMiddleware(_app, [], registry="x"),  # type: ignore[arg-type]
     "registry: 'x' is not allowed; expected a BreakerRegistry or None"),
    (lambda: ProtectedRoute("/a", failure_treshold=3), "did you mean 'failure_threshold'"),
    (lambda: ProtectedRoute(3), "pattern: 3 is not allowed; expected a path"),  # type: ignore[arg-type]
], ids=range(10))  # fmt: skip
def test_other_wrong_arguments_are_refused_at_once(make: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make()


async def _app(*_: Any) -> None:
    """An application that answers nothing."""
