"""A ServicePool against Debian's own Redis and PostgreSQL: stopped, frozen and started again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import asyncpg
import pytest
import redis

from cbmon import CircuitOpenError, State
from cbmon.pool import ServicePool
from tests.integration.clients.conftest import Postgres, Redis, until

SETTINGS: dict[str, Any] = {"failure_threshold": 3, "recovery_timeout": "300ms"}


async def opened(pool: ServicePool, name: str, call: Callable[[], Any]) -> None:
    """Call until a call is rejected."""
    async with asyncio.timeout(60):
        with pytest.raises(CircuitOpenError):
            await _for_ever(call)
    assert name in pool.health()["services"]


async def _for_ever(call: Callable[[], Any]) -> None:
    while True:
        with suppress(OSError, redis.RedisError, asyncpg.PostgresError, TimeoutError):
            await call()


async def closed(pool: ServicePool, name: str, call: Callable[[], Any]) -> None:
    """Call until the breaker is closed again."""

    async def tried() -> bool:
        try:
            await call()
        except (OSError, CircuitOpenError, redis.RedisError, asyncpg.PostgresError, TimeoutError):
            await asyncio.sleep(0.05)
        return pool.service(name).breaker.state is State.CLOSED

    async with asyncio.timeout(30):
        while not await tried():
            continue
    assert pool.service(name).breaker.counts.in_flight == 0


@pytest.mark.parametrize("how", ["stop", "pause"])
async def test_redis_commands(redis_server: Redis, how: str) -> None:
    async with ServicePool() as pool:
        pool.register(
            "redis", url=f"redis://127.0.0.1:{redis_server.port}/0", call_timeout="1s", **SETTINGS
        )

        async def call() -> Any:
            return await pool.execute_redis_command("incr", f"calls-{how}")

        assert await call() == 1
        assert await pool.execute_redis_command("set", "text", "x") is True
        with pytest.raises(redis.ResponseError):
            await pool.execute_redis_command("incr", "text")
        assert pool.service("redis").breaker.counts.failures == 0
        getattr(redis_server, how)()
        await opened(pool, "redis", call)
        redis_server.start() if how == "stop" else redis_server.resume()
        await closed(pool, "redis", call)
        client = pool.service("redis").client
        await until(
            lambda: not client.connection_pool._in_use_connections, "connections to be back"
        )


@pytest.mark.parametrize("how", ["stop", "pause"])
async def test_database_queries(postgres_server: Postgres, how: str) -> None:
    async with ServicePool() as pool:
        pool.register("database", url=postgres_server.dsn, call_timeout="1s", **SETTINGS)

        async def call() -> Any:
            return await pool.execute_db_query("select $1::int + 1", 41, fetch_one=True)

        assert (await call())[0] == 42
        assert await pool.execute_db_query("create table kept (id int primary key)", fetch=False)
        assert await pool.execute_db_query("insert into kept values (1)", fetch=False)
        with pytest.raises(asyncpg.UniqueViolationError):
            await pool.execute_db_query("insert into kept values (1)", fetch=False)
        assert [tuple(row) for row in await pool.execute_db_query("select * from kept")] == [(1,)]
        assert pool.service("database").breaker.counts.failures == 0
        getattr(postgres_server, how)()
        try:
            await opened(pool, "database", call)
            client = pool.service("database").client
            await until(lambda: client.get_idle_size() == client.get_size(), "its connections")
        finally:
            postgres_server.start() if how == "stop" else postgres_server.resume()
        await closed(pool, "database", call)
        assert await pool.execute_db_query("drop table kept", fetch=False)
        await until(lambda: client.get_idle_size() == client.get_size(), "connections to be back")
