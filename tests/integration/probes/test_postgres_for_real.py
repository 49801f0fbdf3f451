"""Rule: a server is good when it lets one in and answers as expected; else it is said why."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from cbmon.model import Reason


def dsn(server: Any, user: str = "cbmon", password: str = "s%C3%A9cret", **changes: str) -> str:
    host = changes.get("host", f"127.0.0.1:{server.port}")
    return f"postgresql://{user}:{password}@{host}/cbmon{changes.get('query', '')}"


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_a_server_that_answers_is_good(look: Any, postgres: Any) -> None:
    result = await look("postgres", dsn=dsn(postgres), expect={"rows": 1, "value": 1})

    assert result.ok, result.error
    assert result.facts["rows"] == 1
    assert result.facts["database"] == "cbmon"
    assert result.facts["server_version"]
    assert result.facts["tls_version"] == "TLSv1.3"
    assert result.phases.connect > 0
    assert result.phases.tls > 0
    assert result.phases.processing > 0
    assert result.certificate_expiry
    assert "sécret" not in repr(result)


async def test_tls_is_verified_when_it_is_configured(look: Any, postgres: Any) -> None:
    tls = {"ca_file": postgres.ca_file, "server_name": "db.test"}

    good = await look("postgres", dsn=dsn(postgres), tls=tls)
    bad = await look("postgres", dsn=dsn(postgres), tls={"ca_file": postgres.ca_file})
    off = await look("postgres", dsn=dsn(postgres, query="?sslmode=disable"), tls=tls)

    assert good.ok, good.error
    assert bad.reason is Reason.TLS
    assert "not valid for 127.0.0.1" in bad.error
    assert off.ok, off.error
    assert "tls_version" not in off.facts


async def test_a_socket_needs_no_password(look: Any, postgres: Any) -> None:
    where = f"postgresql://cbmon@/cbmon?host={postgres.directory}"

    result = await look("postgres", dsn=where.replace("@/", f"@:{postgres.port}/"))

    assert result.ok, result.error
    assert result.facts["address"] == f"unix:{postgres.directory}/.s.PGSQL.{postgres.port}"


async def test_the_password_may_come_from_a_file_that_is_rotated(
    look: Any, postgres: Any, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text("wrong\n")
    options = {"dsn": f"postgres://cbmon@127.0.0.1:{postgres.port}/cbmon", "password_file": file}
    options["password_file"] = str(file)

    before = await look("postgres", **options)
    file.write_text("sécret\n")
    after = await look("postgres", **options)
    file.unlink()
    gone = await look("postgres", **options)

    assert before.reason is Reason.AUTH
    assert after.ok, after.error
    assert gone.reason is Reason.CONFIG
    assert str(file) in gone.error


async def test_the_dsn_may_come_from_a_file(look: Any, postgres: Any, tmp_path: Path) -> None:
    file = tmp_path / "dsn"
    file.write_text(dsn(postgres))

    assert (await look("postgres", dsn_file=str(file))).ok

    file.write_text("mysql://root:hunter2@127.0.0.1/x")
    result = await look("postgres", dsn_file=str(file))
    assert result.reason is Reason.CONFIG
    assert "hunter2" not in result.error


@pytest.mark.parametrize(
    ("user", "sslmode"), [("old", "disable"), ("clear", "require"), ("secure", "prefer")]
)
async def test_every_way_to_log_in_works(look: Any, postgres: Any, user: str, sslmode: str) -> None:
    where = dsn(postgres, user, "secret", query=f"?sslmode={sslmode}")

    result = await look("postgres", dsn=where)

    assert result.ok, result.error


@pytest.mark.parametrize(
    ("reason", "message", "changes"),
    [
        (Reason.AUTH, "28P01", {"password": "wrong"}),
        (Reason.AUTH, "28P01", {"user": "nobody"}),
        (Reason.AUTH, "none is configured", {"password": ""}),
        (Reason.AUTH, "needs TLS", {"user": "clear", "query": "?sslmode=disable"}),
    ],
)
async def test_a_refusal_is_told_from_an_outage(
    look: Any, postgres: Any, reason: Reason, message: str, changes: dict[str, str]
) -> None:
    result = await look("postgres", dsn=dsn(postgres, **changes))

    assert result.reason is reason
    assert message in result.error


@pytest.mark.parametrize(
    ("reason", "message", "query", "expect"),
    [
        (Reason.BODY, "got 3 rows, expected > 3", "SELECT generate_series(1, 3)", {"rows": "> 3"}),
        (Reason.BODY, 'got "3", expected < 3', "SELECT 3", {"value": "< 3"}),
        (Reason.BODY, 'got "a", expected b', "SELECT 'a'", {"value": "b"}),
        (Reason.BODY, 'got "a", expected 1', "SELECT 'a'", {"value": 1}),
        (Reason.BODY, "got NULL, expected 1", "SELECT NULL", {"value": 1}),
        (Reason.BODY, "got no row", "SELECT 1 WHERE false", {"value": 1}),
        (Reason.BODY, "expected a match for '^x'", "SELECT 'a'", {"matches": "^x"}),
        (Reason.STATUS, "42P01", "SELECT * FROM nowhere", {}),
        (Reason.STATUS, "25006", "CREATE TABLE made (x int)", {}),
        (Reason.STATUS, "copies data", "COPY (SELECT 1) TO STDOUT", {}),
        (Reason.SIZE, "larger than", "SELECT repeat('x', 2000000)", {}),
        (Reason.SIZE, "larger than", "SELECT repeat('x', 1000) FROM generate_series(1, 9999)", {}),
        (
            Reason.LATENCY,
            "expected at most 10ms",
            "SELECT pg_sleep(0.05)",
            {"max_duration": "10ms"},
        ),
    ],
)
async def test_an_answer_is_judged(
    look: Any, postgres: Any, reason: Reason, message: str, query: str, expect: dict[str, Any]
) -> None:
    result = await look("postgres", dsn=dsn(postgres), query=query, expect=expect)

    assert result.reason is reason, result.error
    assert message in result.error


@pytest.mark.parametrize(
    ("query", "expect"),
    [
        ("SELECT 5, 'x'", {"value": ">= 5"}),
        ("SHOW server_version_num", {"value": "> 90000", "matches": "^[0-9]+$"}),
        ("SELECT 1; SELECT 2", {"rows": [">= 2", "< 3"]}),
    ],
)
async def test_a_good_answer_passes(
    look: Any, postgres: Any, query: str, expect: dict[str, Any]
) -> None:
    result = await look("postgres", dsn=dsn(postgres), query=query, expect=expect)

    assert result.ok, result.error


async def test_a_database_that_is_not_there_is_a_status(look: Any, postgres: Any) -> None:
    result = await look("postgres", dsn=dsn(postgres).removesuffix("cbmon") + "nowhere")

    assert result.reason is Reason.STATUS
    assert "3D000" in result.error


async def test_a_query_that_hangs_ends_at_the_deadline_and_on_the_server(
    look: Any, postgres: Any
) -> None:
    assert (await look("postgres", dsn=dsn(postgres))).ok
    begun, open_before = time.monotonic(), descriptors()

    result = await look("postgres", dsn=dsn(postgres), query="SELECT pg_sleep(600)", timeout=0.3)

    assert result.reason is Reason.TIMEOUT
    assert time.monotonic() - begun < 30
    await asyncio.sleep(0.05)
    assert descriptors() <= open_before
    count = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE query LIKE '%pg_sleep(6%' AND pid != pg_backend_pid()"
    )
    deadline = time.monotonic() + 60
    while not (
        found := await look("postgres", dsn=dsn(postgres), query=count, expect={"value": 0})
    ).ok:
        assert time.monotonic() < deadline, found.error
        await asyncio.sleep(0.05)


async def test_nobody_there_is_a_connection_refused(look: Any) -> None:
    result = await look("postgres", dsn="postgresql://u:p@127.0.0.1:1/x")

    assert result.reason is Reason.CONNECT
    assert "127.0.0.1:1" in result.error


async def test_a_socket_that_is_not_there_is_a_connection_refused(
    look: Any, tmp_path: Path
) -> None:
    result = await look("postgres", dsn=f"postgresql://u@/x?host={tmp_path}")

    assert result.reason is Reason.CONNECT
