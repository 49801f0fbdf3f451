"""What docs/api.md says of the API is what the router does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cbmon.web.connections import Limits
from cbmon.web.openapi import BODY, QUERY, document
from cbmon.web.routes import ROUTES
from cbmon.web.schemas import SCHEMAS

DOCUMENT = Path(__file__).parents[3] / "docs" / "api.md"


def test_the_table_of_routes_and_roles_is_the_route_table() -> None:
    row = re.compile(r"^\| `(\w+) ([^`]+)` \| (\w+) \| (.+) \|$", re.MULTILINE)
    rows = row.findall(DOCUMENT.read_text())
    assert rows == [(r.method, r.path, r.role.label, r.summary) for r in ROUTES]


@pytest.mark.parametrize("name", ["header", "body", "idle", "write", "connections"])
def test_the_limits_in_the_document_are_the_limits(name: str) -> None:
    value = getattr(Limits(), name)
    assert f"| `{name}` | {value:g} |" in DOCUMENT.read_text()


def test_every_reference_in_the_openapi_document_leads_somewhere() -> None:
    found = str(document(ROUTES, "1"))
    for name in re.findall(r"#/components/schemas/(\w+)", found):
        assert name in SCHEMAS


def test_every_parameter_and_field_is_described() -> None:
    for route in ROUTES:
        assert set(route.query) <= set(QUERY)
        assert set(route.body) <= set(BODY)
