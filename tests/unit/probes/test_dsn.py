"""Rule: a DSN is read whole or refused, and no message repeats any part of it."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cbmon.probes.dsn import parse_dsn
from cbmon.probes.postgres.probe import PostgresOptions

SCHEMES = ("postgresql", "postgres")


def test_every_part_is_found() -> None:
    found = parse_dsn(
        "postgresql://a%40b:p%3Aw@db.test:6543/shop?sslmode=require&application_name=x",
        schemes=SCHEMES,
        port=5432,
        known=("application_name",),
    )

    assert (found.host, found.port, found.user, found.database) == ("db.test", 6543, "a@b", "shop")
    assert (found.password, found.sslmode) == ("p:w", "require")
    assert found.options == {"application_name": "x"}
    assert found.shown == "db.test:6543/shop"
    assert "p:w" not in repr(found)


def test_what_is_left_out_has_a_default() -> None:
    found = parse_dsn("postgres://me@[::1]", schemes=SCHEMES, port=5432)

    assert (found.host, found.port, found.database, found.password) == ("::1", 5432, "", None)
    assert found.shown == "[::1]:5432"


@pytest.mark.parametrize("text", ["postgres://me@/db?host=/run/pg", "postgres://me@%2Frun%2Fpg/db"])
def test_a_host_that_is_a_directory_is_a_socket(text: str) -> None:
    found = parse_dsn(text, schemes=SCHEMES, port=5432)

    assert found.path == "/run/pg"
    assert found.shown == "/run/pg:5432/db"


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("expected a URL", "hunter2"),
        ("expected a URL", "mysql://u:hunter2@h/d"),
        ("expected a URL", "postgres://u:hunter2@h:port/d"),
        ("expected a URL", "postgres://u:hunter2@h/d?sslmode"),
        ("expected a URL", "postgres://u:hunter2@h/d#x"),
        ("expected one host", "postgres://u:hunter2@/d"),
        ("expected one host", "postgres://u:hunter2@h1,h2/d"),
        ("expected a user", "postgres://:hunter2@h/d"),
        ("known are host, sslmode", "postgres://u@h/d?hunter2=1"),
        ("expected sslmode to be one of", "postgres://u@h/d?sslmode=hunter2"),
        ("NUL", "postgres://u:hunter2%00@h/d"),
    ],
)
def test_what_cannot_be_used_is_refused_without_repeating_it(message: str, text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        PostgresOptions.model_validate({"dsn": text})

    assert message in str(caught.value)
    assert "hunter2" not in str(caught.value)


@given(st.text())
def test_no_text_does_anything_but_parse_or_be_refused(text: str) -> None:
    for candidate in (text, f"postgres://{text}", f"postgres://u@{text}"):
        with contextlib.suppress(ValueError):
            parse_dsn(candidate, schemes=SCHEMES, port=5432)


def test_a_secret_shows_nowhere_in_the_options() -> None:
    options = PostgresOptions.model_validate({"dsn": "postgres://u:hunter2@h/d"})

    assert "hunter2" not in options.model_dump_json() + repr(options) + options.shown()
