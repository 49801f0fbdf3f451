"""What each integration adds to its bare client, beside what the breaker alone adds to a call.

Rule: the client talks to a peer that costs nothing (a transport, a cursor, a connection in this
process), so that what is measured is the client's own code and ours. The breaker's cost is that
of the same policy around the cheapest function, from the same minute. The bar: an integration
adds at most 5 µs besides the breaker, a stream whose tokens are read along, too. The exit code
says it (0 all met, 1 not).

    python -m benchmarks.integrations [--rounds 9] [--calls 2000] [--json]
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Self, cast

from benchmarks._harness import Contender, Row, measure
from cbmon import CircuitBreaker

BAR_MICROSECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The client bare and behind a breaker, called alike."""

    name: str
    bare: Any
    call: Any
    use_loop: bool = False
    breakers: int = 1
    """How many of them a call goes through."""

    def contender(self) -> Contender:
        return Contender(name=self.name, call=self.call, bare=self.bare, ours=True)


def breaker() -> CircuitBreaker:
    return CircuitBreaker("bench")


def plain() -> Iterable[Pair]:
    """The breaker itself: the floor that is taken off."""

    def nothing() -> None:
        pass

    async def nothing_async() -> None:
        pass

    yield Pair(name="breaker", bare=nothing, call=breaker()(nothing))
    yield Pair(name="breaker", bare=nothing_async, call=breaker()(nothing_async), use_loop=True)


def httpx_pairs() -> Iterable[Pair]:
    """A request through the transport, its body read: all that a client does with one."""
    import httpx

    from cbmon.integrations.httpx import AsyncBreakerTransport, BreakerTransport

    request = httpx.Request("GET", "http://a/")
    mock = httpx.MockTransport(lambda _request: httpx.Response(200, stream=_Body()))

    class _Body(httpx.SyncByteStream, httpx.AsyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b"ok"

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"ok"

    def reading(transport: httpx.BaseTransport) -> Any:
        return lambda: transport.handle_request(request).read()

    def reading_async(transport: httpx.AsyncBaseTransport) -> Any:
        async def read() -> bytes:
            return await (await transport.handle_async_request(request)).aread()

        return read

    yield Pair(name="httpx", bare=reading(mock), call=reading(BreakerTransport(breaker(), mock)))
    guarded = AsyncBreakerTransport(breaker(), mock)
    yield Pair(name="httpx", bare=reading_async(mock), call=reading_async(guarded), use_loop=True)


def requests_pairs() -> Iterable[Pair]:
    """A request through the adapter, its body read."""
    import io

    import requests
    from requests.adapters import BaseAdapter

    from cbmon.integrations.requests import BreakerAdapter

    class Instant(BaseAdapter):
        def send(self, request: Any, *_args: Any, **_kwargs: Any) -> requests.Response:
            response = requests.Response()
            response.status_code, response.request, response.url = 200, request, request.url
            response.raw = io.BytesIO(b"ok")
            return response

        def close(self) -> None:
            pass

    request = requests.Request("GET", "http://a/").prepare()
    bare, ours = Instant(), BreakerAdapter(breaker(), Instant())
    yield Pair(
        name="requests",
        bare=lambda: bare.send(request).content,
        call=lambda: ours.send(request).content,
    )


def aiohttp_pairs() -> Iterable[Pair]:
    from cbmon.integrations.aiohttp import BreakerMiddleware

    class Content:
        def exception(self) -> None:
            return None

    class Connection:
        """Gives itself back at once, as for an answer that is there already."""

        def add_callback(self, callback: Any) -> None:
            callback()

    class Response:
        status, content, connection = 200, Content(), Connection()
        headers: Final[dict[str, str]] = {}

    response: Any = Response()

    async def handler(_request: Any) -> Any:
        return response

    middleware = BreakerMiddleware(breaker())
    request: Any = object()
    yield Pair(
        name="aiohttp",
        bare=lambda: handler(request),
        call=lambda: middleware(request, handler),
        use_loop=True,
    )


def redis_pairs() -> Iterable[Pair]:
    import redis
    import redis.asyncio

    from cbmon.integrations.redis import protect_redis

    class Sync(redis.Redis):
        def execute_command(self, *_args: Any, **_options: Any) -> Any:
            return b"1"

    class Async(redis.asyncio.Redis):
        async def execute_command(self, *_args: Any, **_options: Any) -> Any:
            return b"1"

    bare, ours = Sync(), protect_redis(Sync(), breaker())
    yield Pair(name="redis", bare=lambda: bare.get("a"), call=lambda: ours.get("a"))
    bare_async, ours_async = Async(), protect_redis(Async(), breaker())
    yield Pair(
        name="redis",
        bare=lambda: bare_async.get("a"),
        call=lambda: ours_async.get("a"),
        use_loop=True,
    )


def sqlalchemy_pairs() -> Iterable[Pair]:
    import sqlalchemy
    from sqlalchemy.pool import StaticPool

    from cbmon.integrations.sqlalchemy import protect_engine

    def connected(*, guarded: bool) -> Any:
        engine = sqlalchemy.create_engine("sqlite://", poolclass=StaticPool)
        return (protect_engine(engine, breaker()) if guarded else engine).connect()

    bare, ours, query = (
        connected(guarded=False),
        connected(guarded=True),
        sqlalchemy.text("select 1"),
    )
    yield Pair(
        name="sqlalchemy statement",
        bare=lambda: bare.scalar(query),
        call=lambda: ours.scalar(query),
    )


def psycopg_pairs() -> Iterable[Pair]:
    import psycopg

    from cbmon.integrations.psycopg import connection_class

    class Instant(psycopg.Connection[Any]):
        def __init__(self) -> None:
            pass

        def wait(self, gen: Any, *_args: Any, **_kwargs: Any) -> Any:
            return gen

    guarded: Any = type("Guarded", (connection_class(breaker()), Instant), {})
    bare: Any = Instant()
    ours = guarded.__new__(guarded)
    ours.__dict__["_closed"] = True
    yield Pair(name="psycopg", bare=lambda: bare.wait(None), call=lambda: ours.wait(None))


def asyncpg_pairs() -> Iterable[Pair]:
    from cbmon.integrations.asyncpg import _call

    async def fetchval(_self: Any, _query: str) -> int:
        return 1

    guard = breaker()

    class Connection:
        def breaker(self) -> CircuitBreaker:
            return guard

    ours, call = Connection(), _call(fetchval)
    yield Pair(
        name="asyncpg",
        bare=lambda: fetchval(ours, "select 1"),
        call=lambda: call(ours, "select 1"),
        use_loop=True,
    )


def grpc_pairs() -> Iterable[Pair]:
    import grpc

    from cbmon.integrations.grpc import BreakerInterceptor, aio_interceptors

    class Done:
        def add_done_callback(self, callback: Any) -> None:
            callback(self)

        def code(self) -> Any:
            return grpc.StatusCode.OK

        def details(self) -> str:
            return ""

    class DoneAsync:
        async def code(self) -> Any:
            return grpc.StatusCode.OK

        async def details(self) -> str:
            return ""

    done, done_async = Done(), DoneAsync()

    def send(_details: Any, _request: Any) -> Any:
        return done

    async def send_async(_details: Any, _request: Any) -> Any:
        return done_async

    async def bare_async() -> Any:
        call = await send_async(None, None)
        await call.code()
        return call

    interceptor, aio = BreakerInterceptor(breaker()), aio_interceptors(breaker())[0]
    yield Pair(
        name="grpc",
        bare=lambda: send(None, None),
        call=lambda: interceptor.intercept_unary_unary(send, None, None),
    )
    yield Pair(
        name="grpc",
        bare=bare_async,
        call=lambda: aio.intercept_unary_unary(send_async, None, None),
        use_loop=True,
    )


def llm_pairs() -> Iterable[Pair]:
    """An answer in one piece, and a stream whose eight tokens are read along."""
    import httpx

    from cbmon.integrations.httpx import BreakerTransport
    from cbmon.integrations.llm import LLM_RULES

    token = b'data: {"choices": [{"index": 0, "delta": {"content": "tea "}}]}\n\n'
    request = httpx.Request("POST", "http://a/v1/chat/completions")

    class Tokens(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield token * 8

    for name, kind in (
        ("llm answer", "application/json"),
        ("llm stream, 8 tokens", "text/event-stream"),
    ):
        headers = {"content-type": kind}
        mock = httpx.MockTransport(
            lambda _request, headers=headers: httpx.Response(200, headers=headers, stream=Tokens())
        )
        ours = BreakerTransport(breaker(), mock, rules=LLM_RULES)
        yield Pair(
            name=name,
            bare=lambda mock=mock: mock.handle_request(request).read(),
            call=lambda ours=ours: ours.handle_request(request).read(),
        )


def mcp_pairs() -> Iterable[Pair]:
    """A tool's call through two breakers; both have the deadline that a call needs."""
    import asyncio

    from cbmon import BreakerRegistry
    from cbmon.integrations.mcp import McpClient

    class Client:
        async def __aenter__(self) -> Self:
            return self

        async def __aexit__(self, *_ending: object) -> None:
            pass

        async def call_tool(self, *_args: object, **_options: object) -> int:
            return 1

    async def bare() -> int:
        async with asyncio.timeout(30):
            return await client.call_tool("find", {})

    client, make = Client(), cast("Any", Client)
    ours = McpClient({"server": make}, BreakerRegistry())
    yield Pair(
        name="mcp tool",
        bare=bare,
        call=lambda: ours.call_tool("find", {}),
        use_loop=True,
        breakers=2,
    )


def protect_pairs() -> Iterable[Pair]:
    from cbmon.integrations import protect

    connection = sqlite3.connect(":memory:")
    ours = protect(connection, breaker(), methods=["commit"], kind=sqlite3.OperationalError)
    yield Pair(name="protect", bare=connection.commit, call=ours.commit)


MAKERS = (
    httpx_pairs, requests_pairs, aiohttp_pairs, redis_pairs, sqlalchemy_pairs, psycopg_pairs,
    asyncpg_pairs, grpc_pairs, llm_pairs, mcp_pairs, protect_pairs,
)  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    pairs = [*plain(), *(pair for make in MAKERS for pair in make())]
    rows: list[tuple[Row, bool]] = []
    for use_loop in (False, True):
        chosen = [pair.contender() for pair in pairs if pair.use_loop is use_loop]
        found = measure(chosen, rounds=options.rounds, calls=options.calls, use_loop=use_loop)
        rows += [(row, use_loop) for row in found]
    return report(rows, {pair.name: pair for pair in pairs}, as_json=options.json)


def report(rows: list[tuple[Row, bool]], pairs: dict[str, Pair], *, as_json: bool) -> int:
    alone = {loop: row.nanoseconds for row, loop in rows if row.contender.name == "breaker"}
    lines: list[dict[str, Any]] = [
        {
            "client": row.contender.name + (" (async)" if loop else ""),
            "added_us": round(row.nanoseconds / 1000, 2),
            "besides_breaker_us": round(
                (row.nanoseconds - alone[loop] * pairs[row.contender.name].breakers) / 1000, 2
            ),
            "ratio": round(row.nanoseconds / alone[loop], 1),
        }
        for row, loop in rows
    ]
    missed = [line for line in lines if line["besides_breaker_us"] > BAR_MICROSECONDS]
    if as_json:
        print(json.dumps({"bar_us": BAR_MICROSECONDS, "rows": lines}))
        return 1 if missed else 0
    print(f"{'client':<28}{'added':>10}{'besides the breaker':>22}{'ratio to it':>14}")
    for line in lines:
        print(
            f"{line['client']:<28}{line['added_us']:>7} µs{line['besides_breaker_us']:>19} µs"
            f"{line['ratio']:>14}"
        )
    print(f"bar: {BAR_MICROSECONDS:g} µs besides the breaker; missed: {len(missed)}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
