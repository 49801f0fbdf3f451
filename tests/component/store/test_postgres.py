"""PostgreSQL: the writing session holds the lock, and a restart of the server is survived."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from cbmon.errors import LockedError, MissingExtraError, StoreError
from cbmon.events import Transition
from cbmon.interfaces import Commit
from cbmon.store import open_store

MakeMove = Callable[..., Transition]


@pytest.fixture(params=["postgres"])
def url(request: pytest.FixtureRequest, postgres: str) -> str:
    with psycopg.connect(postgres, autocommit=True) as connection:
        name = f"own{abs(hash(request.node.name))}"
        connection.execute(f"CREATE DATABASE {name}".encode())
    return postgres.replace("/postgres?", f"/{name}?")


async def test_a_second_daemon_is_refused_and_told_who_has_it(url: str) -> None:
    first, second = open_store(url), open_store(url)
    await first.open()
    with pytest.raises(LockedError, match=r"in use by the daemon of backend process \d+"):
        await second.open()
    await first.close()
    await second.open()
    await second.close()


async def test_a_lost_connection_is_one_error_and_then_made_anew(url: str, move: MakeMove) -> None:
    store = open_store(url)
    await store.open()
    await store.commit(Commit(transitions=[move()]))
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE application_name = 'cbmon' AND datname = current_database()"
        )
    try:
        await store.commit(Commit(transitions=[move()]))
    except StoreError:
        await store.commit(Commit(transitions=[move()]))
    assert len(await store.transitions()) == 2
    await store.close()


async def test_durable_commits_wait_for_the_servers_disk(url: str) -> None:
    store: Any = open_store(url)
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("ALTER ROLE cbmon SET synchronous_commit = off")
    await store.open()

    def setting(connection: Any) -> Any:
        return connection.exec_driver_sql("SHOW synchronous_commit").scalar()

    assert await store._write(setting, durable=True) == "on"
    assert await store._write(setting, durable=False) == "off"
    assert await store._write(setting, durable=True) == "on"
    await store.close()


async def test_a_server_that_is_not_there_is_named_without_the_password() -> None:
    store = open_store("postgresql://cbmon:hunter2@127.0.0.1:1/cbmon")
    with pytest.raises(StoreError, match="check that the server runs") as caught:
        await store.open()
    assert "hunter2" not in str(caught.value)
    assert "127.0.0.1:1/cbmon" in str(caught.value)


async def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_psycopg(name: str, *args: Any) -> Any:
        if name == "psycopg":
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", without_psycopg)
    with pytest.raises(MissingExtraError, match=r"cbmon\[postgres\]"):
        await open_store("postgresql://127.0.0.1/cbmon").open()
