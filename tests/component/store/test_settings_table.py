"""A table that people may edit: every change is counted, none is overwritten unseen."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import make_url

from cbmon.events import Action
from cbmon.interfaces import Store
from cbmon.store import listening


def action(number: int = 1, **fields: Any) -> Action:
    values: dict[str, Any] = {
        "id": f"a{number}",
        "at": 1000.0 + number,
        "component": "api",
        "action": "change_settings",
        "actor": "ada",
    }
    return Action(**(values | fields))


def edit(url: str, statement: str) -> None:
    """What another program does to the table."""
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite://"), timeout=5.0) as connection:
            connection.execute(statement)
        connection.close()
        return
    import psycopg

    with psycopg.connect(url) as other:
        other.execute(statement.encode())


async def test_there_is_a_row_for_the_defaults_from_the_start(store: Store) -> None:
    state = await store.settings.load()
    assert {name: dict(row.fields) for name, row in state.rows.items()} == {"*": {}}
    assert (state.version, dict(state.in_force)) == (0, {})


async def test_a_change_is_a_row_and_in_force_and_on_record(store: Store) -> None:
    version = await store.settings.change(
        "api", {"failure_threshold": "3"}, action=action(), expected=0
    )
    state = await store.settings.load()
    assert version == state.version == await store.settings.version()
    assert state.version > 0
    assert state.rows["api"].fields == {"failure_threshold": "3"}
    assert state.rows["api"].changed_by == "ada"
    assert state.rows["api"].changed_at is not None
    assert state.in_force == {"api": {"failure_threshold": "3"}}
    assert [row["id"] for row in await store.audit()] == ["a1"]


async def test_a_change_from_an_old_version_changes_nothing(store: Store) -> None:
    await store.settings.change("api", {"kind": "time"}, action=action(1), expected=0)
    done = await store.settings.change("api", {"kind": "count"}, action=action(2), expected=0)
    assert done is None
    assert (await store.settings.load()).rows["api"].fields == {"kind": "time"}
    assert len(await store.audit()) == 1


async def test_taking_settings_away_takes_the_row_away(store: Store) -> None:
    version = await store.settings.change("api", {"kind": "time"}, action=action(1), expected=0)
    assert version
    assert await store.settings.change("api", None, action=action(2), expected=version)
    state = await store.settings.load()
    assert "api" not in state.rows
    assert "api" not in state.in_force


async def test_an_edit_by_another_program_is_counted_but_not_in_force(
    store: Store, url: str
) -> None:
    edit(url, "INSERT INTO breaker_settings (component, failure_threshold) VALUES ('api', 3)")
    edit(url, "UPDATE breaker_settings SET recovery_timeout = '9s' WHERE component = 'api'")
    state = await store.settings.load()
    assert state.version >= 2
    assert state.rows["api"].fields == {"failure_threshold": "3", "recovery_timeout": "9s"}
    assert state.in_force == {}
    before = state.version
    edit(url, "DELETE FROM breaker_settings WHERE component = 'api'")
    assert await store.settings.version() > before


async def test_what_was_accepted_of_an_edit_is_in_force(store: Store) -> None:
    await store.settings.accept({"api": {"kind": "time"}, "*": None}, [action(1), action(2)])
    assert (await store.settings.load()).in_force == {"api": {"kind": "time"}}
    await store.settings.accept({"api": None}, [])
    assert (await store.settings.load()).in_force == {}
    assert len(await store.audit()) == 2


async def test_a_server_tells_of_an_edit_at_once_and_a_file_tells_nothing(
    store: Store, url: str
) -> None:
    notices = store.settings.notices()
    if url.startswith("sqlite"):
        assert [notice async for notice in notices] == []
        return
    async with asyncio.timeout(10.0):
        await anext(notices)  # it listens
        await asyncio.to_thread(edit, url, "UPDATE breaker_settings SET kind = 'time'")
        await anext(notices)
        await store.settings.change("api", {"kind": "time"}, action=action(), expected=1)
        await anext(notices)
    await notices.aclose()


async def test_a_server_that_is_gone_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("psycopg")
    waits: list[float] = []

    async def no_wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            raise asyncio.CancelledError

    monkeypatch.setattr("cbmon.store.listening.asyncio.sleep", no_wait)
    url = make_url("postgresql+psycopg://cbmon@/nothing?host=/nowhere")
    with pytest.raises(asyncio.CancelledError):
        await anext(listening.notices(url))
    assert waits == [listening.AGAIN] * 3


@pytest.mark.parametrize("key", ["null", "x'00ff'"])
async def test_a_row_that_a_hand_put_in_without_a_name_is_left_aside(
    store: Store, url: str, key: str
) -> None:
    import psycopg

    with suppress(psycopg.errors.NotNullViolation):  # SQLite lets both in
        edit(url, f"insert into breaker_settings (component, failure_threshold) values ({key}, 3)")
    state = await store.settings.load()
    named = set() if url.startswith("sqlite") or key == "null" else {"0000000011111111"}
    assert set(state.rows) == {"*"} | named
