"""Servers that are stopped, frozen and started again while many tasks use them.

Rule: nobody sees an error that the bare client does not raise; the breaker opens and closes again;
no permit and no connection is left behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Self

import pytest
import redis
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from cbmon import CircuitBreaker, CircuitOpenError
from cbmon.integrations.redis import protect_redis
from tests.integration.clients.conftest import Postgres, Redis, until
from tests.integration.clients.databases import Asyncpg, Database, SqlalchemyAsyncpg
from tests.integration.harness.processes import slowness

WORKERS = 8


class Traffic:
    """Workers that call until they are told to stop; errors of the kinds given are expected."""

    def __init__(
        self, call: Callable[[], Awaitable[Any]], errors: tuple[type[BaseException], ...]
    ) -> None:
        self.done = self.refused = self.failed = 0
        self._call, self._errors = call, errors
        self._stopping = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._work()) for _ in range(WORKERS)]
        return self

    async def __aexit__(self, *_ending: object) -> None:
        self._stopping.set()
        await asyncio.gather(*self._tasks)

    async def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._call()
            except self._errors as error:
                self.failed += 1
                self.refused += isinstance(error, CircuitOpenError)
                await asyncio.sleep(0.005)
            else:
                self.done += 1

    async def goes_on(self) -> None:
        before = self.done
        await until(lambda: self.done > before + 20, "calls to succeed", 30)


def opening() -> CircuitBreaker:
    return CircuitBreaker("server", failure_threshold=5, recovery_timeout=0.1)


async def outage(breaker: CircuitBreaker, traffic: Traffic, start: Callable[[], None]) -> None:
    """The breaker opens, refuses, and closes again when the server is back."""
    trips = breaker.counts.trips
    await until(lambda: breaker.counts.trips > trips, "the breaker to open", 30)
    refused = traffic.refused
    await until(lambda: traffic.refused > refused, "calls to be refused", 30)
    await asyncio.to_thread(start)
    await until(lambda: str(breaker.state) == "closed", "the breaker to close", 30)
    await traffic.goes_on()


async def test_redis_is_stopped_and_frozen_under_traffic(redis_server: Redis) -> None:
    breaker, patience = opening(), 0.3 * slowness()
    client = protect_redis(
        redis.asyncio.Redis(
            port=redis_server.port,
            socket_timeout=patience,
            socket_connect_timeout=patience,
            retry=Retry(NoBackoff(), 0),
        ),
        breaker,
    )
    errors = (redis.ConnectionError, redis.TimeoutError)
    async with Traffic(lambda: client.incr("n"), errors) as traffic:
        await traffic.goes_on()
        redis_server.stop()
        await outage(breaker, traffic, redis_server.start)
        redis_server.pause()
        await outage(breaker, traffic, redis_server.resume)
    assert breaker.counts.in_flight == 0
    assert len(client.connection_pool._in_use_connections) == 0
    await client.aclose()


@pytest.mark.parametrize("kind", [Asyncpg, SqlalchemyAsyncpg])
async def test_postgres_is_stopped_and_frozen_under_traffic(
    kind: type[Database], postgres_server: Postgres
) -> None:
    breaker, database = opening(), kind()
    await database.open(postgres_server, breaker)
    errors = (*database.errors, TimeoutError)
    async with Traffic(lambda: database.run("select 1"), errors) as traffic:
        await traffic.goes_on()
        await asyncio.to_thread(postgres_server.stop)
        await outage(breaker, traffic, postgres_server.start)
        postgres_server.pause()
        await outage(breaker, traffic, postgres_server.resume)
    assert breaker.counts.in_flight == 0
    assert await database.in_use() == 0
    await database.close()
