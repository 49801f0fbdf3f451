"""Rule: whatever answers in the place of a Prometheus, the run ends with the right reason."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cbmon.model import Reason
from cbmon.probes import AddressPolicy


def http(status: str, body: bytes, *headers: str) -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers])
    return head.encode() + b"\r\n\r\n" + body


def success(data: Any, **more: Any) -> bytes:
    return http("200 OK", json.dumps({"status": "success", "data": data, **more}).encode())


def vector(*values: str) -> dict[str, Any]:
    result = [{"metric": {"n": value}, "value": [1.0, value]} for value in values]
    return {"resultType": "vector", "result": result}


async def look(bench: Any, answer: bytes, **options: Any) -> Any:
    target = await bench.serve(lambda _: answer)
    return await bench.look("promql", url=target.url, query="up", **options), target


@pytest.mark.parametrize(
    ("reason", "message", "answer"),
    [
        (Reason.PROTOCOL, "expected JSON", http("200 OK", b"<html>")),
        (Reason.PROTOCOL, "expected JSON", http("200 OK", b"[" * 100_000)),
        (Reason.PROTOCOL, "the answer has no status", http("200 OK", b"[]")),
        (Reason.PROTOCOL, "no resultType", success({})),
        (Reason.PROTOCOL, "malformed", success({"resultType": "vector", "result": [1]})),
        (Reason.PROTOCOL, "malformed", success({"resultType": "scalar", "result": "x"})),
        (Reason.PROTOCOL, "malformed", success(vector("x"))),
        (Reason.STATUS, 'failed: "no"', http("200 OK", b'{"status":"error","error":"no"}')),
        (Reason.STATUS, 'expected 200: "not here"', http("404 Not Found", b"not\nhere")),
        (Reason.STATUS, "got status 302", http("302 Found", b"", "Location: /x")),
        (Reason.STATUS, '200: "down"', http("503 x", b'{"status":"error","error":"down"}')),
        (Reason.AUTH, "got status 401", http("401 Unauthorized", b"")),
        (Reason.SIZE, "larger than", http("200 OK", b"x" * 5_000_000)),
        (Reason.PROTOCOL, "ends too early", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"),
        (Reason.CONNECT, "gave no answer", b""),
    ],
)  # fmt: skip
async def test_every_way_to_fail_has_its_reason(
    bench: Any, reason: Reason, message: str, answer: bytes
) -> None:
    result, _ = await look(bench, answer)

    assert result.reason is reason, result.error
    assert message in result.error


async def test_warnings_are_told_and_fail_only_when_they_should(bench: Any) -> None:
    answer = success(vector("1"), warnings=["a store is away"])

    good, _ = await look(bench, answer)
    bad, _ = await look(bench, answer, expect={"warnings": "fail"})

    assert good.ok
    assert good.facts["warnings"] == ["a store is away"]
    assert bad.reason is Reason.BODY
    assert 'a warning: "a store is away"' in bad.error


async def test_the_request_is_what_prometheus_understands(bench: Any) -> None:
    _, target = await look(
        bench,
        success(vector("1")),
        headers={"X-Scope-OrgID": "shop"},
        bearer_token="hunter2",
    )

    asked = target.asked[0]
    assert (asked.method, asked.path) == ("POST", "/api/v1/query")
    assert asked.body.startswith(b"query=up&timeout=")
    assert asked.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert asked.headers["X-Scope-OrgID"] == "shop"
    assert asked.headers["Authorization"] == "Bearer hunter2"


async def test_the_address_policy_holds(bench: Any) -> None:
    closed = bench.environment.under(AddressPolicy(deny=["127.0.0.0/8"]))

    result = await bench.look("promql", closed, url="http://127.0.0.1:1", query="up")

    assert result.reason is Reason.POLICY


async def test_a_long_label_does_not_fill_the_message(bench: Any) -> None:
    data = vector("1")
    data["result"][0]["metric"] = {"n": "x" * 10_000}

    result, _ = await look(bench, success(data), expect={"value": 2})

    assert result.reason is Reason.BODY
    assert len(result.error) < 200
