"""The middleware of aiohttp's server. Rule: the same verdicts as the ASGI one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientError, ClientSession, web
from aiohttp.test_utils import TestClient, TestServer

from cbmon import CircuitBreaker, CircuitOpenError, State
from cbmon.integrations.aiohttp_server import CircuitBreakerMiddleware, ProtectedRoute
from cbmon.testing import ManualClock

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Client = TestClient[web.Request, web.Application]


class Shop:
    """An application with one guarded handler."""

    def __init__(self, handler: Handler, **route: Any) -> None:
        self.clock = ManualClock()
        route = {"failure_threshold": 2, "recovery_timeout": 30, **route}
        routes = [ProtectedRoute("/guarded/*", name="shop", **route)]
        self.middleware = CircuitBreakerMiddleware(routes, clock=self.clock)
        self.app = web.Application(middlewares=[self.middleware])
        self.app.router.add_route("*", "/guarded/{rest:.*}", handler)

    @property
    def breaker(self) -> CircuitBreaker:
        return self.middleware.breakers.get("shop")

    def outcome(self) -> dict[str, int]:
        counts = self.breaker.counts
        names = ("successes", "failures", "ignored", "cancelled", "rejections", "in_flight")
        return {name: value for name in names if (value := getattr(counts, name))}

    @asynccontextmanager
    async def served(self, **options: Any) -> AsyncIterator[Client]:
        async with TestClient(TestServer(self.app, **options)) as client:
            yield client


def raising(error: Exception) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        raise error

    return handler


async def _status(client: Client) -> int:
    async with client.get("/guarded/a") as response:
        await response.read()
        return response.status


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (web.HTTPNotFound(), 404, {"successes": 1}),
        (web.HTTPFound("/else"), 302, {"successes": 1}),
        (web.HTTPBadGateway(), 502, {"failures": 1}),
        (ValueError("boom"), 500, {"failures": 1}),
        (ConnectionResetError("the database is gone"), 500, {"failures": 1}),
        (CircuitOpenError("redis", State.OPEN, 7.0), 503, {"ignored": 1}),
    ],
)
async def test_what_a_handler_raises_is_judged_by_its_status(
    error: Exception, status: int, told: dict[str, int]
) -> None:
    shop = Shop(raising(error))
    async with shop.served() as client, client.get("/guarded/a", allow_redirects=False) as answer:
        assert answer.status == status
    assert shop.outcome() == told


async def test_an_open_breaker_answers_503_and_closes_again() -> None:
    answers = [500, 500, 200]

    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(status=answers.pop(0))

    shop = Shop(handler)
    async with shop.served() as client:
        assert [await _status(client) for _ in range(2)] == [500, 500]
        async with client.get("/guarded/a") as response:
            assert response.status == 503
            assert response.headers["Retry-After"] == "30"
            assert response.headers["X-Circuit-Breaker"] == "shop; open"
            assert (await response.json())["error"]["code"] == "circuit_open"
        shop.clock.advance(30)
        assert await _status(client) == 200
    assert shop.breaker.state is State.CLOSED


async def test_other_routes_and_missing_ones_pass() -> None:
    shop = Shop(raising(ValueError()))
    async with shop.served() as client, client.get("/free") as response:
        assert response.status == 404
    assert shop.outcome() == {}


async def test_a_full_bulkhead_answers_503_and_a_fallback_may_be_a_response() -> None:
    go_on = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        await go_on.wait()
        return web.Response(text="done")

    shop = Shop(
        handler, max_concurrent_requests=1, fallback=lambda its: web.Response(text=its.cause)
    )
    async with shop.served() as client:
        first = asyncio.create_task(_status(client))
        while not shop.breaker.counts.in_flight:  # noqa: ASYNC110 - somebody else's state
            await asyncio.sleep(0.001)
        async with client.get("/guarded/b") as response:
            assert await response.text() == "full"
        go_on.set()
        assert await first == 200
    assert shop.outcome() == {"successes": 1, "ignored": 1}


async def test_a_handler_that_takes_too_long_is_a_504() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    shop = Shop(handler, call_timeout=0.02)
    async with shop.served() as client:
        assert await _status(client) == 504
    assert shop.outcome() == {"failures": 1}


async def test_a_stream_that_takes_too_long_is_cut_off_and_answered_once() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"half")
        await asyncio.Event().wait()
        return response

    shop = Shop(handler, call_timeout=0.05)
    async with shop.served() as client, client.get("/guarded/a") as response:
        assert response.status == 200
        with pytest.raises(ClientError):
            await response.read()
    assert shop.outcome() == {"failures": 1}


@pytest.mark.parametrize("cancels", [True, False], ids=["handler cancelled", "handler goes on"])
async def test_a_client_that_hangs_up_says_nothing(cancels: bool) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        started.set()
        try:
            while True:
                await response.write(b"x" * 1024)
                await asyncio.sleep(0.001)
        finally:
            ended.set()

    shop = Shop(handler)
    server = TestServer(shop.app, handler_cancellation=cancels)
    async with server, ClientSession() as session:
        response = await session.get(server.make_url("/guarded/a"))
        await started.wait()
        response.close()
        async with asyncio.timeout(5):
            await ended.wait()
        while shop.breaker.counts.in_flight:  # noqa: ASYNC110 - somebody else's state
            await asyncio.sleep(0.001)
    assert shop.outcome() == {"cancelled": 1}


async def test_a_websocket_passes_through() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str("hello")
        await socket.close()
        return socket

    shop = Shop(handler)
    shop.breaker.force_open()
    async with shop.served() as client:
        async with client.ws_connect("/guarded/a") as socket:
            assert await socket.receive_str() == "hello"
        assert await _status(client) == 503
    assert shop.outcome() == {"rejections": 1}
