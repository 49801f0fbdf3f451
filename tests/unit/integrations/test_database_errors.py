"""What a database's error says of it: PostgreSQL by SQLSTATE, others by the classes of PEP 249."""

from __future__ import annotations

import sqlite3

import asyncpg
import psycopg
import pytest

from cbmon.integrations.databases import judge_database
from cbmon.integrations.verdicts import ANSWERED, CONNECT, INTERNAL, NEUTRAL, STATUS, TIMEOUT

STATES = {
    "00000": ANSWERED, "08000": CONNECT, "08006": CONNECT, "08P01": CONNECT, "22012": ANSWERED,
    "23505": ANSWERED, "25P02": ANSWERED, "28P01": ANSWERED, "3D000": ANSWERED, "40001": ANSWERED,
    "40P01": ANSWERED, "42601": ANSWERED, "42P01": ANSWERED, "53100": STATUS, "53300": STATUS,
    "55P03": ANSWERED, "57014": TIMEOUT, "57P01": STATUS, "57P03": STATUS, "58030": INTERNAL,
    "P0001": ANSWERED, "XX000": INTERNAL, "XX001": INTERNAL,
}  # fmt: skip


@pytest.mark.parametrize(("state", "verdict"), STATES.items())
def test_a_sqlstate_says_it(state: str, verdict: object) -> None:
    error = type("SomeError", (Exception,), {"sqlstate": state})()
    assert judge_database(error) is verdict


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (psycopg.errors.UniqueViolation("x"), ANSWERED),
        (psycopg.errors.SerializationFailure("x"), ANSWERED),
        (psycopg.errors.QueryCanceled("x"), TIMEOUT),
        (psycopg.errors.AdminShutdown("x"), STATUS),
        (psycopg.errors.ConnectionTimeout("x"), TIMEOUT),
        (psycopg.OperationalError("connection refused"), CONNECT),
        (psycopg.InterfaceError("cursor closed"), NEUTRAL),
        (psycopg.ProgrammingError("no placeholder"), ANSWERED),
        (asyncpg.UniqueViolationError("x"), ANSWERED),
        (asyncpg.TooManyConnectionsError("x"), STATUS),
        (asyncpg.ConnectionDoesNotExistError("x"), CONNECT),
        (asyncpg.InterfaceError("another operation is in progress"), NEUTRAL),
        (sqlite3.IntegrityError("x"), ANSWERED),
        (sqlite3.OperationalError("unable to open database file"), CONNECT),
        (sqlite3.DatabaseError("file is not a database"), INTERNAL),
        (ConnectionRefusedError(), CONNECT),
        (TimeoutError(), TIMEOUT),
        (ValueError("the caller's"), NEUTRAL),
    ],
)
def test_a_drivers_exception_says_it(error: BaseException, verdict: object) -> None:
    assert judge_database(error) is verdict
    assert judge_database(error) is verdict


@pytest.mark.parametrize(("code", "verdict"), [(1205, ANSWERED), (1213, ANSWERED), (2013, CONNECT)])
def test_mysqls_lock_errors_are_answers(code: int, verdict: object) -> None:
    kind = type("OperationalError", (Exception,), {"__module__": "pymysql.err"})
    assert judge_database(kind(code, "in words")) is verdict


@pytest.mark.parametrize("statement", ["selec 1", "select * from nothing"])
def test_a_mistake_in_sqls_words_is_an_answer_of_sqlite(statement: str) -> None:
    with pytest.raises(sqlite3.OperationalError) as caught:
        sqlite3.connect(":memory:").execute(statement)
    assert judge_database(caught.value) is ANSWERED


def test_a_database_that_cannot_be_opened_is_a_failure_of_sqlite() -> None:
    with pytest.raises(sqlite3.OperationalError) as caught:
        sqlite3.connect("/nowhere/at/all.db")
    assert judge_database(caught.value) is CONNECT
