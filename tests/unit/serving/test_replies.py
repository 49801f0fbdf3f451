"""What goes out instead of a handler's answer. Rule: 503 with Retry-After, never cached."""

from __future__ import annotations

import json

import pytest

from cbmon import CircuitOpenError, State
from cbmon.integrations.replies import (
    Rejection,
    Reply,
    answer_for,
    inner_rejection,
    plain,
    rendered,
)
from cbmon.resilience import BulkheadFullError


def rejection(cause: str = "open", retry_after: float | None = 12.3, name: str = "db") -> Rejection:
    return Rejection(
        cause=cause, name=name, state=State.OPEN, retry_after=retry_after, method="GET", path="/x"
    )


def test_an_open_breaker_is_a_503_that_says_when_to_come_back() -> None:
    status, headers, body = rendered(plain(rejection()), rejection())
    assert status == 503
    assert headers["Retry-After"] == "13"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Circuit-Breaker"] == "db; open"
    error = json.loads(body)["error"]
    assert error["code"] == "circuit_open"
    assert error["details"] == {"breaker": "db", "state": "open", "retry_after_seconds": 12.3}


@pytest.mark.parametrize(
    ("cause", "retry_after", "header"),
    [("open", 0.0, "1"), ("open", 0.2, "1"), ("open", None, None), ("full", None, "1")],
)
def test_retry_after_is_whole_seconds_and_only_where_it_is_known(
    cause: str, retry_after: float | None, header: str | None
) -> None:
    its = rejection(cause, retry_after)
    assert rendered(plain(its), its)[1].get("Retry-After") == header


def test_a_timeout_is_a_504() -> None:
    its = rejection("timeout", None)
    assert rendered(plain(its), its)[0] == 504


@pytest.mark.parametrize(
    ("fallback", "status", "kind", "body"),
    [
        ({"price": None}, 503, "application/json", b'{"price":null}'),
        ("later", 503, "text/plain; charset=utf-8", b"later"),
        (b"\x00", 503, "application/octet-stream", b"\x00"),
        (Reply(body=[1], status=200), 200, "application/json", b"[1]"),
        (lambda its: Reply(body=its.path), 200, "text/plain; charset=utf-8", b"/x"),
    ],
)
async def test_a_fallback_answers(fallback: object, status: int, kind: str, body: bytes) -> None:
    its = rejection()
    found, headers, sent = rendered(await answer_for(fallback, its), its)
    assert (found, headers["Content-Type"], sent) == (status, kind, body)
    assert ("Retry-After" in headers) is (status == 503)


async def test_an_async_fallback_is_awaited_and_its_headers_win() -> None:
    async def stale(its: Rejection) -> Reply:
        return Reply(body="old", headers={"Cache-Control": "max-age=5"})

    its = rejection()
    assert rendered(await answer_for(stale, its), its)[1]["Cache-Control"] == "max-age=5"


def test_a_name_cannot_break_out_of_its_header() -> None:
    its = rejection(name="a\r\nX: y\u20ac")
    assert rendered(plain(its), its)[1]["X-Circuit-Breaker"] == "a??X: y?; open"


def test_the_refusal_of_a_breaker_inside_keeps_its_own_name_and_wait() -> None:
    its = inner_rejection(CircuitOpenError("redis", State.OPEN, 3.0), "/x", "GET", "/x")
    assert (its.cause, its.name, its.retry_after) == ("open", "redis", 3.0)
    full = inner_rejection(BulkheadFullError("pool", 1, 0.0), "/x", "GET", "/x")
    assert (full.cause, full.name) == ("full", "/x")
