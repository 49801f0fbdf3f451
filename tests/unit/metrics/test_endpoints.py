"""An application's /metrics. Rule: the same series as the daemon's, over ASGI and WSGI."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter

from cbmon import BreakerRegistry
from cbmon.metrics.endpoints import metrics_asgi_app, metrics_wsgi_app

LINE = b'circuit_breaker_state{category="app",component="redis"} 0.0'


def breakers() -> BreakerRegistry:
    found = BreakerRegistry()
    found.get("redis").open()
    return found


async def test_an_asgi_application_serves_the_breakers() -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/metrics",
        "query_string": b"",
        "headers": [],
    }
    await metrics_asgi_app(breakers())(scope, receive, send)
    assert sent[0]["status"] == 200
    assert LINE in sent[1]["body"]


def test_a_wsgi_application_serves_the_breakers_and_what_else_is_registered() -> None:
    registry = CollectorRegistry()
    Counter("orders", "Orders.", registry=registry).inc()
    answers: list[Any] = []

    def start(status: str, headers: Any) -> None:
        answers.append(status)

    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/metrics", "QUERY_STRING": ""}
    body = b"".join(metrics_wsgi_app(breakers(), registry)(environ, start))
    assert answers == ["200 OK"]
    assert LINE in body
    assert b"orders_total 1.0" in body
