"""psycopg, asyncpg and SQLAlchemy in the corners: transactions, COPY, cursors, prepared statements.

Rule: what ends a transaction is never refused; the parts of a statement are no calls of their own;
a refused transaction leaves its connection as it was.
"""

from __future__ import annotations

from typing import Any

import asyncpg
import psycopg
import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

from cbmon import CircuitBreaker, CircuitOpenError
from cbmon.integrations import asyncpg as our_asyncpg
from cbmon.integrations import psycopg as our_psycopg
from cbmon.integrations.sqlalchemy import protect_engine
from tests.integration.clients.conftest import Postgres


@pytest.fixture
def steady() -> CircuitBreaker:
    return CircuitBreaker("server", recovery_timeout=600)


def calls(breaker: CircuitBreaker) -> int:
    return breaker.counts.calls


def test_psycopg_ends_a_transaction_whose_breaker_has_opened(
    postgres_server: Postgres, steady: CircuitBreaker
) -> None:
    with our_psycopg.connection_class(steady).connect(postgres_server.dsn) as connection:
        connection.execute("create table if not exists ends (id int)")
        connection.commit()
        with connection.transaction():
            connection.execute("insert into ends values (1)")
            steady.force_open()
        steady.reset()
        connection.execute("insert into ends values (2)")
        steady.force_open()
        with pytest.raises(psycopg.OperationalError) as caught:
            connection.execute("insert into ends values (3)")
        assert isinstance(caught.value, CircuitOpenError)
        connection.rollback()
        steady.reset()
        assert connection.execute("select array_agg(id) from ends").fetchone() == ([1],)
        connection.execute("drop table ends")


def test_psycopg_counts_a_copy_and_a_stream_as_one_statement(
    postgres_server: Postgres, steady: CircuitBreaker
) -> None:
    guarded = our_psycopg.connection_class(steady)
    with guarded.connect(postgres_server.dsn, autocommit=True) as connection:
        connection.execute("create temp table bulk (id int)")
        before = calls(steady)
        with connection.cursor() as cursor, cursor.copy("copy bulk from stdin") as copy:
            for number in range(100):
                copy.write_row((number,))
        assert calls(steady) - before <= 2
        before = calls(steady)
        with connection.cursor() as cursor:
            assert len(list(cursor.stream("select id from bulk"))) == 100
        with connection.cursor() as cursor, cursor.copy("copy bulk to stdout") as copy:
            assert len(list(copy.rows())) == 100
        assert calls(steady) - before <= 2
        with connection.transaction(), connection.cursor(name="named") as named:
            named.itersize = 10
            before = calls(steady)
            named.execute("select id from bulk")
            assert len(list(named)) == 100
            assert calls(steady) - before <= 2


def test_psycopg_waits_for_notifications_without_a_permit(
    postgres_server: Postgres, steady: CircuitBreaker
) -> None:
    guarded = our_psycopg.connection_class(steady)
    with guarded.connect(postgres_server.dsn, autocommit=True) as connection:
        connection.execute("listen news")
        before = steady.counts
        assert list(connection.notifies(timeout=0.05)) == []
        connection.execute("notify news, 'tea'")
        assert [note.payload for note in connection.notifies(timeout=1, stop_after=1)] == ["tea"]
        after = steady.counts
    assert (after.calls - before.calls, after.failures, after.ignored) == (1, 0, 0)


def test_psycopgs_pipeline_and_settings_pass(
    postgres_server: Postgres, steady: CircuitBreaker
) -> None:
    with our_psycopg.connection_class(steady).connect(postgres_server.dsn) as connection:
        connection.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        with connection.pipeline():
            first = connection.execute("select 1")
            second = connection.execute("select 2")
            assert (first.fetchone(), second.fetchone()) == ((1,), (2,))
        with connection.cursor() as cursor:
            cursor.executemany("select %s", [(1,), (2,)])
    assert (steady.counts.failures, steady.counts.in_flight) == (0, 0)


async def test_asyncpg_ends_a_transaction_whose_breaker_has_opened(
    postgres_server: Postgres, steady: CircuitBreaker
) -> None:
    pool = await our_asyncpg.create_pool(steady, postgres_server.dsn, min_size=1, max_size=1)
    async with pool.acquire() as connection:
        await connection.execute("create table if not exists ends (id int)")
        async with connection.transaction():
            await connection.execute("insert into ends values (1)")
            steady.force_open()
        steady.reset()

        async def broken_off() -> None:
            async with connection.transaction():
                await connection.execute("insert into ends values (2)")
                steady.force_open()
                await connection.execute("insert into ends values (3)")

        with pytest.raises(asyncpg.PostgresConnectionError) as caught:
            await broken_off()
        assert caught.value.sqlstate == "08000"
        assert isinstance(caught.value, CircuitOpenError)
        pid = connection.get_server_pid()
    steady.reset()
    async with pool.acquire() as connection:
        assert connection.get_server_pid() == pid, "the connection went back to the pool"
        assert await connection.fetch("select id from ends") == [(1,)]
        await connection.execute("drop table ends")
    await pool.close()


async def test_asyncpgs_connection_is_usable_after_a_refused_transaction(
    postgres_server: Postgres, steady: CircuitBreaker
) -> None:
    connection = await our_asyncpg.connect(steady, postgres_server.dsn)
    steady.force_open()
    with pytest.raises(CircuitOpenError):
        async with connection.transaction():
            pytest.fail("it was refused")
    steady.reset()
    async with connection.transaction():
        assert await connection.fetchval("select 1") == 1
    async with connection.transaction(), connection.transaction():
        assert await connection.fetchval("select 1") == 1
    await connection.close()


async def test_asyncpgs_statements_of_every_kind_are_calls(
    postgres_server: Postgres, steady: CircuitBreaker
) -> None:
    connection = await our_asyncpg.connect(steady, postgres_server.dsn)
    await connection.execute("create temp table bulk (id int)")
    ways: list[Any] = [
        lambda: connection.executemany("insert into bulk values ($1)", [(1,), (2,)]),
        lambda: connection.copy_records_to_table("bulk", records=[(3,)]),
        lambda: connection.fetchrow("select 1"),
        lambda: connection.prepare("select id from bulk where id = $1"),
    ]
    for way in ways:
        before = calls(steady)
        prepared = await way()
        assert calls(steady) - before == 1
    before = calls(steady)
    assert await prepared.fetchval(3) == 3
    assert calls(steady) - before == 1
    steady.force_open()
    for refused in (lambda: prepared.fetch(3), *ways):
        with pytest.raises(CircuitOpenError):
            await refused()
    assert not connection.is_in_transaction()
    steady.reset()
    await connection.close()


@pytest.mark.parametrize("url", ["postgresql+asyncpg", "postgresql+psycopg"])
async def test_sqlalchemy_ends_a_transaction_whose_breaker_has_opened(
    postgres_server: Postgres, steady: CircuitBreaker, url: str
) -> None:
    engine = protect_engine(
        create_async_engine(postgres_server.dsn.replace("postgresql", url), pool_size=1), steady
    )
    text = sqlalchemy.text
    async with engine.begin() as connection:
        await connection.execute(text("create table if not exists ends (id int)"))
        await connection.execute(text("insert into ends values (1)"))
        steady.force_open()
    steady.reset()

    async def broken_off() -> None:
        async with engine.begin() as connection:
            await connection.execute(text("insert into ends values (2)"))
            steady.force_open()
            await connection.execute(text("insert into ends values (3)"))

    with pytest.raises(sqlalchemy.exc.OperationalError) as caught:
        await broken_off()
    assert not caught.value.connection_invalidated
    assert isinstance(caught.value, CircuitOpenError)
    steady.reset()
    async with engine.begin() as connection:
        assert (await connection.execute(text("select id from ends"))).all() == [(1,)]
        await connection.execute(text("drop table ends"))
    await engine.dispose()


async def test_sqlalchemy_guards_many_rows_and_the_orm(
    postgres_server: Postgres, steady: CircuitBreaker
) -> None:
    url = postgres_server.dsn.replace("postgresql", "postgresql+psycopg")
    engine = protect_engine(sqlalchemy.create_engine(url), steady)
    table = sqlalchemy.Table(
        "rows_of_many", sqlalchemy.MetaData(), sqlalchemy.Column("id", sqlalchemy.Integer)
    )
    with engine.begin() as connection:
        table.create(connection, checkfirst=True)
        before = calls(steady)
        connection.execute(table.insert(), [{"id": number} for number in range(10)])
        assert calls(steady) - before == 1
        returned = connection.execute(
            table.insert().returning(table.c.id), [{"id": number} for number in range(10)]
        )
        assert len(returned.all()) == 10
        steady.force_open()
        with pytest.raises(sqlalchemy.exc.OperationalError):
            connection.execute(table.insert(), [{"id": 1}, {"id": 2}])
        steady.reset()
        table.drop(connection)
    engine.dispose()
