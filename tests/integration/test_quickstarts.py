"""The quick-starts of examples/: each answers, is shut after three failures, and says so.

Rule: the file is run as it is; a framework that is missing is a skip, and a failure in CI.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.integration.test_server_frameworks import needed, uvicorn_serving

FOLDER = Path(__file__).parents[2] / "examples" / "quickstarts"


def load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # Litestar looks annotations up there
    spec.loader.exec_module(module)
    return module


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    if not isinstance(app, web.Application):
        async with uvicorn_serving(app) as url:
            yield url
        return
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def ask(url: str) -> tuple[int, Mapping[str, str], str]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, response.headers, await response.text()


@pytest.mark.parametrize("framework", ["fastapi", "starlette", "litestar", "aiohttp"])
async def test_a_quickstart_answers_and_is_shut_while_its_database_is_down(framework: str) -> None:
    needed(framework)
    module = load(f"{framework}_app")
    async with served(module.app) as url:
        order = f"{url}/orders/7"
        status, _, body = await ask(order)
        assert (status, "7" in body) == (200, True)
        module.database["up"] = False
        assert [(await ask(order))[0] for _ in range(3)] == [500] * 3
        status, headers, body = await ask(order)
        assert headers["X-Circuit-Breaker"] == "/orders/{number}; open"
        if framework == "starlette":
            assert (status, body) == (200, '{"order":null,"why":"open"}')
        else:
            assert (status, int(headers["Retry-After"]) > 0) == (503, True)
        if framework == "fastapi":
            _, _, metrics = await ask(f"{url}/metrics/")
            assert 'circuit_breaker_rejections_total{category="app"' in metrics


def test_a_batch_job_works_whether_a_daemon_is_there_or_not() -> None:
    assert load("batch_job").main("http://127.0.0.1:1") == sum(range(100))


def test_every_quickstart_is_tested() -> None:
    names = {path.stem for path in FOLDER.glob("*.py")}
    assert names == {"fastapi_app", "starlette_app", "litestar_app", "aiohttp_app", "batch_job"}
