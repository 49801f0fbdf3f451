"""gRPC clients behind a breaker, against a server of grpcio's own in this process.

Rule: the status code says whether it failed; a stream is one call; the rejection is an RpcError.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import grpc.aio
import pytest

from cbmon import BreakerRegistry, CircuitBreaker, CircuitOpenError, State
from cbmon.integrations.grpc import BreakerInterceptor, aio_interceptors
from tests.component.integrations.conftest import Story

SERVICE = "shop.Stock"


class Stock(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Bytes in, bytes out; a request is the status code to end with."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.arrived = threading.Event()

    def service(self, details: Any) -> Any:
        makers = {
            "One": (grpc.unary_unary_rpc_method_handler, self.one),
            "Many": (grpc.unary_stream_rpc_method_handler, self.many),
            "Sum": (grpc.stream_unary_rpc_method_handler, self.sum),
            "Chat": (grpc.stream_stream_rpc_method_handler, self.chat),
        }
        maker, method = makers[details.method.rpartition("/")[2]]
        return maker(method)

    def one(self, request: bytes, context: Any) -> bytes:
        self.arrived.set()
        self.end(request, context)
        return request

    def many(self, request: bytes, context: Any) -> Iterator[bytes]:
        self.arrived.set()
        yield b"first"
        self.end(request, context)
        yield b"last"

    def sum(self, requests: Iterator[bytes], context: Any) -> bytes:
        got = list(requests)
        self.end(got[-1], context)
        return b"".join(got)

    def chat(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        for request in requests:
            self.end(request, context)
            yield request

    def end(self, request: bytes, context: Any) -> None:
        name = request.decode()
        if name == "HANG":
            while context.is_active() and not self.released.wait(0.02):
                pass
        elif name != "OK":
            context.abort(getattr(grpc.StatusCode, name), f"said {name}")


@pytest.fixture(scope="module")
def stock() -> Iterator[tuple[Stock, str]]:
    handler = Stock()
    server = grpc.server(ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield handler, f"127.0.0.1:{port}"
    handler.released.set()
    server.stop(0).wait(5)


class Sync:
    kind = grpc.RpcError

    def __init__(self, address: str, breakers: Any, **options: Any) -> None:
        plain = grpc.insecure_channel(address)
        self.channel = grpc.intercept_channel(plain, BreakerInterceptor(breakers, **options))
        self.plain = plain

    async def one(self, request: str, timeout: float = 2) -> Any:
        return self.channel.unary_unary(f"/{SERVICE}/One")(request.encode(), timeout=timeout)

    async def many(self, request: str) -> list[Any]:
        return list(self.channel.unary_stream(f"/{SERVICE}/Many")(request.encode(), timeout=2))

    async def sum(self, *requests: str) -> Any:
        items = iter([each.encode() for each in requests])
        return self.channel.stream_unary(f"/{SERVICE}/Sum")(items, timeout=2)

    async def chat(self, *requests: str) -> list[Any]:
        items = iter([each.encode() for each in requests])
        return list(self.channel.stream_stream(f"/{SERVICE}/Chat")(items, timeout=2))

    async def close(self) -> None:
        self.plain.close()


class Aio:
    kind = grpc.aio.AioRpcError

    def __init__(self, address: str, breakers: Any, **options: Any) -> None:
        self.channel = grpc.aio.insecure_channel(
            address, interceptors=aio_interceptors(breakers, **options)
        )

    async def one(self, request: str, timeout: float = 2) -> Any:
        return await self.channel.unary_unary(f"/{SERVICE}/One")(request.encode(), timeout=timeout)

    async def many(self, request: str) -> list[Any]:
        call = self.channel.unary_stream(f"/{SERVICE}/Many")(request.encode(), timeout=2)
        return [message async for message in call]

    async def sum(self, *requests: str) -> Any:
        items = iter([each.encode() for each in requests])
        return await self.channel.stream_unary(f"/{SERVICE}/Sum")(items, timeout=2)

    async def chat(self, *requests: str) -> list[Any]:
        items = iter([each.encode() for each in requests])
        call = self.channel.stream_stream(f"/{SERVICE}/Chat")(items, timeout=2)
        return [message async for message in call]

    async def close(self) -> None:
        await self.channel.close()


@pytest.fixture(params=[Sync, Aio])
async def client(
    request: pytest.FixtureRequest, stock: tuple[Stock, str], breaker: CircuitBreaker
) -> AsyncIterator[Any]:
    stock[0].arrived.clear()
    made = request.param(stock[1], breaker)
    yield made
    await made.close()


async def settled(breaker: CircuitBreaker) -> None:
    """grpc tells the end of a call from a thread of its own."""
    deadline = time.monotonic() + 5
    while breaker.counts.in_flight and time.monotonic() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.005)


async def test_every_kind_of_rpc_is_one_call(client: Any, breaker: CircuitBreaker) -> None:
    assert await client.one("OK") == b"OK"
    assert await client.many("OK") == [b"first", b"last"]
    assert await client.sum("OK", "OK") == b"OKOK"
    assert await client.chat("OK", "OK") == [b"OK", b"OK"]
    await settled(breaker)
    assert (breaker.counts.successes, breaker.counts.calls) == (4, 4)


@pytest.mark.parametrize("way", ["one", "many", "sum", "chat"])
async def test_a_server_that_cannot_fails_and_is_then_left_alone(
    client: Any, breaker: CircuitBreaker, story: Story, way: str
) -> None:
    for _ in range(3):
        with pytest.raises(client.kind):
            await getattr(client, way)("UNAVAILABLE")
        await settled(breaker)
    with pytest.raises(client.kind) as caught:
        await getattr(client, way)("OK")
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "is open; retry after" in caught.value.details()
    assert isinstance(caught.value, CircuitOpenError)
    assert (caught.value.name, caught.value.state) == ("origin", State.OPEN)
    assert story.reasons == ["connect"] * 3


@pytest.mark.parametrize(
    "code", ["NOT_FOUND", "INVALID_ARGUMENT", "PERMISSION_DENIED", "ABORTED", "RESOURCE_EXHAUSTED"]
)
async def test_what_is_about_the_request_is_an_answer(
    client: Any, breaker: CircuitBreaker, code: str
) -> None:
    for way in (client.one, client.many):
        with pytest.raises(client.kind):
            await way(code)
        await settled(breaker)
    assert (breaker.counts.failures, breaker.counts.successes) == (0, 2)


async def test_what_counts_is_configurable(client: Any, stock: tuple[Stock, str]) -> None:
    breaker = CircuitBreaker("codes")
    codes = frozenset({grpc.StatusCode.RESOURCE_EXHAUSTED})
    other = type(client)(stock[1], breaker, failure_codes=codes)
    for code in ("RESOURCE_EXHAUSTED", "UNAVAILABLE"):
        with pytest.raises(client.kind):
            await other.one(code)
        await settled(breaker)
    await other.close()
    assert (breaker.counts.failures, breaker.counts.successes) == (1, 1)


async def test_a_deadline_is_a_timeout(client: Any, breaker: CircuitBreaker, story: Story) -> None:
    with pytest.raises(client.kind):
        await client.one("HANG", timeout=0.1)
    await settled(breaker)
    assert story.reasons == ["timeout"]


async def test_a_registry_gives_each_service_its_breaker(
    client: Any, stock: tuple[Stock, str]
) -> None:
    registry = BreakerRegistry()
    other = type(client)(stock[1], registry)
    await other.one("OK")
    await other.close()
    assert list(registry.states()) == [SERVICE]


async def test_cancelling_says_nothing(breaker: CircuitBreaker, stock: tuple[Stock, str]) -> None:
    client = Aio(stock[1], breaker)
    for way in (client.one, client.many):
        stock[0].arrived.clear()
        task: asyncio.Task[Any] = asyncio.ensure_future(way("HANG"))
        await asyncio.to_thread(stock[0].arrived.wait, 5)
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await settled(breaker)
    assert await client.one("OK") == b"OK"
    await client.close()
    counts = breaker.counts
    assert (counts.cancelled, counts.failures, counts.in_flight) == (2, 0, 0)


async def test_a_sync_stream_that_is_cancelled_gives_its_permit_back(
    breaker: CircuitBreaker, stock: tuple[Stock, str]
) -> None:
    client = Sync(stock[1], breaker)
    call = client.channel.unary_stream(f"/{SERVICE}/Many")(b"HANG", timeout=5)
    assert next(call) == b"first"
    assert breaker.counts.in_flight == 1
    call.cancel()
    await settled(breaker)
    await client.close()
    counts = breaker.counts
    assert (counts.in_flight, counts.failures, counts.successes) == (0, 0, 0)
    assert counts.cancelled == 1


async def test_an_async_stream_that_is_left_gives_its_permit_back(
    breaker: CircuitBreaker, stock: tuple[Stock, str]
) -> None:
    client = Aio(stock[1], breaker)
    call = client.channel.unary_stream(f"/{SERVICE}/Many")(b"HANG", timeout=5)
    async for message in call:
        assert message == b"first"
        break
    assert breaker.counts.in_flight == 1
    call.cancel()
    await settled(breaker)
    await client.close()
    counts = breaker.counts
    assert (counts.in_flight, counts.failures, counts.successes) == (0, 0, 0)
    assert counts.cancelled == 1


async def test_a_request_that_cannot_be_encoded_is_the_callers_own(
    breaker: CircuitBreaker, stock: tuple[Stock, str]
) -> None:
    client = Sync(stock[1], breaker)
    call = client.channel.unary_unary(f"/{SERVICE}/One", request_serializer=lambda _request: 1 / 0)
    with pytest.raises(Exception, match=r"."):
        call(b"OK", timeout=2)
    await client.close()
    assert breaker.counts.in_flight == 0
