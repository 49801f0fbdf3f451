"""HTTP clients behind a breaker, all alike.

Rule: what is a failure of the server is one through every client, what is not is through none;
the call lasts as long as the body; the rejection is the client's own kind of error.
"""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import aiohttp
import httpx
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver
from aiohttp.test_utils import TestServer

from cbmon import BreakerRegistry, CircuitBreaker, CircuitOpenError, State
from cbmon.integrations.aiohttp import BreakerMiddleware
from cbmon.integrations.http_rules import SERVER_ERRORS, HttpRules
from cbmon.integrations.httpx import AsyncBreakerTransport, BreakerTransport
from tests.component.integrations.conftest import Origin, Story
from tests.component.integrations.drivers import ASYNC, SYNC, Driver

EVERY = [pytest.param(each, id=each.__name__) for each in (*SYNC, *ASYNC)]


@pytest.fixture(params=EVERY)
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
async def client(kind: Any, breaker: CircuitBreaker) -> AsyncIterator[Driver]:
    async with kind(breaker) as driver:
        yield driver


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_an_answer_is_a_success(
    client: Driver, breaker: CircuitBreaker, origin: Origin
) -> None:
    for _ in range(5):
        assert await client.get(f"{origin.url}/ok") == 200
    assert (breaker.counts.successes, breaker.counts.in_flight) == (5, 0)


async def test_the_fourth_server_error_is_not_sent(
    client: Driver, breaker: CircuitBreaker, origin: Origin, story: Story
) -> None:
    for _ in range(3):
        assert await client.get(f"{origin.url}/status/503") == 503
    with pytest.raises(client.kind) as caught:
        await client.get(f"{origin.url}/status/503")
    assert isinstance(caught.value, CircuitOpenError)
    assert (caught.value.name, caught.value.state) == ("origin", State.OPEN)
    assert 59 < (caught.value.retry_after or 0) <= 60
    assert len(origin.seen) == 3
    assert story.reasons == ["status"] * 3


async def test_a_client_error_is_an_answer(
    client: Driver, breaker: CircuitBreaker, origin: Origin
) -> None:
    for status in (400, 401, 404, 429):
        assert await client.get(f"{origin.url}/status/{status}") == status
    assert (breaker.counts.failures, breaker.counts.successes) == (0, 4)


async def test_a_refused_connection_is_a_failure(
    client: Driver, breaker: CircuitBreaker, closed_port: int, story: Story
) -> None:
    with pytest.raises(client.errors):
        await client.get(f"http://127.0.0.1:{closed_port}/")
    assert story.reasons == ["connect"]
    assert breaker.counts.in_flight == 0


async def test_a_server_that_does_not_answer_in_time_has_failed(
    client: Driver, breaker: CircuitBreaker, origin: Origin, story: Story
) -> None:
    with pytest.raises(client.errors):
        await client.get(f"{origin.url}/hang")
    assert story.reasons == ["timeout"]
    assert breaker.counts.in_flight == 0


@pytest.mark.parametrize(
    ("path", "reasons"), [("cut", {"body", "connect"}), ("stall", {"timeout", "connect"})]
)
async def test_a_body_that_breaks_off_is_a_failure(
    client: Driver,
    breaker: CircuitBreaker,
    origin: Origin,
    story: Story,
    path: str,
    reasons: set[str],
) -> None:
    with pytest.raises(client.errors):
        await client.get(f"{origin.url}/{path}")
    assert len(story.reasons) == 1
    assert story.reasons[0] in reasons
    assert (breaker.counts.in_flight, breaker.counts.successes) == (0, 0)


async def test_the_call_lasts_until_the_body_is_closed(
    client: Driver, breaker: CircuitBreaker, origin: Origin
) -> None:
    response = await client.begin(f"{origin.url}/stream/500")
    assert (breaker.counts.in_flight, breaker.counts.successes) == (1, 0)
    await client.end(response)
    assert (breaker.counts.in_flight, breaker.counts.successes) == (0, 1)


async def test_a_response_that_is_dropped_gives_its_permit_back(
    client: Driver, breaker: CircuitBreaker, origin: Origin
) -> None:
    with suppress(ResourceWarning):
        response = await client.begin(f"{origin.url}/stream/500")
        assert breaker.counts.in_flight == 1
        del response
        gc.collect()
        await asyncio.sleep(0.01)  # the loop closes the generators that were dropped
        gc.collect()
    assert breaker.counts.in_flight == 0
    assert breaker.counts.failures == 0


async def test_a_trial_is_over_when_its_body_is(kind: Any, origin: Origin) -> None:
    breaker = CircuitBreaker("origin", recovery_timeout=60)
    breaker.open()
    breaker.half_open()
    async with kind(breaker) as client:
        response = await client.begin(f"{origin.url}/stream/500")
        with pytest.raises(CircuitOpenError):
            await client.get(f"{origin.url}/ok")
        assert breaker.counts.in_flight == 1
        await client.end(response)
    assert str(breaker.state) == "closed"


async def test_each_server_has_its_own_breaker(
    kind: Any, registry: BreakerRegistry, origin: Origin, closed_port: int
) -> None:
    async with kind(registry) as client:
        for _ in range(2):
            with pytest.raises(client.errors):
                await client.get(f"http://127.0.0.1:{closed_port}/")
        with pytest.raises(CircuitOpenError):
            await client.get(f"http://127.0.0.1:{closed_port}/")
        assert await client.get(f"{origin.url}/ok") == 200
    states = {
        f"127.0.0.1:{closed_port}": State.OPEN,
        f"127.0.0.1:{origin.server_port}": State.CLOSED,
    }
    assert registry.states() == states


async def test_every_hop_of_a_redirect_is_a_call(
    client: Driver, breaker: CircuitBreaker, origin: Origin
) -> None:
    assert await client.get(f"{origin.url}/away") == 503
    assert (breaker.counts.successes, breaker.counts.failures) == (1, 1)


async def test_the_policys_own_predicate_replaces_the_statuses(kind: Any, origin: Origin) -> None:
    def failed(response: Any) -> bool:
        status = getattr(response, "status_code", None) or getattr(response, "status", None)
        return status == 404

    breaker = CircuitBreaker("origin", is_failure=failed)
    async with kind(breaker) as client:
        await client.get(f"{origin.url}/status/404")
        await client.get(f"{origin.url}/status/503")
    assert (breaker.counts.failures, breaker.counts.successes) == (1, 1)


async def test_the_policys_ignored_exceptions_hold(kind: Any, closed_port: int) -> None:
    breaker = CircuitBreaker("origin", ignored_exceptions=(OSError, kind.kind))
    async with kind(breaker) as client:
        with pytest.raises(client.errors):
            await client.get(f"http://127.0.0.1:{closed_port}/")
    assert (breaker.counts.failures, breaker.counts.ignored) == (0, 1)


LIMITED = HttpRules(
    failure_statuses=SERVER_ERRORS | {429}, retry_after_statuses=frozenset({429, 503})
)


async def test_a_server_that_says_when_to_come_back_is_left_alone_that_long(
    kind: Any, breaker: CircuitBreaker, origin: Origin
) -> None:
    async with kind(breaker, rules=LIMITED) as client:
        assert await client.get(f"{origin.url}/busy/429/7") == 429
        with pytest.raises(kind.kind):
            await client.get(f"{origin.url}/ok")
    assert breaker.state is State.OPEN
    assert 6 < (breaker.retry_after or 0) <= 7


async def test_a_long_wait_is_not_shortened(
    kind: Any, breaker: CircuitBreaker, origin: Origin
) -> None:
    async with kind(breaker, rules=LIMITED) as client:
        for _ in range(2):
            await client.get(f"{origin.url}/status/503")
        await client.get(f"{origin.url}/busy/503/7")
    assert (breaker.retry_after or 0) > 50


async def test_an_observed_breaker_is_not_opened_by_the_server(kind: Any, origin: Origin) -> None:
    breaker = CircuitBreaker("origin", initial_state="observe")
    async with kind(breaker, rules=LIMITED) as client:
        await client.get(f"{origin.url}/busy/429/7")
    assert breaker.state is State.OBSERVE


async def test_a_call_inside_a_guarded_call_is_not_counted_twice(
    kind: Any, breaker: CircuitBreaker, origin: Origin
) -> None:
    async with kind(breaker) as client:

        @breaker
        async def shop() -> int:
            return int(await client.get(f"{origin.url}/ok"))

        breaker.open()
        breaker.half_open()
        assert await shop() == 200
    assert (breaker.state, breaker.counts.calls) == (State.CLOSED, 1)


@pytest.mark.parametrize("each", [pytest.param(one, id=one.__name__) for one in ASYNC])
@pytest.mark.parametrize("path", ["hang", "stall"])
async def test_a_cancelled_request_says_nothing(
    each: Any, breaker: CircuitBreaker, origin: Origin, path: str
) -> None:
    async with each(breaker) as client:
        task = asyncio.create_task(client.get(f"{origin.url}/{path}"))
        await asyncio.to_thread(origin.arrived.wait, 5)
        await asyncio.sleep(0.02)  # the first piece is on its way
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await client.get(f"{origin.url}/ok") == 200
    counts = breaker.counts
    assert (counts.failures, counts.in_flight, counts.successes + counts.cancelled) == (0, 0, 2)


@pytest.mark.parametrize("each", [pytest.param(one, id=one.__name__) for one in ASYNC])
async def test_the_policys_call_timeout_ends_a_request(each: Any, origin: Origin) -> None:
    breaker = CircuitBreaker("origin", call_timeout=0.05)
    async with each(breaker) as client:
        with pytest.raises(TimeoutError):
            await client.get(f"{origin.url}/hang")
    assert (breaker.counts.failures, breaker.counts.in_flight) == (1, 0)


async def test_a_full_pool_says_nothing_of_the_server(
    breaker: CircuitBreaker, origin: Origin
) -> None:
    inner = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=1))
    timeout = httpx.Timeout(5, pool=0.05)
    transport = AsyncBreakerTransport(breaker, inner)
    async with httpx.AsyncClient(transport=transport, timeout=timeout) as client:
        task = asyncio.create_task(client.get(f"{origin.url}/hang"))
        await asyncio.to_thread(origin.arrived.wait, 5)
        with pytest.raises(httpx.PoolTimeout):
            await client.get(f"{origin.url}/ok")
        origin.released.set()
        assert (await task).status_code == 200
    assert (breaker.counts.ignored, breaker.counts.failures) == (1, 0)


def test_what_the_callers_own_body_raises_says_nothing(
    breaker: CircuitBreaker, origin: Origin
) -> None:
    def body() -> Iterator[bytes]:
        yield b"begun"
        raise LookupError("the caller's own")

    with httpx.Client(transport=BreakerTransport(breaker)) as client:
        with pytest.raises(LookupError):
            client.post(f"{origin.url}/ok", content=body())
        with pytest.raises(httpx.UnsupportedProtocol):
            client.get("ftp://127.0.0.1/")
    assert (breaker.counts.ignored, breaker.counts.failures) == (2, 0)


async def test_a_sessions_time_that_runs_out_while_connecting_is_a_timeout(
    breaker: CircuitBreaker, story: Story
) -> None:
    class Silent(AbstractResolver):
        async def resolve(self, *_args: Any, **_options: Any) -> Any:
            await asyncio.Event().wait()

        async def close(self) -> None:
            pass

    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(resolver=Silent()),
        middlewares=[BreakerMiddleware(breaker)],
        timeout=aiohttp.ClientTimeout(total=0.1),
    ) as session:
        with pytest.raises(TimeoutError):
            await session.get("http://silent.test/")
    assert story.reasons == ["timeout"]


async def test_a_websocket_is_over_when_it_is_open(breaker: CircuitBreaker) -> None:
    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket_of_server = web.WebSocketResponse()
        await socket_of_server.prepare(request)
        async for message in socket_of_server:
            await socket_of_server.send_str(message.data)
        return socket_of_server

    app = web.Application()
    app.router.add_get("/", echo)
    async with TestServer(app) as server:
        session = aiohttp.ClientSession(middlewares=[BreakerMiddleware(breaker)])
        async with session, session.ws_connect(server.make_url("/")) as opened:
            assert (breaker.counts.successes, breaker.counts.in_flight) == (1, 0)
            await opened.send_str("tea")
            assert (await opened.receive()).data == "tea"


@pytest.mark.parametrize("each", [pytest.param(one, id=one.__name__) for one in ASYNC])
async def test_many_tasks_at_the_deadline_make_one_trial(each: Any, origin: Origin) -> None:
    breaker = CircuitBreaker("origin")
    breaker.open()
    breaker.half_open()
    async with each(breaker) as client:
        client.patience(10)
        answers = await asyncio.gather(
            *(client.get(f"{origin.url}/ok") for _ in range(30)), return_exceptions=True
        )
    assert answers.count(200) >= 1
    assert len(origin.seen) + sum(isinstance(each, CircuitOpenError) for each in answers) == 30
    assert breaker.state is State.CLOSED
