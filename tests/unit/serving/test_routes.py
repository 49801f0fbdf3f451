"""Which route a request belongs to. Rule: the first whose pattern and method fit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon import BreakerRegistry
from cbmon.integrations.serving import ProtectedRoute, RouteTable


def table(*routes: ProtectedRoute) -> RouteTable:
    return RouteTable(routes, BreakerRegistry())


def found(its: RouteTable, path: str, method: str = "GET") -> str | None:
    guard = its.find(method, path)
    return None if guard is None else guard.breaker.name


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("/orders", "/orders", True),
        ("/orders", "/orders/", False),
        ("/orders", "/orders/7", False),
        ("/api/*", "/api/v1/query", True),
        ("/api/*", "/api/", False),
        ("/api/*", "/api", False),
        ("/api/*", "/apix/v1", False),
        ("/orders/{id}", "/orders/7", True),
        ("/orders/{id}", "/orders/7/lines", False),
        ("/orders/{id}/lines", "/orders/7/lines", True),
        ("/files/{path:path}", "/files/a/b.txt", True),
        ("/v*/items", "/v2/items", True),
        ("/v*/items", "/v2/3/items", False),
        ("/a/**/z", "/a/b/c/z", True),
        ("/a.b", "/aXb", False),
        ("/lines", "/lin\nes", False),
        ("/any/*", "/any/with\nnewline", True),
    ],
)
def test_a_pattern_fits_what_it_says(pattern: str, path: str, fits: bool) -> None:
    assert (found(table(ProtectedRoute(pattern)), path) is not None) is fits


def test_the_first_route_that_fits_wins() -> None:
    its = table(ProtectedRoute("/a/b"), ProtectedRoute("/a/*"), ProtectedRoute("/**"))
    assert [found(its, path) for path in ("/a/b", "/a/c", "/z")] == ["/a/b", "/a/*", "/**"]


def test_a_route_of_another_method_lets_the_next_one_have_it() -> None:
    its = table(
        ProtectedRoute("/orders", methods=["post"], name="writes"),
        ProtectedRoute("/orders", methods=["GET", "HEAD"], name="reads"),
    )
    assert found(its, "/orders", "POST") == "writes"
    assert found(its, "/orders", "HEAD") == "reads"
    assert found(its, "/orders", "DELETE") is None


def test_routes_of_one_name_share_a_breaker() -> None:
    its = table(
        ProtectedRoute("/a", name="shared", failure_threshold=2),
        ProtectedRoute("/b", name="shared"),
    )
    first, second = its.find("GET", "/a"), its.find("GET", "/b")
    assert first is not None
    assert second is not None
    assert first.breaker is second.breaker
    assert second.breaker.policy.failure_threshold == 2


def test_without_routes_nothing_is_guarded() -> None:
    assert found(table(), "/") is None


@pytest.mark.parametrize("pattern", ["orders", "", "/a/**/b/**", "/a/{", "/a/{id:int}", "/a/}"])
def test_a_pattern_that_is_none_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        ProtectedRoute(pattern)


def test_a_bad_field_of_the_policy_is_refused() -> None:
    with pytest.raises(ValueError, match="failure_threshold"):
        ProtectedRoute("/", failure_threshold=0)
    with pytest.raises(ValueError, match="judge"):
        ProtectedRoute("/", judge="middle")  # type: ignore[arg-type]


@given(st.text(max_size=50))
def test_no_path_makes_the_table_raise(path: str) -> None:
    its = table(ProtectedRoute("/a/{b}/c*"), ProtectedRoute("/**"))
    assert (its.find("GET", path) is not None) is path.startswith("/")


@given(st.text(alphabet="abc.+()[]|$^-", min_size=1, max_size=20))
def test_what_is_no_wildcard_fits_only_itself(text: str) -> None:
    its = table(ProtectedRoute(f"/{text}"))
    assert found(its, f"/{text}") is not None
    assert found(its, f"/{text}x") is None


@pytest.mark.parametrize("fields", [{"methods": "GET"}, {"failure_statuses": 500}])
def test_one_where_several_are_expected_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="expected several, such as"):
        ProtectedRoute("/x", **fields)
