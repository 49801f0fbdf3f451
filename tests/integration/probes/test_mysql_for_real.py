"""Rule: a MariaDB is good when it lets one in and answers as expected; else it is said why."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from cbmon.model import Reason
from tests.integration.harness.processes import absent


def dsn(server: Any, user: str = "cbmon", password: str = "s%C3%A9cret", query: str = "") -> str:
    return f"mysql://{user}:{password}@127.0.0.1:{server.port}/cbmon{query}"


async def test_a_server_that_answers_is_good(look: Any, mariadb: Any) -> None:
    result = await look("mysql", dsn=dsn(mariadb), expect={"rows": 1, "value": 1})

    assert result.ok, result.error
    assert "MariaDB" in result.facts["server_version"]
    assert result.facts["tls_version"] == "TLSv1.3"
    assert result.phases.tls > 0
    assert "sécret" not in repr(result)


async def test_tls_is_verified_when_it_is_configured(look: Any, mariadb: Any) -> None:
    tls = {"ca_file": str(mariadb.ca_file), "server_name": "db.test"}

    good = await look("mysql", dsn=dsn(mariadb, "secure", "secret"), tls=tls)
    bad = await look("mysql", dsn=dsn(mariadb), tls={"ca_file": str(mariadb.ca_file)})
    off = await look("mysql", dsn=dsn(mariadb, query="?sslmode=disable"), tls=tls)

    assert good.ok, good.error
    assert bad.reason is Reason.TLS
    assert off.ok, off.error
    assert "tls_version" not in off.facts


async def test_a_socket_is_a_way_too_and_no_database_is_needed(look: Any, mariadb: Any) -> None:
    where = f"mariadb://cbmon:s%C3%A9cret@/?host={mariadb.directory}/db.sock"

    result = await look("mysql", dsn=where, query="SELECT DATABASE() IS NULL", expect={"value": 1})

    assert result.ok, result.error
    assert result.facts["address"] == f"unix:{mariadb.directory}/db.sock"


async def test_a_user_without_a_password_is_let_in(look: Any, mariadb: Any) -> None:
    assert (await look("mysql", dsn=dsn(mariadb, "free", ""))).ok


@pytest.mark.parametrize("mode", ["disable", "require"])
async def test_ed25519_is_spoken(look: Any, mariadb: Any, mode: str) -> None:
    if not list(Path("/usr/lib/mysql/plugin").glob("auth_ed25519.so")):
        absent("MariaDB has no ed25519 (Debian: apt-get install mariadb-server)")
    where = dsn(mariadb, "signer", "", f"?sslmode={mode}")
    password = "sécret of more than 32 bytes"

    for _ in range(20):  # each time another salt
        good = await look("mysql", dsn=where, password=password)
        assert good.ok, good.error
    wrong = await look("mysql", dsn=where, password="wrong")

    assert wrong.reason is Reason.AUTH, wrong.error
    assert "error 1045 (28000)" in wrong.error


@pytest.mark.parametrize(
    ("reason", "message", "changes"),
    [
        (Reason.AUTH, "error 1045 (28000)", {"password": "wrong"}),
        (Reason.AUTH, "error 1045 (28000)", {"user": "nobody"}),
        (Reason.AUTH, "error 1045 (28000)", {"password": ""}),
        (Reason.AUTH, "(28000)",
         {"user": "secure", "password": "secret", "query": "?sslmode=disable"}),
    ],
)  # fmt: skip
async def test_a_refusal_is_told_from_an_outage(
    look: Any, mariadb: Any, reason: Reason, message: str, changes: dict[str, str]
) -> None:
    result = await look("mysql", dsn=dsn(mariadb, **changes))

    assert result.reason is reason, result.error
    assert message in result.error


@pytest.mark.parametrize(
    ("reason", "message", "query", "expect"),
    [
        (Reason.BODY, "got 2 rows, expected > 3", "SELECT 1 UNION SELECT 2", {"rows": "> 3"}),
        (Reason.BODY, 'got "3", expected < 3', "SELECT 3", {"value": "< 3"}),
        (Reason.BODY, "got NULL, expected 1", "SELECT NULL", {"value": 1}),
        (Reason.BODY, "got no row", "SELECT x FROM made", {"value": 1}),
        (Reason.STATUS, "error 1146 (42S02)", "SELECT * FROM nowhere", {}),
        (Reason.STATUS, "error 1792 (25006)", "INSERT INTO made VALUES (1)", {}),
        (Reason.STATUS, "error 1064", "SELECT 1; SELECT 2", {}),
        (Reason.SIZE, "larger than", "SELECT repeat('x', 2000000)", {}),
        (Reason.SIZE, "larger than", "SELECT repeat('x', 1000) FROM seq_1_to_9999", {}),
        (Reason.LATENCY, "expected at most 10ms", "SELECT sleep(0.05)", {"max_duration": "10ms"}),
    ],
)  # fmt: skip
async def test_an_answer_is_judged(
    look: Any, mariadb: Any, reason: Reason, message: str, query: str, expect: dict[str, Any]
) -> None:
    result = await look("mysql", dsn=dsn(mariadb), query=query, expect=expect)

    assert result.reason is reason, result.error
    assert message in result.error


@pytest.mark.parametrize(
    ("query", "expect"),
    [
        ("SELECT 'é', 2", {"value": "é", "matches": "^é$"}),
        ("SELECT repeat('x', 70000)", {"matches": "^x+$"}),
        ("SELECT repeat('x', 300)", {"rows": 1}),
        ("SHOW STATUS LIKE 'Uptime'", {"value": "Uptime"}),
        ("SET @a = 1", {"rows": 0}),
    ],
)
async def test_a_good_answer_passes(
    look: Any, mariadb: Any, query: str, expect: dict[str, Any]
) -> None:
    result = await look("mysql", dsn=dsn(mariadb), query=query, expect=expect)

    assert result.ok, result.error


async def test_a_database_that_is_not_there_is_a_status(look: Any, mariadb: Any) -> None:
    result = await look("mysql", dsn=dsn(mariadb).removesuffix("cbmon") + "nowhere")

    assert result.reason is Reason.STATUS, result.error


async def test_a_query_that_hangs_ends_at_the_deadline(look: Any, mariadb: Any) -> None:
    began = time.monotonic()

    result = await look("mysql", dsn=dsn(mariadb), query="SELECT sleep(600)", timeout=0.3)

    assert result.reason is Reason.TIMEOUT
    assert time.monotonic() - began < 30
