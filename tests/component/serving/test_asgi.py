"""The ASGI middleware by hand. Rule: one verdict per request, and every permit comes back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import pytest

from cbmon import CircuitBreaker, CircuitOpenError, State
from cbmon.integrations.asgi import CircuitBreakerMiddleware, ProtectedRoute, Rejection, Reply
from cbmon.resilience import BulkheadFullError
from cbmon.testing import ManualClock

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class Client:
    """One request to an application, with a client that may hang up."""

    def __init__(self, path: str = "/guarded", method: str = "GET") -> None:
        self.scope: dict[str, Any] = {"type": "http", "method": method, "path": path}
        self.sent: list[Message] = []
        self.incoming: asyncio.Queue[Message] = asyncio.Queue()
        self.broken = False

    def hang_up(self) -> None:
        self.incoming.put_nowait({"type": "http.disconnect"})

    async def receive(self) -> Message:
        return await self.incoming.get()

    async def send(self, message: Message) -> None:
        if self.broken:
            raise ConnectionResetError("the client is gone")
        self.sent.append(message)

    async def ask(self, app: App) -> int | None:
        await app(self.scope, self.receive, self.send)
        return self.sent[0]["status"] if self.sent else None

    @property
    def headers(self) -> dict[str, str]:
        return {key.decode(): value.decode() for key, value in self.sent[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])


def answering(status: int = 200, *parts: bytes) -> App:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return app


def raising(error: BaseException) -> App:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        raise error

    return app


def guarded(app: App, clock: ManualClock | None = None, **route: Any) -> CircuitBreakerMiddleware:
    route = {"failure_threshold": 2, "recovery_timeout": 30, **route}
    routes = [ProtectedRoute("/guarded", **route)]
    return CircuitBreakerMiddleware(app, routes, clock=clock or ManualClock())


def its_breaker(app: CircuitBreakerMiddleware) -> CircuitBreaker:
    return app.breakers.get("/guarded")


def outcome(app: CircuitBreakerMiddleware) -> dict[str, int]:
    counts = its_breaker(app).counts
    names = ("successes", "failures", "ignored", "cancelled", "rejections", "in_flight")
    return {name: value for name in names if (value := getattr(counts, name))}


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (200, {"successes": 1}),
        (404, {"successes": 1}),
        (429, {"successes": 1}),
        (500, {"failures": 1}),
        (503, {"failures": 1}),
        (599, {"failures": 1}),
    ],
)
async def test_a_5xx_is_a_failure_and_a_4xx_a_success(status: int, told: dict[str, int]) -> None:
    app = guarded(answering(status))
    assert await Client().ask(app) == status
    assert outcome(app) == told


async def test_a_route_says_itself_which_statuses_are_failures() -> None:
    app = guarded(answering(429), failure_statuses={429})
    await Client().ask(app)
    assert outcome(app) == {"failures": 1}


async def test_what_is_not_guarded_passes_untouched() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        seen.append((scope["type"], receive, send))

    its = guarded(app)
    client = Client("/free")
    await client.ask(its)
    await its({"type": "lifespan"}, client.receive, client.send)
    await its({"type": "websocket", "path": "/guarded"}, client.receive, client.send)
    assert [kind for kind, *_ in seen] == ["http", "lifespan", "websocket"]
    assert {pair[1:] for pair in seen} == {(client.receive, client.send)}


async def test_an_open_breaker_answers_503_without_the_handler() -> None:
    clock = ManualClock()
    app = guarded(raising(ValueError("boom")), clock)
    for _ in range(2):
        with pytest.raises(ValueError, match="boom"):
            await Client().ask(app)
    client = Client()
    assert await client.ask(app) == 503
    assert client.headers["retry-after"] == "30"
    assert client.headers["x-circuit-breaker"] == "/guarded; open"
    assert int(client.headers["content-length"]) == len(client.body)
    assert json.loads(client.body)["error"]["code"] == "circuit_open"
    assert outcome(app) == {"failures": 2, "rejections": 1}


async def test_it_closes_again_after_a_good_trial() -> None:
    clock, answers = ManualClock(), [500, 500, 200]

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await answering(answers.pop(0))(scope, receive, send)

    its = guarded(app, clock)
    assert [await Client().ask(its) for _ in range(3)] == [500, 500, 503]
    clock.advance(30)
    assert await Client().ask(its) == 200
    assert its_breaker(its).state is State.CLOSED


async def test_a_head_request_gets_no_body() -> None:
    app = guarded(answering())
    its_breaker(app).force_open()
    client = Client(method="HEAD")
    await client.ask(app)
    assert client.body == b""
    assert "retry-after" not in client.headers


async def test_a_fallback_function_sees_the_rejection() -> None:
    def stale(its: Rejection) -> Reply:
        return Reply(body={"path": its.path, "cause": its.cause}, status=200)

    app = guarded(answering(), fallback=stale)
    its_breaker(app).open()
    client = Client()
    assert await client.ask(app) == 200
    assert json.loads(client.body) == {"path": "/guarded", "cause": "open"}


async def test_a_response_of_the_framework_may_be_the_fallback() -> None:
    app = guarded(answering(), fallback=lambda _: answering(203, b"own"))
    its_breaker(app).open()
    client = Client()
    assert await client.ask(app) == 203
    assert client.body == b"own"


# --- streams, hang-ups, cancellation ------------------------------------------------------


async def test_a_stream_that_breaks_off_is_a_failure() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("lost the database")

    its = guarded(app)
    with pytest.raises(RuntimeError):
        await Client().ask(its)
    assert outcome(its) == {"failures": 1}


async def test_an_application_that_never_ends_its_answer_has_failed() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    its = guarded(app)
    await Client().ask(its)
    assert outcome(its) == {"failures": 1}


async def test_a_client_that_hangs_up_says_nothing() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        assert (await receive())["type"] == "http.disconnect"

    its, client = guarded(app), Client()
    client.hang_up()
    await client.ask(its)
    assert outcome(its) == {"cancelled": 1}


async def test_an_error_because_the_client_is_gone_says_nothing() -> None:
    async def reading(scope: Any, receive: Receive, send: Send) -> None:
        if (await receive())["type"] == "http.disconnect":
            raise RuntimeError("client disconnected")

    its, client = guarded(reading), Client()
    client.hang_up()
    with pytest.raises(RuntimeError):
        await client.ask(its)

    broken = Client()
    broken.broken = True
    its.app = answering(200, b"x")
    with pytest.raises(ConnectionResetError):
        await broken.ask(its)
    assert outcome(its) == {"cancelled": 2}


async def test_an_os_error_of_the_handlers_own_is_a_failure() -> None:
    app = guarded(raising(ConnectionResetError("the database is gone")))
    with pytest.raises(ConnectionResetError):
        await Client().ask(app)
    assert outcome(app) == {"failures": 1}


async def test_what_was_sent_completely_counts_whatever_comes_after() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await answering(200)(scope, receive, send)
        raise RuntimeError("a background task failed")

    its = guarded(app)
    with pytest.raises(RuntimeError):
        await Client().ask(its)
    assert outcome(its) == {"successes": 1}


async def test_a_cancelled_request_says_nothing_and_gives_its_permit_back() -> None:
    clock, started = ManualClock(), asyncio.Event()

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        started.set()
        await asyncio.Event().wait()

    its = guarded(app, clock, max_concurrent_requests=1)
    its_breaker(its).open(for_seconds=1)
    clock.advance(1)
    for _ in range(3):  # the only trial of a half-open breaker, three times over
        started.clear()
        task = asyncio.create_task(Client().ask(its))
        await started.wait()
        assert its_breaker(its).counts.in_flight == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert outcome(its) == {"cancelled": 3}
    assert its_breaker(its).state is State.HALF_OPEN


async def test_a_stream_may_be_judged_at_its_start() -> None:
    go_on = asyncio.Event()

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await go_on.wait()
        raise RuntimeError("hours later")

    its = guarded(app, judge="start")
    task = asyncio.create_task(Client().ask(its))
    while not its_breaker(its).counts.successes:  # noqa: ASYNC110 - somebody else's state
        await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(RuntimeError):
        await task
    assert outcome(its) == {"successes": 1}


async def test_latency_is_the_time_to_the_first_byte() -> None:
    clock = ManualClock()

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        clock.advance(1)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        clock.advance(60)
        await send({"type": "http.response.body", "body": b""})

    its = guarded(app, clock, slow_call_seconds=2)
    await Client().ask(its)
    assert its_breaker(its).counts.slow_calls == 0


# --- bulkhead, timeout, breakers inside ---------------------------------------------------


async def test_a_full_bulkhead_answers_503_and_is_neutral() -> None:
    go_on = asyncio.Event()

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await go_on.wait()
        await answering()(scope, receive, send)

    its = guarded(app, max_concurrent_requests=2)
    running = [asyncio.create_task(Client().ask(its)) for _ in range(2)]
    await asyncio.sleep(0)
    client = Client()
    assert await client.ask(its) == 503
    assert client.headers["x-circuit-breaker"] == "/guarded; full"
    assert client.headers["retry-after"] == "1"
    go_on.set()
    assert await asyncio.gather(*running) == [200, 200]
    assert outcome(its) == {"successes": 2, "ignored": 1}


async def test_a_request_that_is_cancelled_in_the_queue_gives_its_permit_back() -> None:
    go_on = asyncio.Event()

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await go_on.wait()
        await answering()(scope, receive, send)

    its = guarded(app, max_concurrent_requests=1, queue_timeout=60)
    running = asyncio.create_task(Client().ask(its))
    waiting = asyncio.create_task(Client().ask(its))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    go_on.set()
    assert await running == 200
    assert outcome(its) == {"successes": 1, "cancelled": 1}


async def test_a_handler_that_takes_too_long_is_a_504_and_a_failure() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    its, client = guarded(app, call_timeout=0.01), Client()
    assert await client.ask(its) == 504
    assert outcome(its) == {"failures": 1}
    assert its_breaker(its).get_state()["last_failure_reason"] == "timeout"


async def test_a_stream_that_takes_too_long_is_cut_off() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.Event().wait()

    its, client = guarded(app, call_timeout=0.01), Client()
    with pytest.raises(TimeoutError):
        await client.ask(its)
    assert len(client.sent) == 1
    assert outcome(its) == {"failures": 1}


async def test_a_timeout_error_of_the_handlers_own_is_an_ordinary_failure() -> None:
    its = guarded(raising(TimeoutError("the database")), call_timeout=10)
    with pytest.raises(TimeoutError, match="the database"):
        await Client().ask(its)
    assert outcome(its) == {"failures": 1}


@pytest.mark.parametrize(
    ("error", "header"),
    [
        (CircuitOpenError("redis", State.OPEN, 7.0), "redis; open"),
        (BulkheadFullError("redis", 1, 0.0), "/guarded; full"),
    ],
)
async def test_the_refusal_of_a_breaker_inside_is_our_503(error: Exception, header: str) -> None:
    its, client = guarded(raising(error)), Client()
    assert await client.ask(its) == 503
    assert client.headers["x-circuit-breaker"] == header
    assert outcome(its) == {"ignored": 1}


async def test_counters_are_exact_after_a_mixed_crowd() -> None:
    """Two thousand requests, half of them cancelled or hung up on, at most 16 at a time."""

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        kind = scope["kind"]
        await asyncio.sleep(0)
        if kind == 0:
            await answering(200, b"a", b"b")(scope, receive, send)
        elif kind == 1:
            await answering(500)(scope, receive, send)
        elif kind == 2:
            await receive()
        else:
            await asyncio.Event().wait()

    its = guarded(app, failure_threshold=10_000, max_concurrent_requests=16, queue_timeout=60)
    clients = []
    for number in range(2000):
        client = Client()
        client.scope["kind"] = number % 4
        if number % 4 == 2:
            client.hang_up()
        clients.append(client)
    tasks = [asyncio.create_task(client.ask(its)) for client in clients]
    others = [task for number, task in enumerate(tasks) if number % 4 != 3]
    while not all(task.done() for task in others):
        await asyncio.sleep(0)
        for number, task in enumerate(tasks):
            if number % 4 == 3:
                task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert outcome(its) == {"successes": 500, "failures": 500, "cancelled": 1000}
    guard = its._table.guards[0]
    assert guard.bulkhead is not None
    assert (guard.bulkhead.in_flight, guard.bulkhead.queued) == (0, 0)


async def test_an_answer_that_is_finished_for_a_client_that_is_gone_is_no_success() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": scope["status"], "headers": []})
        await receive()
        await send({"type": "http.response.body", "body": b""})

    its = guarded(app)
    for status in (200, 500):
        client = Client()
        client.scope["status"] = status
        client.hang_up()
        await client.ask(its)
    assert outcome(its) == {"cancelled": 1, "failures": 1}
