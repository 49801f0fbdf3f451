"""Services by name. Rule: every call goes through its breaker; only what may be is repeated."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from cbmon import BulkheadFullError, CircuitOpenError, State
from cbmon.appconfig import parse_breakers
from cbmon.pool import RequestError, ServicePool


class Upstream:
    """A service that answers as it is told."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.seen: list[tuple[str, str, str]] = []
        self.hold: asyncio.Event | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((request.method, request.path, await request.text()))
        if self.hold is not None:
            await self.hold.wait()
        status = self.answers.pop(0) if self.answers else 200
        if status == 0:
            assert request.transport is not None
            request.transport.close()
        return web.json_response({"path": request.path}, status=status or 200)

    @asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        async with TestServer(app) as server:
            yield str(server.make_url("/"))


class FakeRedis:
    def __init__(self) -> None:
        self.store: dict[str, str] = {}
        self.error: Exception | None = None
        self.closed = False

    async def execute_command(self, *command: Any) -> Any:
        if self.error is not None:
            raise self.error
        if command[0] == "set":
            self.store[command[1]] = command[2]
            return True
        return self.store.get(command[1])

    async def aclose(self) -> None:
        self.closed = True


class ResponseError(Exception):
    """Called as redis-py calls it."""


class SqlError(Exception):
    def __init__(self, sqlstate: str | None) -> None:
        super().__init__(sqlstate)
        self.sqlstate = sqlstate


class FakeDatabase:
    """A pool in asyncpg's shape, over SQLite."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:")
        self.error: Exception | None = None

    def _run(self, query: str, arguments: tuple[Any, ...]) -> sqlite3.Cursor:
        if self.error is not None:
            raise self.error
        return self.connection.execute(query.replace("$1", "?"), arguments)

    async def fetch(self, query: str, *arguments: Any) -> Any:
        return self._run(query, arguments).fetchall()

    async def fetchrow(self, query: str, *arguments: Any) -> Any:
        return self._run(query, arguments).fetchone()

    async def execute(self, query: str, *arguments: Any) -> Any:
        return self._run(query, arguments).rowcount


def counts_of(pool: ServicePool, name: str) -> dict[str, int]:
    counts = pool.service(name).breaker.counts
    names = ("successes", "failures", "ignored", "cancelled", "rejections", "in_flight")
    return {each: value for each in names if (value := getattr(counts, each))}


# --- HTTP ---------------------------------------------------------------------------------


async def test_a_request_goes_to_the_services_own_address() -> None:
    upstream = Upstream()
    async with upstream.served() as url, ServicePool() as pool:
        pool.register("ollama", url=f"{url}v1", category="llm")
        answer = await pool.make_http_request("ollama", "POST", "/generate", json={"a": 1})
    assert (answer.status, answer.json(), answer.ok) == (200, {"path": "/v1/generate"}, True)
    assert upstream.seen == [("POST", "/v1/generate", '{"a": 1}')]


async def test_5xx_and_429_are_returned_and_count_as_failures() -> None:
    upstream = Upstream()
    upstream.answers = [500, 429, 404, 200]
    async with upstream.served() as url, ServicePool() as pool:
        pool.register("api", url=url)
        statuses = [(await pool.make_http_request("api", "GET")).status for _ in range(4)]
        assert statuses == [500, 429, 404, 200]
        assert counts_of(pool, "api") == {"successes": 2, "failures": 2}


async def test_an_open_service_is_not_called() -> None:
    upstream = Upstream()
    upstream.answers = [503, 503]
    async with upstream.served() as url, ServicePool() as pool:
        pool.register("api", url=url, failure_threshold=2)
        for _ in range(2):
            await pool.make_http_request("api", "GET", "/x")
        with pytest.raises(CircuitOpenError):
            await pool.make_http_request("api", "GET", "/x")
        assert len(upstream.seen) == 2


async def test_only_idempotent_methods_are_tried_again() -> None:
    upstream = Upstream()
    async with upstream.served() as url, ServicePool() as pool:
        pool.register("api", url=url, retry={"attempts": 2, "deadline": 5})
        upstream.answers = [0, 200]
        assert (await pool.make_http_request("api", "GET", "/x")).status == 200
        upstream.answers = [0, 200]
        with pytest.raises(aiohttp.ClientError):
            await pool.make_http_request("api", "POST", "/x")
        upstream.answers = [0, 200]
        answer = await pool.make_http_request("api", "POST", "/x", retry=True)
        assert answer.status == 200


@pytest.mark.parametrize(
    "url", ["http://elsewhere.example.net/", "https://127.0.0.1:1/v1/x", "http://127.0.0.1:2/"]
)
async def test_a_url_that_leads_away_is_the_callers_mistake(url: str) -> None:
    async with ServicePool() as pool:
        pool.register("api", url="http://127.0.0.1:1/v1")
        with pytest.raises(RequestError):
            await pool.make_http_request("api", "GET", url)
        assert counts_of(pool, "api") == {}


async def test_a_service_without_an_address_takes_whole_ones() -> None:
    upstream = Upstream()
    upstream.answers = [200, 500]
    async with upstream.served() as url, ServicePool() as pool:
        pool.register("any")
        for status in (200, 500):
            assert (await pool.make_http_request("any", "GET", f"{url}x")).status == status
        assert counts_of(pool, "any") == {"successes": 1, "failures": 1}
        with pytest.raises(RequestError):
            await pool.make_http_request("any", "GET", "/x")


async def test_an_answer_that_never_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cbmon.pool.clients.MAX_BODY", 5)
    upstream = Upstream()
    async with upstream.served() as url, ServicePool() as pool:
        pool.register("api", url=url)
        with pytest.raises(aiohttp.ClientError, match="larger than 5 bytes"):
            await pool.make_http_request("api", "GET", "/long")
        assert counts_of(pool, "api") == {"failures": 1}


async def test_a_full_bulkhead_turns_away_and_a_cancelled_call_gives_its_place_back() -> None:
    upstream = Upstream()
    upstream.hold = asyncio.Event()
    async with upstream.served() as url, ServicePool() as pool:
        pool.register("api", url=url, bulkhead={"max_concurrent_calls": 1})
        running = asyncio.create_task(pool.make_http_request("api", "GET", "/x"))
        while not upstream.seen:  # noqa: ASYNC110 - the server's own state
            await asyncio.sleep(0.001)
        with pytest.raises(BulkheadFullError):
            await pool.make_http_request("api", "GET", "/x")
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        upstream.hold.set()
        assert (await pool.make_http_request("api", "GET", "/x")).status == 200
        assert counts_of(pool, "api") == {"successes": 1, "ignored": 1, "cancelled": 1}


async def test_a_call_that_takes_too_long_is_cut_off() -> None:
    upstream = Upstream()
    upstream.hold = asyncio.Event()
    async with upstream.served() as url, ServicePool() as pool:
        pool.register("api", url=url, call_timeout=0.05)
        with pytest.raises(TimeoutError):
            await pool.make_http_request("api", "GET", "/x")
        upstream.hold.set()
        assert counts_of(pool, "api") == {"failures": 1}


# --- Redis and databases ------------------------------------------------------------------


async def test_redis_commands_go_through_the_breaker() -> None:
    client = FakeRedis()
    async with ServicePool() as pool:
        pool.register("redis", client=client)
        assert await pool.execute_redis_command("set", "key", "value")
        assert await pool.execute_redis_command("get", "key") == "value"
        client.error = ConnectionError("refused")
        with pytest.raises(ConnectionError):
            await pool.execute_redis_command("get", "key")
        client.error = ResponseError("WRONGTYPE")
        with pytest.raises(ResponseError):
            await pool.execute_redis_command("get", "key")
        assert counts_of(pool, "redis") == {"successes": 3, "failures": 1}
    assert not client.closed, "who gave the client closes it"


async def test_queries_go_through_the_breaker_and_constraints_are_successes() -> None:
    database = FakeDatabase()
    async with ServicePool() as pool:
        pool.register("database", "database", client=database, minimum_calls=2)
        await pool.execute_db_query("create table t (x int)", fetch=False)
        await pool.execute_db_query("insert into t values ($1)", 7, fetch=False)
        assert await pool.execute_db_query("select x from t where x = $1", 7) == [(7,)]
        assert await pool.execute_db_query("select x from t", fetch_one=True) == (7,)
        for sqlstate in ("23505", "42601", "57P01", "08006", None):
            database.error = SqlError(sqlstate)
            with pytest.raises(SqlError):
                await pool.execute_db_query("select 1")
        assert counts_of(pool, "database") == {"successes": 6, "failures": 3}


async def test_a_command_that_hangs_ends_and_a_client_that_hangs_is_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("cbmon.pool.pool.LONGEST", 0.02)
    monkeypatch.setattr("cbmon.pool.pool.CLOSE_DEADLINE", 0.02)

    class Hanging:
        async def execute_command(self, *command: Any) -> Any:
            await asyncio.Event().wait()

        async def aclose(self) -> None:
            await asyncio.Event().wait()

    async with ServicePool() as pool:
        pool.register("redis", client=Hanging())
        with pytest.raises(TimeoutError):
            await pool.execute_redis_command("get", "key")
        assert counts_of(pool, "redis") == {"failures": 1}
        pool.service("redis").owned = True
    assert "client was not closed in order" in caplog.text


async def test_a_service_without_client_and_address_says_so() -> None:
    async with ServicePool() as pool:
        pool.register("redis")
        with pytest.raises(ValueError, match="give a url or a client"):
            await pool.execute_redis_command("ping")


# --- other calls --------------------------------------------------------------------------


async def test_functions_and_coroutines_are_calls_of_a_service() -> None:
    async def fetch(number: int, *, more: int = 0) -> int:
        return number + more

    async with ServicePool() as pool:
        pool.register("prices", failure_threshold=1)

        @pool.protect("prices")
        async def decorated(number: int) -> int:
            return await fetch(number)

        @pool.protect("prices")
        def plain(number: int) -> int:
            return 10 // number

        assert await pool.call_service("prices", fetch, 1, more=2) == 3
        assert await decorated(4) == 4
        assert plain(5) == 2
        with pytest.raises(ZeroDivisionError):
            plain(0)
        with pytest.raises(CircuitOpenError):
            await decorated(4)
        assert counts_of(pool, "prices") == {"successes": 3, "failures": 1, "rejections": 1}


async def test_retries_and_fallback_of_a_service() -> None:
    tries: list[int] = []

    async def shaky() -> str:
        tries.append(1)
        raise ConnectionError("refused")

    async with ServicePool() as pool:
        pool.register("a", retry={"attempts": 3, "deadline": 5}, fallback=str)
        assert await pool.call_service("a", shaky) == "refused"
        assert len(tries) == 3
        pool.register("b", failure_threshold=1)
        pool.register("b", fallback=lambda error: type(error).__name__)
        assert await pool.call_service("b", shaky) == "ConnectionError"
        assert await pool.call_service("b", shaky) == "CircuitOpenError"


async def test_moves_and_rejections_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with ServicePool() as pool:
        pool.register("prices", failure_threshold=1)
        for _ in range(3):
            with pytest.raises((ZeroDivisionError, CircuitOpenError)):
                pool.protect("prices")(lambda: 1 // 0)()
    moved, rejected = [record.getMessage() for record in caplog.records]
    assert "name=prices" in moved
    assert rejected == "calls are rejected name=prices more=0"


async def test_unknown_services_and_a_closed_pool_are_refused() -> None:
    pool = ServicePool()
    with pytest.raises(KeyError, match="no service is named 'x'"):
        pool.service("x")
    pool.register("x")
    with pytest.raises(ValueError, match="exists"):
        pool.register("x", failure_threshold=2)
    async with pool:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        await pool.call_service("x", asyncio.sleep, 0)


# --- health, configuration, life ----------------------------------------------------------


async def test_health_is_summed_up_by_category() -> None:
    async with ServicePool() as pool:
        for name, category in (("ollama", "llm"), ("redis", "cache"), ("sessions", "cache")):
            pool.register(name, category=category)
        assert pool.health() == {
            "status": "ok",
            "healthy": 3,
            "degraded": 0,
            "failed": 0,
            "services": {},
        }
        pool.service("redis").breaker.open()
        pool.service("ollama").breaker.open()
        pool.service("ollama").breaker.half_open()
        found = pool.status()
        assert found["summary"] == {"healthy": 1, "degraded": 1, "failed": 1}
        assert found["by_category"] == {
            "cache": {"healthy": 1, "degraded": 0, "failed": 1},
            "llm": {"healthy": 0, "degraded": 1, "failed": 0},
        }
        assert (found["status"], found["totals"]["total"]) == ("degraded", 3)
        assert found["services"]["redis"]["metrics"]["success_ratio"] is None
        assert pool.health()["services"] == {"ollama": "half_open", "redis": "open"}
        pool.reset("redis", actor="me")
        assert pool.reset_all() == 3
        assert pool.health()["status"] == "ok"
        for service in pool:
            service.breaker.force_open()
        assert pool.health()["status"] == "down"


async def test_a_pool_is_made_of_a_file_and_follows_its_changes(tmp_path: Any) -> None:
    file = tmp_path / "services.yml"
    file.write_text(
        "breakers:\n"
        "  - {name: api, url: http://127.0.0.1:1, template: external_api, fallback: none}\n"
        "  - {name: gone}\n"
    )
    async with ServicePool.from_file(file) as pool:
        breaker = pool.service("api").breaker
        assert breaker.policy.kind == "time"
        stale: Any = await pool.make_http_request("api", "GET", "/x")
        assert stale == "none"
        assert pool.configs is not None
        pool.configs.update("api", bulkhead={"max_concurrent_calls": 1}, max_failure_cycles=9)
        bulkhead = pool.service("api").bulkhead
        assert bulkhead is not None
        assert breaker.policy.max_failure_cycles == 9
        assert breaker.policy.is_failure is not None
        file.write_text("breakers: [{name: api, url: http://127.0.0.1:1}, {name: new}]")
        pool.configs.reload()
        assert "new" in pool
        assert "gone" not in pool


async def test_a_health_check_closes_the_breaker_of_a_service_that_is_back() -> None:
    looks: list[int] = []
    pool = ServicePool(
        parse_breakers(
            "breakers: [{name: api, recovery_timeout: 1h,"
            " health_check: {interval: 20ms, timeout: 1s, successes: 2}}]"
        )
    )
    pool.register("api", health_check=lambda: looks.append(1))
    async with pool:
        breaker = pool.service("api").breaker
        breaker.open()
        async with asyncio.timeout(5):
            while breaker.state is not State.CLOSED:  # noqa: ASYNC110 - a breaker has no event
                await asyncio.sleep(0.005)
    assert len(looks) >= 2


async def test_two_thousand_mixed_calls_leave_no_connection_and_no_place_behind() -> None:
    upstream = Upstream()
    async with upstream.served() as url, ServicePool() as pool:
        pool.register(
            "api",
            url=url,
            failure_threshold=10**6,
            bulkhead={"max_concurrent_calls": 30, "queue_timeout": 60},
        )

        async def one(number: int) -> None:
            call = asyncio.create_task(pool.make_http_request("api", "GET", f"/{number}"))
            if number % 5 == 0:
                await asyncio.sleep(0)
                call.cancel()
            await asyncio.gather(call, return_exceptions=True)

        for start in range(0, 2000, 100):
            await asyncio.gather(*(one(start + number) for number in range(100)))
        bulkhead = pool.service("api").bulkhead
        assert bulkhead is not None
        assert (bulkhead.in_flight, bulkhead.queued) == (0, 0)
        session = await pool._http()
        assert isinstance(session.connector, aiohttp.TCPConnector)
        assert not session.connector._acquired
        found = counts_of(pool, "api")
        assert found == {"successes": 1600, "cancelled": 400}


async def test_a_plain_function_is_the_callers_mistake_and_says_nothing_of_the_service() -> None:
    async with ServicePool() as pool:
        service = pool.register("api")
        with pytest.raises(TypeError, match=r"len gave 3, which cannot be awaited; give a coro"):
            await pool.call_service("api", len, "abc")  # type: ignore[arg-type]
        counts = service.breaker.counts
        assert (counts.ignored, counts.failures, counts.in_flight) == (1, 0, 0)
        assert await pool.call_service("api", lambda: asyncio.sleep(0, "late")) == "late"
        assert await pool.call_service("api", asyncio.to_thread, len, "abc") == 3
