"""What the server-side middlewares add to a request, beside the bare application.

Rule: the application is called without a network, so that nothing but the middleware differs; the
breaker's own part (``try_acquire`` and ``record``) is measured beside and subtracted. The bar of
the project is 5 µs for the rest; the exit code says it (0 met, 1 not).

    python -m benchmarks.integrations_server [--rounds 11] [--calls 4000] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from benchmarks._harness import Contender, measure
from cbmon import CircuitBreaker
from cbmon.integrations import aiohttp_server
from cbmon.integrations.asgi import CircuitBreakerMiddleware, ProtectedRoute

BAR = 5_000.0
"""Nanoseconds."""
START = {"type": "http.response.start", "status": 200, "headers": []}
BODY = {"type": "http.response.body", "body": b"ok"}
SCOPE = {"type": "http", "method": "GET", "path": "/api/v1/items/7"}


def routes(guarded: bool) -> list[ProtectedRoute]:
    """Ten routes, of which the last is asked for."""
    others = [ProtectedRoute(f"/other/{number}/*") for number in range(9)]
    return [*others, ProtectedRoute("/api/v1/items/{id}" if guarded else "/never")]


async def application(_scope: Any, _receive: Any, send: Any) -> None:
    await send(START)
    await send(BODY)


async def receive() -> Any:
    return {"type": "http.request"}


async def send(message: Any) -> None:
    pass


def asgi(app: Any) -> Callable[[], Awaitable[Any]]:
    async def call() -> None:
        await app(SCOPE, receive, send)

    return call


def aiohttp_calls() -> tuple[Any, Any, Any]:
    request = make_mocked_request("GET", "/api/v1/items/7")
    response = web.Response()

    async def handler(_request: web.Request) -> web.StreamResponse:
        return response

    guard = aiohttp_server.CircuitBreakerMiddleware(routes(True))
    passing = aiohttp_server.CircuitBreakerMiddleware(routes(False))

    async def bare() -> Any:
        return await handler(request)

    async def guarded() -> Any:
        return await guard(request, handler)

    async def unguarded() -> Any:
        return await passing(request, handler)

    return bare, guarded, unguarded


def breaker_alone() -> Callable[[], Awaitable[Any]]:
    breaker = CircuitBreaker("alone")

    async def call() -> None:
        permit = breaker.try_acquire()
        if permit is not None:
            breaker.record(permit, failed=False, duration=0.001)

    return call


async def nothing() -> None:
    pass


def contenders() -> list[Contender]:
    bare = asgi(application)
    guarded = asgi(CircuitBreakerMiddleware(application, routes(True)))
    passing = asgi(CircuitBreakerMiddleware(application, routes(False)))
    busy = CircuitBreakerMiddleware(
        application, [ProtectedRoute("/api/v1/items/{id}", max_concurrent_requests=100)]
    )
    plain, aio, unguarded = aiohttp_calls()
    return [
        Contender(name="the breaker alone", call=breaker_alone(), bare=nothing),
        Contender(name="ASGI, guarded route", call=guarded, bare=bare, ours=True),
        Contender(name="ASGI, with a bulkhead", call=asgi(busy), bare=bare, ours=True),
        Contender(name="ASGI, another route", call=passing, bare=bare, ours=True),
        Contender(name="aiohttp, guarded route", call=aio, bare=plain, ours=True),
        Contender(name="aiohttp, another route", call=unguarded, bare=plain, ours=True),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--calls", type=int, default=4_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = measure(contenders(), rounds=options.rounds, calls=options.calls, use_loop=True)
    alone = rows[0].nanoseconds
    figures = []
    for row in rows:
        besides = row.nanoseconds - (alone if "guarded" in row.contender.name else 0.0)
        if row.contender.name.endswith("bulkhead"):
            besides = row.nanoseconds - alone
        figures.append((row.contender.name, row.nanoseconds, besides, row.contender.ours))
    if options.json:
        print(json.dumps([{"name": n, "added_ns": a, "besides_ns": b} for n, a, b, _ in figures]))
    else:
        print(f"{'':26}{'added':>10}{'besides the breaker':>22}")
        for name, added, besides, ours in figures:
            shown = f"{besides / 1000:.2f} µs" if ours else ""
            print(f"{name:26}{added / 1000:>7.2f} µs{shown:>22}")
    missed = [name for name, _, besides, ours in figures if ours and besides > BAR]
    for name in missed:
        print(f"missed: {name} adds more than {BAR / 1000:g} µs")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
