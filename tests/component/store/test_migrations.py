"""The tables that migrations make are the tables that queries use, and that the docs describe."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from cbmon.errors import StoreError
from cbmon.store.migrations import LATEST, migrate, version
from cbmon.store.schema import METADATA
from cbmon.store.url import backend_of

DOCS = Path(__file__).parents[3] / "docs" / "store.md"


def test_migrations_make_the_tables_that_queries_use(url: str) -> None:
    backend = backend_of(url)
    backend.open()
    with backend.writing(durable=True) as connection:
        assert migrate(connection, "here") == 0
        found = inspect(connection)
        for table in METADATA.sorted_tables:
            columns = {column["name"]: column for column in found.get_columns(table.name)}
            assert list(columns) == [column.name for column in table.columns]
            assert found.get_pk_constraint(table.name)["constrained_columns"] == [
                column.name for column in table.primary_key
            ]
            for column in table.columns:
                if not column.primary_key:
                    assert columns[column.name]["nullable"] == column.nullable, column
    backend.close()


def test_migrating_again_does_nothing(url: str) -> None:
    backend = backend_of(url)
    backend.open()
    for before in (0, LATEST):
        with backend.writing(durable=True) as connection:
            assert migrate(connection, "here") == before
            assert version(connection) == LATEST
    backend.close()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("DELETE FROM meta", "has no schema_version in its table meta"),
        ("DROP TABLE meta", "has no schema_version in its table meta"),
        ("UPDATE meta SET value = 'x'", "has 'x' as schema_version in its table meta"),
    ],
)
def test_a_database_without_its_version_is_refused_with_a_way_out(
    url: str, damage: str, said: str
) -> None:
    backend = backend_of(url)
    backend.open()
    with backend.writing(durable=True) as connection:
        migrate(connection, "here")
    with backend.writing(durable=True) as connection:
        connection.execute(text(damage))
    with (
        pytest.raises(StoreError, match=rf"^here {said}.*; restore a backup, or use another"),
        backend.writing(durable=True) as connection,
    ):
        migrate(connection, "here")
    backend.close()


@pytest.mark.parametrize("table", METADATA.sorted_tables, ids=lambda table: str(table.name))
def test_every_column_is_documented(table) -> None:  # type: ignore[no-untyped-def]
    section = re.search(
        rf"^### `{table.name}`$(.*?)(?=^##|\Z)", DOCS.read_text(), re.MULTILINE | re.DOTALL
    )
    assert section is not None, table.name
    documented = re.findall(r"^\| `(\w+)` \|", section[1], re.MULTILINE)
    assert documented == [column.name for column in table.columns]
