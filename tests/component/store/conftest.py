"""Stores on real databases: every test of the seam runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cbmon.events import Transition
from cbmon.interfaces import Store
from cbmon.model import BreakerInfo, Category, Message, Reason
from cbmon.store import open_store

MakeMove = Callable[..., Transition]
MakeMessage = Callable[..., Message]


@pytest.fixture
def move() -> MakeMove:
    """Makes transitions: ``move("api", "open", incident="i1", at=10.0)``."""
    numbers = itertools.count(1)

    def make(component: str = "api", to_state: str = "open", **fields: Any) -> Transition:
        number = next(numbers)
        values: dict[str, Any] = {
            "id": f"event-{number:06d}",
            "at": 1000.0 + number,
            "component": component,
            "category": Category.CHECK,
            "from_state": "closed",
            "to_state": to_state,
            "cause": "threshold_reached",
            "text": "5 failures in a row",
            "reason": Reason.CONNECT,
            "last_error": "connection refused",
            "incident": f"incident-{component}",
            "info": BreakerInfo(name=component, category=Category.CHECK, tags=("critical",)),
            "snapshot": {"state": to_state, "number": number},
        }
        return Transition(**(values | fields))

    return make


@pytest.fixture
def message() -> MakeMessage:
    """Makes messages: ``message("m1", incident="i1", sequence=1)``."""

    def make(id: str, **fields: Any) -> Message:  # noqa: A002
        values: dict[str, Any] = {
            "id": id,
            "receiver": "hook",
            "incident": "incident-api",
            "sequence": 1,
            "kind": "opened",
            "created_at": 1000.0,
            "body": {"component": "api"},
        }
        return Message(**(values | fields))

    return make


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of an empty database of a throw-away cluster that listens on a socket only."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not binaries:
        _missing("no PostgreSQL server is installed")
    user = "postgres" if os.geteuid() == 0 else None
    home = Path(tempfile.mkdtemp(prefix="cbmon-pg-"))
    if user is not None:
        os.chown(home, pwd.getpwnam(user).pw_uid, -1)
    tool = binaries[-1].parent

    def run(*command: str) -> None:
        subprocess.run(command, check=True, user=user, cwd=home, capture_output=True, timeout=60)

    try:
        data = str(home / "data")
        run(str(tool / "initdb"), "-D", data, "-U", "cbmon", "-A", "trust", "--locale=C.UTF-8")
        options = f"-c listen_addresses='' -k {home} -p 5432"
        run(str(tool / "pg_ctl"), "-D", data, "-l", str(home / "log"), "-o", options, "-w", "start")
        try:
            yield f"postgresql://cbmon@/postgres?host={home}&port=5432"
        finally:
            run(str(tool / "pg_ctl"), "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _missing(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A storage URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite://{tmp_path}/data/cbmon.db"
    server: str = request.getfixturevalue("postgres")
    return _fresh_database(server)


_databases = itertools.count(1)


def _fresh_database(server: str) -> str:
    import psycopg

    name = f"cbmon{next(_databases)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return server.replace("/postgres?", f"/{name}?")


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    """An open store."""
    opened = open_store(url)
    await opened.open()
    yield opened
    await opened.close()
