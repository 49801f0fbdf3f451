"""Database clients behind a breaker, against a PostgreSQL that is stopped, paused and restarted.

Rule: an answer is a success whatever it says; code that catches the client's own exceptions goes
on as it was; every connection goes back to its pool.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import pytest

from cbmon import BreakerRegistry, CircuitBreaker, CircuitOpenError
from cbmon.integrations import asyncpg as our_asyncpg
from tests.integration.clients.conftest import Postgres, traffic, until
from tests.integration.clients.databases import BOUNDED_READS, CANCELLABLE, EVERY, Database
from tests.integration.harness.processes import slowness


def each(kinds: Any) -> Any:
    return [pytest.param(kind, id=kind.__name__) for kind in kinds]


@pytest.fixture(params=each(EVERY))
async def database(
    request: pytest.FixtureRequest, postgres_server: Postgres, breaker: CircuitBreaker
) -> AsyncIterator[Database]:
    one: Database = request.param()
    one.server = postgres_server
    await one.open(postgres_server, breaker)
    await one.run("create table if not exists items (id int primary key)")
    await one.run("truncate items")
    yield one
    await one.close()


async def test_connections_statements_and_commits_are_calls(
    database: Database, breaker: CircuitBreaker
) -> None:
    before = breaker.counts.calls
    assert await database.run("select 42") == 42
    assert await database.run("insert into items values (1)") is None
    counts = breaker.counts
    assert counts.calls >= before + 3
    assert (counts.failures, counts.in_flight) == (0, 0)


async def test_what_the_database_refuses_is_an_answer(
    database: Database, breaker: CircuitBreaker
) -> None:
    await database.run("insert into items values (1)")
    for _ in range(4):
        with pytest.raises(database.unique):
            await database.run("insert into items values (1)")
        with pytest.raises(Exception, match="nowhere"):
            await database.run("select * from nowhere")
    assert (breaker.counts.failures, str(breaker.state)) == (0, "closed")
    assert await database.in_use() == 0


async def test_unchanged_code_catches_the_rejection(
    database: Database, breaker: CircuitBreaker
) -> None:
    breaker.force_open()
    with pytest.raises(database.errors) as caught:
        await database.run("select 1")
    assert await database.in_use() == 0
    rejected = _rejection(caught.value)
    assert rejected is None or isinstance(rejected, database.kind)
    breaker.reset()
    assert await database.run("select 1") == 1


async def test_a_server_that_is_gone_opens_it_and_one_that_is_back_closes_it(
    database: Database, breaker: CircuitBreaker, postgres_server: Postgres
) -> None:
    postgres_server.stop()
    errors = await traffic(lambda: database.run("select 1"), breaker, "open")
    assert all(isinstance(error, database.errors) for error in errors), errors
    assert breaker.counts.failures >= 3
    postgres_server.start()
    await traffic(lambda: database.run("select 1"), breaker, "closed")
    assert await database.run("select 1") == 1
    assert await database.in_use() == 0


@pytest.mark.parametrize("kind", each(BOUNDED_READS))
async def test_a_paused_server_is_a_failure_by_timeout(
    kind: Any, breaker: CircuitBreaker, postgres_server: Postgres
) -> None:
    database: Database = kind()
    await database.open(postgres_server, breaker)
    await database.run("select 1")
    postgres_server.pause()
    try:
        await traffic(lambda: database.run("select 1"), breaker, "open")
    finally:
        postgres_server.resume()
    await traffic(lambda: database.run("select 1"), breaker, "closed")
    await database.close()


async def test_a_statement_that_the_server_gives_up_is_a_failure(
    database: Database, breaker: CircuitBreaker
) -> None:
    await database.run("alter role shop set statement_timeout = 30")
    try:
        fresh: Database = type(database)()
        await fresh.open(database.server, breaker)
        for _ in range(2):
            with pytest.raises(Exception, match="statement timeout"):
                await fresh.run("select pg_sleep(5)")
        await fresh.close()
    finally:
        await database.run("alter role shop reset statement_timeout")
    assert breaker.counts.failures == 2


@pytest.mark.parametrize("kind", each(CANCELLABLE))
async def test_a_cancelled_statement_says_nothing(kind: Any, postgres_server: Postgres) -> None:
    breaker = CircuitBreaker("cancel", failure_threshold=1)
    database: Database = kind()
    await database.open(postgres_server, breaker)
    await database.run("select 1")
    task = asyncio.create_task(database.run("select pg_sleep(0.3)"))
    await until(lambda: breaker.counts.in_flight, "the statement to run")
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await database.run("select 1") == 1
    counts = breaker.counts
    assert (counts.cancelled, counts.failures, counts.in_flight) == (1, 0, 0)
    assert await database.in_use() == 0
    await database.close()


async def test_a_registry_gives_each_server_its_breaker(postgres_server: Postgres) -> None:
    for kind in EVERY:
        registry = BreakerRegistry(failure_threshold=2)
        database: Database = kind()
        await database.open(postgres_server, registry)
        await database.run("select 1")
        assert list(registry.states()) == [f"127.0.0.1:{postgres_server.port}/shop"]
        await database.close()


@pytest.mark.parametrize("calls", [500, pytest.param(10_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", each(CANCELLABLE))
async def test_nothing_leaks_in_many_mixed_calls(
    kind: Any, postgres_server: Postgres, calls: int
) -> None:
    breaker = CircuitBreaker("mixed", failure_threshold=1000)
    database: Database = kind()
    database.seconds = 60
    await database.open(postgres_server, breaker)
    await database.run("create table if not exists items (id int primary key)")
    draw = random.Random(7)

    async def worker() -> None:
        for _ in range(calls // 5):
            task = asyncio.ensure_future(_one(database, draw.random()))
            if draw.random() < 0.05:
                await asyncio.sleep(0.001)
                task.cancel()
            await asyncio.wait([task])
            assert task.cancelled() or task.exception() is None

    await asyncio.gather(*(worker() for _ in range(5)))
    assert (breaker.counts.in_flight, breaker.counts.failures) == (0, 0)
    assert breaker.counts.calls > calls
    await asyncio.sleep(0.1)  # psycopg's pool takes connections back in a task of its own
    assert await database.in_use() == 0
    assert await database.run("select 1") == 1
    await database.close()


async def _one(database: Database, kind: float) -> None:
    if kind < 0.6:
        await database.run("select 1")
    elif kind < 0.8:
        await database.run("insert into items values (1) on conflict do nothing")
    else:
        with pytest.raises(Exception, match=r"."):
            await database.run("select 1 / 0")


@pytest.mark.parametrize("how", ["call_timeout", "cancelled"])
async def test_a_frozen_server_keeps_no_connection_of_asyncpgs_pool(
    postgres_server: Postgres, how: str
) -> None:
    """Without ``command_timeout`` asyncpg's own pool waits for the cancellation for ever."""
    policy: dict[str, Any] = {"call_timeout": 0.3} if how == "call_timeout" else {}
    breaker = CircuitBreaker("frozen", failure_threshold=1000, **policy)
    pool = await our_asyncpg.create_pool(breaker, postgres_server.dsn, min_size=0, max_size=3)

    async def transaction() -> Any:
        async with pool.acquire() as connection, connection.transaction():
            return await connection.fetchval("select 1")

    async def ended(call: Callable[[], Any]) -> None:
        with pytest.raises((TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)):
            async with asyncio.timeout(0.3 if how == "cancelled" else None):
                await call()

    await asyncio.gather(*(transaction() for _ in range(3)))
    assert pool.get_size() == 3
    begun = time.monotonic()
    postgres_server.pause()
    try:
        async with asyncio.timeout(30 * slowness()):
            await asyncio.gather(
                ended(transaction), ended(transaction), ended(lambda: pool.fetchval("select 1"))
            )
        await until(lambda: pool.get_size() == pool.get_idle_size() == 0, "places to be free")
    finally:
        postgres_server.resume()
    assert time.monotonic() - begun < 8 * slowness()
    assert await asyncio.gather(*(transaction() for _ in range(3))) == [1, 1, 1]
    assert breaker.counts.in_flight == 0
    await pool.close()


async def test_a_rollback_ends_although_the_breaker_is_open_and_the_server_frozen(
    postgres_server: Postgres,
) -> None:
    breaker = CircuitBreaker("frozen", call_timeout=0.3)
    connection = await our_asyncpg.connect(breaker, postgres_server.dsn)
    transaction = connection.transaction()
    await transaction.start()
    postgres_server.pause()
    try:
        breaker.force_open()
        async with asyncio.timeout(10 * slowness()):
            with pytest.raises(our_asyncpg.AsyncpgCallTimeoutError):
                await transaction.rollback()
    finally:
        postgres_server.resume()
    assert breaker.counts.in_flight == 0
    await connection.close(timeout=5)


async def test_a_frozen_server_keeps_no_connection_when_one_is_given_back(
    postgres_server: Postgres,
) -> None:
    breaker = CircuitBreaker("frozen")
    pool = await our_asyncpg.create_pool(breaker, postgres_server.dsn, min_size=0, max_size=1)
    connection = await pool.acquire()
    assert await connection.fetchval("select 1") == 1
    postgres_server.pause()
    try:
        async with asyncio.timeout(10 * slowness()):
            with pytest.raises(asyncpg.PostgresError, match="take the connection back in time"):
                await pool.release(connection)
    finally:
        postgres_server.resume()
    assert pool.get_size() == 0
    assert await pool.fetchval("select 1") == 1
    await pool.close()


def _rejection(error: BaseException | None) -> BaseException | None:
    while error is not None and not isinstance(error, CircuitOpenError):
        error = error.__cause__
    return error
