"""A shop on FastAPI: PostgreSQL, Redis, an LLM and an MCP server, each behind a breaker.

Everything a breaker needs is in `breakers.yml`; what protects a client is one line each. The
breakers are reported to the daemon, and its operators may move them.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from redis import asyncio as redis

from cbmon import BreakerRegistry
from cbmon.appconfig import load_breakers
from cbmon.integrations import asyncpg
from cbmon.integrations.asgi import CircuitBreakerMiddleware, ProtectedRoute, Rejection, Reply
from cbmon.integrations.httpx import AsyncBreakerTransport
from cbmon.integrations.llm import LLM_RULES
from cbmon.integrations.mcp import McpClient
from cbmon.integrations.redis import protect_redis
from cbmon.metrics.endpoints import metrics_asgi_app
from cbmon.pool import status
from cbmon.report import BreakerReporter

HERE = Path(__file__).parent
BASE = int(os.environ.get("SHOP_PORT", "9820"))
STATE = Path(os.environ.get("SHOP_STATE", "var/shop"))
DAEMON = f"http://127.0.0.1:{os.environ.get('SHOP_DAEMON_PORT', '9813')}"

registry = BreakerRegistry(failure_threshold=3, recovery_timeout=3)
breakers = load_breakers(HERE / "breakers.yml", registry=registry)


class Clients:
    """What the shop talks to."""

    database: Any
    cache: Any
    llm: httpx.AsyncClient
    shipping: McpClient


clients = Clients()


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    dsn = f"postgresql://shop@127.0.0.1:{BASE + 1}/postgres"
    transport = AsyncBreakerTransport(breakers.breaker("llm"), rules=LLM_RULES)
    breakers.breaker("shipping")
    async with (
        asyncpg.create_pool(breakers.breaker("postgres"), dsn, min_size=0, timeout=1) as database,
        redis.Redis(port=BASE + 2, socket_timeout=1) as cache,
        httpx.AsyncClient(
            transport=transport, base_url=f"http://127.0.0.1:{BASE + 3}", timeout=1
        ) as llm,
        McpClient(
            {"shipping": f"http://127.0.0.1:{BASE + 4}/mcp"},
            registry,
            tool_timeout=1,
            connect_timeout=1,
        ) as shipping,
    ):
        clients.database, clients.llm, clients.shipping = database, llm, shipping
        clients.cache = protect_redis(cache, breakers.breaker("redis"))
        reporter = BreakerReporter(
            registry,
            url=DAEMON,
            application="shop",
            token_file=STATE / "reporter.token",
            interval=2,
            accept_orders=True,
        )
        async with reporter:
            yield


def from_stock(rejection: Rejection) -> Reply:
    """Advice is nice to have: without the LLM there is a plain one."""
    return Reply(body={"advice": "take the tea", "because": rejection.cause})


app = FastAPI(lifespan=lifespan)
app.mount("/metrics", metrics_asgi_app(registry))
app.add_middleware(
    CircuitBreakerMiddleware,
    registry=registry,
    routes=[
        ProtectedRoute("/advice", name="advice", fallback=from_stock, failure_threshold=1000),
        ProtectedRoute(
            "/**", name="shop", methods=["GET"], failure_threshold=1000, max_concurrent_requests=100
        ),
    ],
)


@app.get("/items/{item}")
async def item(item: int) -> dict[str, Any]:
    price = await clients.database.fetchval("select 10 * $1::int", item)
    return {"item": item, "price": price}


@app.get("/cart/{user}")
async def cart(user: str) -> dict[str, Any]:
    return {"user": user, "visits": await clients.cache.incr(f"visits:{user}")}


@app.get("/advice")
async def advice() -> dict[str, Any]:
    question = {"model": "stub", "messages": [{"role": "user", "content": "tea or coffee?"}]}
    answer = await clients.llm.post("/v1/chat/completions", json=question)
    answer.raise_for_status()
    return {"advice": answer.json()["choices"][0]["message"]["content"]}


@app.get("/shipping/{town}")
async def shipping(town: str) -> dict[str, Any]:
    result = await clients.shipping.call_tool("quote", {"town": town})
    return {"town": town, "quote": result.content[0].text}


@app.get("/healthz")
async def health() -> dict[str, Any]:
    found = status.status(
        (breakers[its.name].category if its.name in breakers else "", its) for its in registry
    )
    return {"status": found["status"], **found["summary"]}
