"""What docs/api.md says of the API is what the router does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cbmon.web.connections import Limits
from cbmon.web.openapi import document
from cbmon.web.parameters import BODY, QUERY
from cbmon.web.route import Route
from cbmon.web.routes import ROUTES
from cbmon.web.schemas import SCHEMAS
from cbmon.web.tables import access_table, rewritten

DOCUMENT = Path(__file__).parents[3] / "docs" / "api.md"


def test_the_table_of_routes_and_roles_is_the_route_table() -> None:
    text = DOCUMENT.read_text()
    assert rewritten(text, ROUTES) == text, "run: python -m cbmon.web.tables docs/api.md"
    assert access_table(ROUTES) in text


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


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_is_described(route: Route) -> None:
    assert route.summary
    assert route.answer is not None or route.media != "application/json" or route.status != 200
    assert route.answer is None or route.answer in SCHEMAS
    described = document(ROUTES, "1")["paths"][route.path][route.method.lower()]
    assert described["summary"] == route.summary
    assert {"401", "403", "429", str(route.status)} <= set(described["responses"])


def test_the_description_has_every_operation_once() -> None:
    found = [
        operation["operationId"]
        for path in document(ROUTES, "1")["paths"].values()
        for operation in path.values()
    ]
    assert len(found) == len(set(found)) == len(ROUTES)


def test_a_reason_is_held_to_the_same_wherever_it_is_given() -> None:
    """Once as a field of a command, once beside settings."""
    assert SCHEMAS["SettingsBody"]["properties"]["reason"] == BODY["reason"][0]
