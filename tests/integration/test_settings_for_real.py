"""A row edited with sqlite3 or psql takes effect within seconds; a wrong one changes nothing.

The daemon is a process, the database a real one, the editors are those that people use.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.harness import Daemon
from tests.integration.harness.processes import eventually, free_port, program
from tests.integration.harness.web import Answer, fetch

TOKEN = "an-admin-token-for-tests"
SOON = 5.0
ADMIN = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}


def config(targets: Any = None, **breaker: Any) -> dict[str, Any]:
    port = free_port()
    return {
        "web": {
            "listen": [f"127.0.0.1:{port}"],
            "tokens": [{"name": "ada", "role": "admin", "token": TOKEN}],
        },
        "defaults": {"interval": "500ms", "timeout": "400ms"},
        "checks": [
            {"name": "shop", "tcp": {"address": "127.0.0.1:1"}, "breaker": breaker},
            {"name": "web", "tcp": {"address": f"127.0.0.1:{port}"}},
        ],
    }


def ask(daemon: Daemon, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    port = daemon.port
    sent = b"" if body is None else json.dumps(body).encode()
    return fetch(
        f"http://127.0.0.1:{port}{path}", method=method, body=sent, headers={**ADMIN, **headers}
    )


def within(seconds: float, what: str, condition: Callable[[], bool]) -> float:
    """Seconds until it holds; fails after so many."""
    began = time.monotonic()
    eventually(condition, what, seconds)
    return time.monotonic() - began


def settings(daemon: Daemon, name: str = "shop") -> dict[str, Any]:
    found: dict[str, Any] = ask(daemon, "GET", f"/api/v1/breakers/{name}/settings").json
    return found


def effective(daemon: Daemon, field: str, name: str = "shop") -> Any:
    return settings(daemon, name)["effective"][field]


@pytest.fixture
def prepared(run_daemon: Callable[..., Daemon]) -> Callable[..., Daemon]:
    """Starts a daemon whose address is that of its configuration."""

    def start(its: dict[str, Any], **more: Any) -> Daemon:
        daemon = run_daemon(its, start=False, **more)
        daemon.port = int(its["web"]["listen"][0].rpartition(":")[2])
        daemon.address = its["web"]["listen"][0]
        daemon.url = f"http://{daemon.address}"
        daemon.start()
        return daemon

    return start


def sqlite3(daemon: Daemon, statement: str) -> None:
    command = program("sqlite3", package="sqlite3")
    subprocess.run([command, daemon.data / "cbmon.db", statement], check=True, timeout=10)


@pytest.fixture
def postgres() -> Iterator[tuple[str, Callable[[str], None]]]:
    """A throw-away server: its storage URL, and psql on it."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not binaries:
        if os.environ.get("CI") == "true":
            pytest.fail("no PostgreSQL server is installed")
        pytest.skip("no PostgreSQL server is installed")
    tool = binaries[-1].parent
    user = "postgres" if os.geteuid() == 0 else None
    home = Path(tempfile.mkdtemp(prefix="cbmon-pg-"))
    if user is not None:
        os.chown(home, pwd.getpwnam(user).pw_uid, -1)
    port = str(free_port())

    def run(*command: str) -> None:
        subprocess.run(command, check=True, user=user, cwd=home, capture_output=True, timeout=60)

    def psql(statement: str) -> None:
        run("psql", "-h", str(home), "-p", port, "-U", "cbmon", "-v", "ON_ERROR_STOP=1",
            "-d", "postgres", "-c", statement)  # fmt: skip

    try:
        data = str(home / "data")
        run(str(tool / "initdb"), "-D", data, "-U", "cbmon", "-A", "trust", "--locale=C.UTF-8")
        options = f"-c listen_addresses='' -k {home} -p {port}"
        run(str(tool / "pg_ctl"), "-D", data, "-l", str(home / "log"), "-o", options, "-w", "start")
        try:
            yield f"postgresql://cbmon@/postgres?host={home}&port={port}", psql
        finally:
            run(str(tool / "pg_ctl"), "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def edited(daemon: Daemon, edit: Callable[[str], None]) -> None:
    """What holds for every database and its own editor."""
    edit("INSERT INTO breaker_settings (component, failure_threshold) VALUES ('shop', 77)")
    within(SOON, "the row to be in force", lambda: effective(daemon, "failure_threshold") == 77)
    edit("UPDATE breaker_settings SET recovery_timeout = '2m' WHERE component = '*'")
    within(
        SOON, "the defaults to hold", lambda: effective(daemon, "recovery_timeout", "web") == 120
    )
    assert settings(daemon, "web")["sources"]["recovery_timeout"] == "database"

    edit("UPDATE breaker_settings SET failure_threshold = 'lots' WHERE component = 'shop'")
    within(SOON, "the refusal to be told", lambda: bool(settings(daemon)["refused"]))
    assert effective(daemon, "failure_threshold") == 77
    refused = ask(daemon, "GET", "/api/v1/events?kind=refused").json["events"]
    assert [(event["actor"], event["component"]) for event in refused] == [("database", "shop")]
    assert 'failure_threshold: "lots" is not allowed' in refused[0]["refused"]
    said = ("level=warn", "operator was refused", "failure_threshold")
    eventually(lambda: daemon.logged(*said), "the log, which a thread writes, to say so")

    daemon.restart()
    assert effective(daemon, "failure_threshold") == 77
    edit("DELETE FROM breaker_settings")
    within(SOON, "the YAML to hold again", lambda: effective(daemon, "failure_threshold") == 5)
    assert ask(daemon, "GET", "/api/v1/config/diff").json == {"differences": []}
    actors = {e["actor"] for e in ask(daemon, "GET", "/api/v1/audit").json["audit"]}
    assert actors == {"database"}
    assert ask(daemon, "GET", "/api/v1/audit/verify").json["ok"]


def test_a_row_edited_with_sqlite3_takes_effect(prepared: Callable[..., Daemon]) -> None:
    daemon = prepared(config())
    edited(daemon, lambda statement: sqlite3(daemon, statement))
    database = str(daemon.data / "cbmon.db")
    code, text, _ = daemon.cli("audit", "verify", "--database", database)
    assert (code, text.startswith("whole: ")) == (0, True)
    sqlite3(daemon, "UPDATE audit SET actor = 'nobody' WHERE seq = 2")
    code, text, _ = daemon.cli("audit", "verify", "--database", database)
    assert (code, text.startswith("broken at row 2 ")) == (1, True)


def test_a_row_edited_with_psql_takes_effect(
    prepared: Callable[..., Daemon], postgres: tuple[str, Callable[[str], None]]
) -> None:
    url, psql = postgres
    daemon = prepared({**config(), "storage": {"url": url}})
    edited(daemon, psql)


def test_a_breaker_gives_up_is_not_tried_and_comes_back_when_it_is_told(
    prepared: Callable[..., Daemon],
) -> None:
    cycles = {"failure_threshold": 1, "recovery_timeout": "300ms", "max_failure_cycles": 2}
    daemon = prepared(config(auto_disable_enabled=True, **cycles))

    def shop() -> dict[str, Any]:
        found: dict[str, Any] = ask(daemon, "GET", "/api/v1/breakers/shop").json
        return found

    within(10.0, "the breaker to give up", lambda: shop()["state"] == "disabled")
    its = shop()
    assert its["failure_cycle_count"] == its["max_failure_cycles"] == 2
    assert its["auto_disable"]["auto_disabled_at"] is not None
    assert "refused" in its["auto_disable"]["auto_disabled_reason"]
    assert its["auto_disable"]["can_auto_enable"] is True
    assert ask(daemon, "GET", "/api/v1/summary").json["disabled"] == ["shop"]
    calls = its["metrics"]["total_calls"]
    time.sleep(1.5)  # three intervals in which nothing may be tried
    assert shop()["metrics"]["total_calls"] == calls

    daemon.restart()
    its = shop()
    assert (its["state"], its["failure_cycle_count"]) == ("disabled", 2)
    assert its["auto_disable"]["auto_disabled_reason"]
    calls = its["metrics"]["total_calls"]

    kept = ask(daemon, "POST", "/api/v1/breakers/shop/enable", {"reset_counters": False})
    assert kept.status == 200
    within(3.0, "one more chance to be used", lambda: shop()["metrics"]["total_calls"] > calls)
    within(3.0, "it to fail for good", lambda: shop()["state"] == "disabled")
    assert shop()["failure_cycle_count"] == 3

    ask(daemon, "POST", "/api/v1/breakers/shop/enable", {"reason": "mended"})
    within(1.0, "it to be tried as new", lambda: shop()["failure_cycle_count"] < 2)
    events = ask(daemon, "GET", "/api/v1/events?component=shop&kind=disabled,enabled").json[
        "events"
    ]
    kinds = [event["kind"] for event in events]
    assert kinds[-4:] == ["enabled", "disabled", "enabled", "disabled"], "the newest is first"
    failed = ask(daemon, "GET", "/api/v1/events?component=shop&kind=failed").json["events"]
    assert failed[0]["reason"] == "connect"


def test_a_reload_that_does_not_go_with_the_settings_changes_nothing(
    prepared: Callable[..., Daemon],
) -> None:
    its = config()
    daemon = prepared(its)
    assert (
        ask(daemon, "PUT", "/api/v1/breakers/shop/settings", {"max_recovery_timeout": "90s"}).status
        == 200
    )
    before = daemon.metrics("cbmon_config_hash")
    its["checks"][0]["breaker"] = {"recovery_timeout": "2m"}
    daemon.write(its)
    reply = ask(daemon, "POST", "/-/reload", Accept="application/json")
    assert reply.status == 500
    assert "max_recovery_timeout" in reply.text
    assert daemon.metrics("cbmon_config_hash") == before
    assert effective(daemon, "recovery_timeout") == 60
    its["checks"][0]["breaker"] = {"recovery_timeout": "70s"}
    daemon.write(its)
    assert ask(daemon, "POST", "/-/reload").status == 200
    assert effective(daemon, "recovery_timeout") == 70
    assert effective(daemon, "max_recovery_timeout") == 90
