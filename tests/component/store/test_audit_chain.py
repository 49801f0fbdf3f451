"""The audit log is a chain: what was edited, removed or put in shows, at the first wrong row."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from cbmon.errors import StoreError
from cbmon.events import Action
from cbmon.interfaces import Commit, Store
from cbmon.keeping import EventFilter
from cbmon.store import open_store
from cbmon.store.chain import ANCHOR, HEAD
from cbmon.store.inspection import verify_database
from cbmon.store.migrations import FIRST, NOTIFYING, migrate
from cbmon.store.url import backend_of

INSERT = "INSERT INTO audit (id, at, component, action, actor, text, seq, hash)"


def actions(count: int, first: int = 1) -> list[Action]:
    return [
        Action(
            id=f"a{number:04}",
            at=1000.0 + number,
            component="api",
            action="open",
            actor="ada",
            text=f"because \0 of {number} ünïcödé \ud800",
            refused="no" if number % 3 == 0 else None,
            request="r1",
            details={"for_seconds": 1.5, "text": "ä\0"},
        )
        for number in range(first, first + count)
    ]


async def filled(store: Store, count: int = 6) -> None:
    for one in actions(count):
        await store.commit(Commit(actions=[one]))


def tamper(url: str, *statements: str) -> None:
    backend = backend_of(url)
    if url.startswith("sqlite"):
        with sqlite3.connect(backend.where, timeout=5.0) as connection:
            for statement in statements:
                connection.execute(statement)
        connection.close()
        return
    import psycopg

    with psycopg.connect(url) as other:
        for statement in statements:
            other.execute(statement.encode())


async def test_an_empty_record_is_whole(store: Store) -> None:
    report = await store.record.verify()
    assert (report["ok"], report["rows"], report["head"]) == (True, 0, f"0:{'0' * 64}")


async def test_a_record_is_whole_whatever_text_is_in_it(store: Store) -> None:
    await filled(store)
    report = await store.record.verify()
    assert (report["ok"], report["rows"], report["broken"]) == (True, 6, None)
    assert report["head"].startswith("6:")


async def test_the_hash_is_the_documented_one(store: Store) -> None:
    await filled(store, 2)
    rows = [dict(row) for row in reversed(await store.audit())]
    before = "0" * 64
    names = ["seq", "id", "at", "component", "action", "actor", "text"]
    names += ["refused", "request", "details"]
    for row in rows:
        content = json.dumps([row[name] for name in names], separators=(",", ":"))
        before = hashlib.sha256(f"{before}\n{content}".encode()).hexdigest()
        assert row["hash"] == before


async def test_writing_an_action_again_adds_nothing(store: Store) -> None:
    await store.commit(Commit(actions=actions(3)))
    await store.commit(Commit(actions=[*actions(3), *actions(1, first=4)]))
    report = await store.record.verify()
    assert (report["ok"], report["rows"]) == (True, 4)


@pytest.mark.parametrize(
    ("statement", "seq", "why"),
    [
        ("UPDATE audit SET actor = 'eve' WHERE seq = 3", 3, "its content"),
        ("UPDATE audit SET refused = NULL WHERE seq = 3", 3, "its content"),
        ("UPDATE audit SET details = '{}' WHERE seq = 5", 5, "its content"),
        ("UPDATE audit SET at = at + 0.001 WHERE seq = 2", 2, "its content"),
        ("DELETE FROM audit WHERE seq = 4", 4, "this row is missing"),
        ("DELETE FROM audit WHERE seq = 1", 1, "this row is missing"),
        ("DELETE FROM audit WHERE seq = 6", 6, "the newest rows are missing"),
        ("DELETE FROM audit", 1, "the newest rows are missing"),
        (
            f"{INSERT} VALUES ('x', 1.0, 'api', 'open', 'eve', '', 0, 'x')",
            0,
            "put in here",
        ),
        (
            f"{INSERT} VALUES ('x', 1.0, 'api', 'open', 'eve', '', 7, 'x')",
            7,
            "its content",
        ),
        ("UPDATE audit SET hash = 'x' WHERE seq = 6", 6, "its content"),
        (f"DELETE FROM meta WHERE key = '{HEAD}'", 6, "the head is not"),
        (f"UPDATE meta SET value = '3:{'0' * 64}' WHERE key = '{ANCHOR}'", 1, "put in here"),
    ],
)
async def test_the_first_broken_row_is_told(
    tmp_path: Path, statement: str, seq: int, why: str
) -> None:
    url = f"sqlite://{tmp_path}/cbmon.db"
    store = open_store(url)
    await store.open()
    await filled(store)
    tamper(url, statement)
    report = await store.record.verify()
    await store.close()
    assert report["ok"] is False
    assert report["broken"]["seq"] == seq
    assert why in report["broken"]["why"]


async def test_a_broken_row_is_found_before_those_behind_it_are_read(
    store: Store, url: str
) -> None:
    for first in range(1, 1201, 300):
        await store.commit(Commit(actions=actions(300, first=first)))
    tamper(url, "UPDATE audit SET actor = 'eve' WHERE seq = 7")
    assert (await store.record.verify())["broken"]["seq"] == 7
    tamper(url, "UPDATE audit SET actor = 'ada' WHERE seq = 7")
    assert (await store.record.verify())["rows"] == 1200


async def test_what_the_retention_dropped_is_no_break(store: Store) -> None:
    await filled(store)
    assert await store.prune(before=1004.0) == 3
    report = await store.record.verify()
    assert (report["ok"], report["rows"], report["first_seq"]) == (True, 3, 4)
    await store.commit(Commit(actions=actions(1, first=7)))
    assert await store.prune(before=2000.0) == 4
    await store.commit(Commit(actions=actions(1, first=8)))
    report = await store.record.verify()
    assert (report["ok"], report["rows"], report["first_seq"]) == (True, 1, 8)


async def test_the_retention_makes_no_gap_when_the_clock_went_back(store: Store) -> None:
    young = dataclasses.replace(actions(1)[0], at=5000.0)
    await store.commit(Commit(actions=[young, *actions(3, first=2)]))
    assert await store.prune(before=2000.0) == 0
    assert (await store.record.verify())["ok"]


async def test_a_database_is_verified_without_a_daemon(store: Store, url: str) -> None:
    await filled(store, 3)
    noted = (await store.record.verify())["head"]
    await store.commit(Commit(actions=actions(2, first=4)))
    assert verify_database(url)["rows"] == 5
    assert verify_database(url, noted)["ok"]
    forged = verify_database(url, f"3:{'a' * 64}")
    assert (forged["ok"], forged["broken"]["seq"]) == (False, 3)
    gone = verify_database(url, f"9:{'a' * 64}")
    assert gone["broken"]["why"] == "the row is missing"
    tamper(url, "UPDATE audit SET actor = 'eve' WHERE seq = 2")
    assert verify_database(url)["broken"]["seq"] == 2


def test_what_is_no_database_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no database"):
        verify_database(str(tmp_path / "nothing.db"))
    (tmp_path / "text.db").write_text("hello, this is no database at all" * 100)
    with pytest.raises(StoreError, match="cannot be read as a store"):
        verify_database(str(tmp_path / "text.db"))
    with pytest.raises(ValueError, match="expected NUMBER:HASH"):
        verify_database(str(tmp_path / "text.db"), "12:zz")


def test_actions_from_before_the_chain_are_chained(url: str) -> None:
    backend = backend_of(url)
    backend.open()
    identifier = "TEXT" if url.startswith("sqlite") else 'TEXT COLLATE "C"'
    with backend.writing(durable=True) as connection:
        migrate_to_second(connection.execute, identifier)
    with backend.writing(durable=True) as connection:
        assert migrate(connection, "here") == 2
    backend.close()
    report = verify_database(url)
    assert (report["ok"], report["rows"]) == (True, 2)


def migrate_to_second(execute: Callable[..., Any], identifier: str) -> None:
    execute(text("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)"))
    for statement in f"{FIRST};{NOTIFYING}".split(";"):
        execute(text(statement.format(id=identifier)))
    execute(text("INSERT INTO meta VALUES ('schema_version', '2')"))
    for name in ("a2", "a1"):
        execute(text(f"INSERT INTO audit VALUES ('{name}', 1.5, 'api', 'open', 'ada', '', NULL)"))


async def test_a_head_that_was_removed_stops_no_record(store: Store, url: str) -> None:
    await filled(store)
    tamper(url, f"DELETE FROM meta WHERE key = '{HEAD}'")
    for one in actions(2, first=7):
        await store.commit(Commit(actions=[one]))
    assert [row["seq"] for row in await store.record.audit(EventFilter(), limit=3)] == [8, 7, 6]
