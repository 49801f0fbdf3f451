"""FastAPI, Starlette, Litestar and aiohttp under concurrent load, on real servers.

Rule: after thousands of requests of every kind the counters are exact, nothing is in flight, and
the breaker's state is the one that the requests gave it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from cbmon import BreakerRegistry, State
from cbmon.integrations import aiohttp_server
from cbmon.integrations.asgi import CircuitBreakerMiddleware, ProtectedRoute

REQUESTS = 1200
AT_ONCE = 40


def needed(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"{name} is not installed: {error}")


def routes(**fields: Any) -> list[ProtectedRoute]:
    given = {"failure_threshold": 1_000_000, **fields}
    return [ProtectedRoute("/jobs/{kind}", name="jobs", **given)]


async def work(kind: str) -> tuple[int, str]:
    await asyncio.sleep(0.001)
    if kind == "boom":
        raise ValueError("boom")
    return {"good": 200, "missing": 404, "bad": 502}[kind], kind


def fastapi_app(registry: BreakerRegistry, **fields: Any) -> Any:
    fastapi = needed("fastapi")
    responses = needed("fastapi.responses")
    app = fastapi.FastAPI()

    async def handler(kind: str) -> Any:
        if kind == "stream":
            return responses.StreamingResponse(_parts())
        status, text = await work(kind)
        return responses.PlainTextResponse(text, status)

    app.get("/jobs/{kind}", response_model=None)(handler)
    app.add_middleware(CircuitBreakerMiddleware, routes=routes(**fields), registry=registry)
    return app


def starlette_app(registry: BreakerRegistry, **fields: Any) -> Any:
    responses, routing = needed("starlette.responses"), needed("starlette.routing")

    async def handler(request: Any) -> Any:
        kind = request.path_params["kind"]
        if kind == "stream":
            return responses.StreamingResponse(_parts())
        status, text = await work(kind)
        return responses.PlainTextResponse(text, status)

    app = needed("starlette.applications").Starlette(
        routes=[routing.Route("/jobs/{kind}", handler)]
    )
    app.add_middleware(CircuitBreakerMiddleware, routes=routes(**fields), registry=registry)
    return app


def litestar_app(registry: BreakerRegistry, **fields: Any) -> Any:
    litestar = needed("litestar")
    define = needed("litestar.middleware").DefineMiddleware
    responses = needed("litestar.response")

    async def handler(request: Any) -> Any:
        kind = request.path_params["kind"]
        if kind == "stream":
            return responses.Stream(_parts())
        status, text = await work(kind)
        return responses.Response(text, status_code=status, media_type="text/plain")

    handler.__annotations__ = {"request": litestar.Request, "return": litestar.Response}
    return litestar.Litestar(
        route_handlers=[litestar.get("/jobs/{kind:str}")(handler)],
        middleware=[define(CircuitBreakerMiddleware, routes=routes(**fields), registry=registry)],
        logging_config=None,
    )


async def _parts() -> AsyncIterator[bytes]:
    for _ in range(2000):
        yield b"x" * 1000
        await asyncio.sleep(0.001)


@asynccontextmanager
async def uvicorn_serving(app: Any) -> AsyncIterator[str]:
    uvicorn = needed("uvicorn")
    config = uvicorn.Config(app, port=0, log_config=None, lifespan="off", access_log=False)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        while not server.started:  # noqa: ASYNC110 - somebody else's state
            await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def aiohttp_serving(registry: BreakerRegistry, **fields: Any) -> AsyncIterator[str]:
    async def handler(request: web.Request) -> web.StreamResponse:
        kind = request.match_info["kind"]
        if kind == "stream":
            response = web.StreamResponse()
            await response.prepare(request)
            async for part in _parts():
                await response.write(part)
            return response
        status, text = await work(kind)
        return web.Response(text=text, status=status)

    guard = aiohttp_server.CircuitBreakerMiddleware(routes(**fields), registry=registry)
    app = web.Application(middlewares=[guard])
    app.router.add_get("/jobs/{kind}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def serving(framework: str, registry: BreakerRegistry, **fields: Any) -> AsyncIterator[str]:
    if framework == "aiohttp":
        async with aiohttp_serving(registry, **fields) as url:
            yield url
        return
    make: dict[str, Callable[..., Any]] = {
        "fastapi": fastapi_app,
        "starlette": starlette_app,
        "litestar": litestar_app,
    }
    async with uvicorn_serving(make[framework](registry, **fields)) as url:
        yield url


FRAMEWORKS = ["fastapi", "starlette", "litestar", "aiohttp"]


async def ask(session: aiohttp.ClientSession, url: str) -> int:
    async with session.get(url) as response:
        await response.read()
        return response.status


async def hang_up(session: aiohttp.ClientSession, url: str) -> int:
    response = await session.get(url)
    await response.content.read(100)
    response.close()
    return 0


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_counters_are_exact_after_a_mixed_load(framework: str) -> None:
    registry = BreakerRegistry()
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> int:
        kind = ("good", "missing", "bad", "boom", "good", "stream")[number % 6]
        async with gate:
            if kind == "stream":
                return await hang_up(session, f"{url}/jobs/stream")
            return await ask(session, f"{url}/jobs/{kind}")

    async with serving(framework, registry) as url, aiohttp.ClientSession() as session:
        statuses = await asyncio.gather(*(one(number) for number in range(REQUESTS)))
        counts = registry.get("jobs").counts
        async with asyncio.timeout(20):
            while (counts := registry.get("jobs").counts).in_flight:  # noqa: ASYNC110 - somebody else's state
                await asyncio.sleep(0.05)
    sixth = REQUESTS // 6
    assert [statuses.count(status) for status in (200, 404, 502, 500)] == [2 * sixth, *[sixth] * 3]
    assert (counts.successes, counts.failures, counts.cancelled) == (3 * sixth, 2 * sixth, sixth)
    assert counts.calls == REQUESTS


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_a_broken_route_is_shut_and_opens_again(framework: str) -> None:
    registry = BreakerRegistry()
    fields = {"failure_threshold": 5, "recovery_timeout": 0.3}
    async with (
        serving(framework, registry, **fields) as url,
        aiohttp.ClientSession() as session,
    ):
        first = [await ask(session, f"{url}/jobs/bad") for _ in range(5)]
        many = await asyncio.gather(*(ask(session, f"{url}/jobs/good") for _ in range(50)))
        await asyncio.sleep(0.3)
        assert await ask(session, f"{url}/jobs/good") == 200
    breaker = registry.get("jobs")
    assert first == [502] * 5
    assert many == [503] * 50
    assert breaker.state is State.CLOSED
    assert breaker.counts.rejections == 50
    assert breaker.counts.trips == 1


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_no_more_requests_run_than_there_are_places(framework: str) -> None:
    registry = BreakerRegistry()
    fields = {"max_concurrent_requests": 3, "queue_timeout": 30}
    async with (
        serving(framework, registry, **fields) as url,
        aiohttp.ClientSession() as session,
    ):
        statuses = await asyncio.gather(*(ask(session, f"{url}/jobs/good") for _ in range(100)))
    assert statuses == [200] * 100
    assert registry.get("jobs").counts.successes == 100


@pytest.mark.parametrize("place", ["inside", "outside"])
async def test_hang_ups_say_nothing_beside_a_middleware_that_has_tasks_of_its_own(
    place: str,
) -> None:
    """Starlette's BaseHTTPMiddleware runs what is below it in another task."""
    base = needed("starlette.middleware.base").BaseHTTPMiddleware
    registry = BreakerRegistry()

    async def pass_on(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    app = starlette_app(registry) if place == "outside" else None
    if app is None:
        app = starlette_app(BreakerRegistry())
        app.user_middleware.clear()
        app.add_middleware(base, dispatch=pass_on)
        app.add_middleware(CircuitBreakerMiddleware, routes=routes(), registry=registry)
    else:
        app.add_middleware(base, dispatch=pass_on)
    async with uvicorn_serving(app) as url, aiohttp.ClientSession() as session:
        await asyncio.gather(*(hang_up(session, f"{url}/jobs/stream") for _ in range(60)))
        statuses = await asyncio.gather(*(ask(session, f"{url}/jobs/good") for _ in range(60)))
        async with asyncio.timeout(20):
            while (counts := registry.get("jobs").counts).in_flight:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    assert statuses == [200] * 60
    assert (counts.successes, counts.failures, counts.cancelled) == (60, 0, 60)
