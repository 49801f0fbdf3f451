"""Acting on breakers through the API."""

from __future__ import annotations

from typing import Any

import pytest

from cbmon.model import Category, Result, SkipCause
from cbmon.settings.sheet import Author


@pytest.mark.parametrize(
    ("path", "body", "state"),
    [
        ("api/open", {}, "open"),
        ("api/open", {"for_seconds": 5}, "open"),
        ("api/open", {"hold": True}, "forced_open"),
        ("flaky/close", {}, "closed"),
        ("flaky/close", {"hold": True}, "forced_closed"),
        ("flaky/reset", {}, "closed"),
        ("api/observe", {}, "observe"),
        ("api/disable", {}, "disabled"),
        ("api/enable", {}, "closed"),
    ],
)
async def test_an_operator_moves_a_breaker_and_sees_it_moved(
    guarded: Any, daemon: Any, path: str, body: dict[str, Any], state: str
) -> None:
    for _ in range(2):  # asking twice is as good as once
        reply = await guarded.post(
            f"/api/v1/breakers/{path}", json={**body, "reason": "deploy"}, token="operator-token"
        )
        assert (reply.status, reply.json["state"]) == (200, state)
    name, order = daemon.orders[0]
    assert f"{name}/{order.operation}" == path
    assert (order.actor, order.reason) == ("otto", "deploy")


async def test_the_wait_of_an_open_breaker_can_be_given(guarded: Any) -> None:
    reply = await guarded.post(
        "/api/v1/breakers/api/open", json={"for_seconds": 7.5}, token="operator-token"
    )
    assert reply.json["retry_after_seconds"] == pytest.approx(7.5)


async def test_enabling_keeps_the_cycles_when_asked_to(guarded: Any, daemon: Any) -> None:
    daemon.component("api").breaker.disable()
    reply = await guarded.post(
        "/api/v1/breakers/api/enable", json={"reset_counters": False}, token="operator-token"
    )
    assert reply.json["state"] == "half_open"


async def test_an_impossible_move_is_a_conflict_and_changes_nothing(
    guarded: Any, daemon: Any
) -> None:
    daemon.component("api").breaker.disable()
    reply = await guarded.post("/api/v1/breakers/api/close", token="operator-token")
    assert (reply.status, reply.code) == (409, "impossible_move")
    assert "enable or reset it first" in reply.json["error"]["message"]
    assert reply.json["error"]["details"] == {"name": "api", "state": "disabled"}
    assert daemon.component("api").breaker.state == "disabled"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "the body is not JSON"),
        (b"[" * 50_000, "the body is not JSON"),
        (b"[1]", "the body: expected a JSON object, got a list"),
        (b'{"raeson": "x"}', "unknown field 'raeson'; did you mean 'reason'?"),
        (b'{"reason": 5}', "reason: expected text, got a number"),
        (b'{"reason": "a\\nb"}', "reason: expected one line of printable text, got 'a\\nb'"),
        (b'{"reason": "\\ud800"}', "reason: expected one line of printable text, got '\\ud800'"),
        (b'{"hold": "yes"}', "hold: expected true or false, got text"),
        (b'{"for_seconds": true}', "for_seconds: expected a number, got true or false"),
        (b'{"for_seconds": 0}', "for_seconds: expected seconds, more than 0"),
        (b'{"for_seconds": -1}', "for_seconds: expected seconds, more than 0"),
        (b'{"for_seconds": NaN}', "for_seconds: expected seconds, more than 0"),
        (b'{"for_seconds": 1e400}', "for_seconds: expected seconds, more than 0"),
        (b'{"for_seconds": 5, "hold": true}', "hold and for_seconds exclude each other"),
        (b'{"reason": "%s"}' % (b"x" * 501), "reason: expected at most 500 characters, got 501"),
        (b"\xff", "the body is not JSON"),
        (b'{"hold": true, "hold": false}', "the body has 'hold' more than once"),
        (b'{"reason": "x", "a": {"b": 1, "\\u0062": 2}}', "the body has 'b' more than once"),
    ],
)
async def test_a_wrong_order_is_refused_and_changes_nothing(
    guarded: Any, daemon: Any, body: bytes, message: str
) -> None:
    reply = await guarded.post("/api/v1/breakers/api/open", data=body, token="operator-token")
    assert reply.status in {400, 413}
    assert reply.status == 413 or reply.json["error"]["message"].startswith(message)
    assert daemon.orders == []


async def test_an_order_that_is_too_long_is_refused(guarded: Any, daemon: Any) -> None:
    reply = await guarded.post(
        "/api/v1/breakers/api/open", data=b" " * 100_000, token="operator-token"
    )
    assert (reply.status, daemon.orders) == (413, [])
    assert reply.code == "body_too_large"
    assert reply.json["error"]["message"] == "a body has at most 65536 bytes"


async def test_an_unknown_breaker_cannot_be_moved(guarded: Any, daemon: Any) -> None:
    reply = await guarded.post("/api/v1/breakers/nope/reset", token="operator-token")
    assert (reply.status, daemon.orders) == (404, [])


async def test_a_check_that_is_run_shows_what_it_found(
    guarded: Any, daemon: Any, fail_result: Any
) -> None:
    daemon.run_result = fail_result("no route to host")
    reply = await guarded.post("/api/v1/checks/api/run", token="operator-token")
    assert reply.status == 200
    assert (reply.json["ran"], reply.json["skipped"]) == (True, None)
    assert reply.json["result"]["error"] == "no route to host"


async def test_who_asks_for_a_run_and_why_goes_on_record(guarded: Any, daemon: Any) -> None:
    asked = {"json": {"reason": "after the deploy"}, "headers": {"X-Request-ID": "deploy-17"}}
    for path in ("/api/v1/checks/api/run", "/api/v1/breakers/api/check"):
        await guarded.post(path, token="operator-token", **asked)
    await guarded.post("/api/v1/breakers/reset-all", token="operator-token", **asked)
    otto = Author(actor="otto", reason="after the deploy", request="deploy-17")
    assert daemon.authors == [otto] * 3


async def test_a_reset_of_all_says_who_was_left_and_why(guarded: Any) -> None:
    reply = await guarded.post("/api/v1/breakers/reset-all", token="operator-token")
    left = [{"name": "shop:redis", "why": "it takes no orders"}]
    assert (reply.status, reply.json) == (200, {"reset": 4, "left": left})


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/v1/breakers/reset-all", "POST"),
        ("/api/v1/breakers/api/open", "POST"),
        ("/api/v1/breakers/api", "GET,HEAD"),
        ("/api/v1/config/breaker", "DELETE,GET,HEAD,PUT"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(guarded: Any, path: str, allowed: str) -> None:
    reply = await guarded.ask("PATCH", path, token="admin-tokén")
    assert (reply.status, reply.code) == (405, "method_not_allowed")
    assert ",".join(sorted(reply.headers["Allow"].split(","))) == allowed


async def test_a_check_that_may_not_run_says_why(guarded: Any, daemon: Any) -> None:
    daemon.run_result = SkipCause.BREAKER
    reply = await guarded.post("/api/v1/breakers/flaky/check", token="operator-token")
    assert (reply.json["ran"], reply.json["skipped"]) == (False, "breaker")
    assert reply.json["state"] == "open"


async def test_an_export_is_no_check_but_can_be_run_by_its_breaker(
    guarded: Any, daemon: Any
) -> None:
    assert (await guarded.post("/api/v1/checks/gateway/run", token="operator-token")).status == 404
    daemon.run_result = Result(ok=True, duration=0.1)
    reply = await guarded.post("/api/v1/breakers/gateway/check", token="operator-token")
    assert reply.json["result"]["ok"] is True


@pytest.mark.parametrize("category", [Category.APP, Category.RECEIVER])
async def test_what_has_nothing_to_run_says_so(
    guarded: Any, daemon: Any, category: Category
) -> None:
    daemon.add("other", category=category)
    reply = await guarded.post("/api/v1/breakers/other/check", token="operator-token")
    assert (reply.status, reply.code) == (409, "nothing_to_run")
