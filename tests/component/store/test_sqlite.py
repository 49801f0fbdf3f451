"""SQLite: durable settings, and every way a file can fail ends in words that help."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from cbmon.errors import LockedError, StoreError
from cbmon.events import Transition
from cbmon.interfaces import Commit, Store
from cbmon.store import open_store
from cbmon.store.sql import SqlStore
from cbmon.store.sqlite import FULL, NORMAL, SqliteBackend

MakeMove = Callable[..., Transition]


@contextmanager
def opened_backend(path: Path) -> Iterator[SqliteBackend]:
    backend = SqliteBackend(path)
    backend.open()
    yield backend
    backend.close()


def test_commits_are_full_and_samples_normal(tmp_path: Path) -> None:
    with opened_backend(tmp_path / "cbmon.db") as backend:
        for durable, level in ((True, FULL), (False, NORMAL)):
            with backend.writing(durable=durable) as connection:
                assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == level
                assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    with (
        opened_backend(tmp_path / "cbmon.db") as backend,
        backend.reading() as connection,
        pytest.raises(OperationalError, match="readonly"),
    ):
        connection.exec_driver_sql("CREATE TABLE x (y TEXT)")


def test_a_writer_does_not_block_a_reader(tmp_path: Path) -> None:
    query = "SELECT count(*) FROM sqlite_master WHERE name = 'x'"
    with (
        opened_backend(tmp_path / "cbmon.db") as backend,
        backend.writing(durable=True) as writer,
    ):
        writer.exec_driver_sql("CREATE TABLE x (y TEXT)")
        with backend.reading() as reader:
            assert reader.exec_driver_sql(query).scalar() == 0


async def test_the_data_directory_is_made(tmp_path: Path) -> None:
    store = open_store(f"sqlite://{tmp_path}/a/b/cbmon.db")
    await store.open()
    await store.close()
    assert (tmp_path / "a/b/cbmon.db").stat().st_size > 0


async def test_a_second_daemon_is_told_who_has_the_directory(tmp_path: Path) -> None:
    first, second = (open_store(f"sqlite://{tmp_path}/cbmon.db") for _ in range(2))
    await first.open()
    with pytest.raises(LockedError, match=f"in use by process {os.getpid()};"):
        await second.open()
    await first.close()
    await second.open()
    await second.close()


async def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "cbmon.db"
    store = open_store(f"sqlite://{path}")
    await store.open()
    await store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    connection.close()
    with pytest.raises(StoreError, match=r"schema version 99, this cbmon knows up to \d+"):
        await store.open()


async def test_a_file_that_is_no_database_is_named_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "cbmon.db"
    path.write_bytes(b"not a database at all" * 500)
    with pytest.raises(StoreError, match=r"damaged or no SQLite database .* move it away"):
        await open_store(f"sqlite://{path}").open()
    assert path.read_bytes().startswith(b"not a database")


async def test_a_damaged_page_is_a_store_error(tmp_path: Path, move: MakeMove) -> None:
    path = tmp_path / "cbmon.db"
    store = open_store(f"sqlite://{path}")
    await store.open()
    await store.commit(Commit(transitions=[move() for _ in range(200)]))
    await store.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    with pytest.raises(StoreError, match="is damaged"):
        await _open_and_read(store)
    await store.close()


async def _open_and_read(store: Store) -> None:
    await store.open()
    await store.transitions()


async def test_another_process_that_holds_the_lock_is_waited_for_then_named(
    tmp_path: Path, move: MakeMove, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cbmon.store.sqlite.BUSY_SECONDS", 0.05)
    path = tmp_path / "cbmon.db"
    store = open_store(f"sqlite://{path}")
    await store.open()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked by another process"):
        await store.commit(Commit(transitions=[move()]))
    other.execute("ROLLBACK")
    other.close()
    await store.commit(Commit(transitions=[move()]))
    await store.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("mounting a small file system needs root")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


async def test_a_full_disk_fails_and_is_over_when_there_is_room(
    small_disk: Path, move: MakeMove
) -> None:
    store = open_store(f"sqlite://{small_disk}/cbmon.db")
    await store.open()
    ballast = small_disk / "ballast"
    _fill(ballast)
    acknowledged: list[str] = []

    async def write_until_it_fails() -> None:
        for _ in range(500):
            one = move(text="x" * 2000)
            await store.commit(Commit(transitions=[one]))
            acknowledged.append(one.id)

    with pytest.raises(StoreError, match="disk is full: no room to write"):
        await write_until_it_fails()
    assert await store.breakers() is not None
    ballast.unlink()
    last = move()
    await store.commit(Commit(transitions=[last]))
    rows = await store.transitions(limit=1000)
    assert [row["id"] for row in reversed(rows)] == [*acknowledged, last.id]
    await store.close()


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            return


def _remount_read_only(mount: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(mount)], check=True)


async def test_a_read_only_file_system_is_named(small_disk: Path, move: MakeMove) -> None:
    store = open_store(f"sqlite://{small_disk}/cbmon.db")
    await store.open()
    await store.close()
    _remount_read_only(small_disk)
    with pytest.raises(StoreError, match=r"Read-only file system|cannot be written|cannot open"):
        await store.open()


async def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot make the data directory"):
        await open_store(f"sqlite://{tmp_path}/file/cbmon.db").open()


async def test_a_disk_that_hangs_is_given_up_after_a_deadline(tmp_path: Path) -> None:
    store = SqlStore(SqliteBackend(tmp_path / "cbmon.db"))
    await store.open()
    store._deadline = 0.05
    release = asyncio.Event()
    loop = asyncio.get_running_loop()
    hanging = asyncio.ensure_future(
        store._write(lambda _: asyncio.run_coroutine_threadsafe(release.wait(), loop).result())
    )
    with pytest.raises(StoreError, match=r"did not answer within 0\.05 s; whether the call took"):
        await hanging
    release.set()
    await store.close()


async def test_commits_that_arrive_together_share_a_transaction(
    tmp_path: Path, move: MakeMove, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = SqliteBackend(tmp_path / "cbmon.db")
    store = SqlStore(backend)
    await store.open()
    count = 0
    writing = backend.writing

    def counted(*, durable: bool):  # type: ignore[no-untyped-def]
        nonlocal count
        count += 1
        return writing(durable=durable)

    monkeypatch.setattr(backend, "writing", counted)
    await asyncio.gather(*(store.commit(Commit(transitions=[move()])) for _ in range(500)))
    assert len(await store.transitions(limit=1000)) == 500
    assert count < 50
    await store.close()


async def test_a_cancelled_caller_leaves_the_store_usable(tmp_path: Path, move: MakeMove) -> None:
    store = open_store(f"sqlite://{tmp_path}/cbmon.db")
    await store.open()
    tasks = [asyncio.ensure_future(store.commit(Commit(transitions=[move()]))) for _ in range(50)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    kept = {row["id"] for row in await store.transitions()}
    assert {f"event-{n:06d}" for n in range(2, 51, 2)} <= kept
    await store.close()
