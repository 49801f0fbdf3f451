"""storage.url: three slashes are an absolute path, and no password is repeated."""

from __future__ import annotations

import pytest

from cbmon.errors import StoreError
from cbmon.store import open_store
from cbmon.store.url import backend_of


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("sqlite:///var/lib/cbmon/cbmon.db", "/var/lib/cbmon/cbmon.db"),
        ("sqlite:////var/lib/cbmon/cbmon.db", "/var/lib/cbmon/cbmon.db"),
        ("sqlite:data/cbmon.db", "data/cbmon.db"),
        ("sqlite://data/cbmon.db", "data/cbmon.db"),
        ("postgresql://cbmon:hunter2@db:5432/cbmon", "postgresql://cbmon:***@db:5432/cbmon"),
        ("postgres://db/cbmon", "postgresql://db/cbmon"),
        ("postgresql+psycopg://db/cbmon", "postgresql://db/cbmon"),
    ],
)
def test_a_storage_url_names_a_database(url: str, where: str) -> None:
    assert backend_of(url).where == where


@pytest.mark.parametrize(
    "url",
    [
        "",
        "cbmon.db",
        "mysql://db/cbmon",
        "sqlite:",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "postgresql://db",
        "postgresql://u:hunter2@db:port/x",
    ],
)
def test_other_urls_are_refused_with_an_example(url: str) -> None:
    with pytest.raises(StoreError, match=r"sqlite:///var/lib/cbmon/cbmon\.db") as caught:
        open_store(url)
    assert "hunter2" not in str(caught.value)
