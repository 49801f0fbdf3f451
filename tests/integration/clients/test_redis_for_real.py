"""redis-py behind a breaker, against a Redis that is stopped, paused and started again.

Rule: code that catches redis-py's own exceptions goes on as it was; an answer is an answer; no
connection is lost to the pool.
"""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.retry import Retry

from cbmon import BreakerRegistry, CircuitBreaker, CircuitOpenError
from cbmon.integrations.redis import RedisCircuitOpenError, protect_redis
from tests.integration.clients.conftest import Redis, traffic
from tests.integration.harness import eventually, free_port
from tests.integration.harness.processes import slowness


async def result(value: Any) -> Any:
    """What a sync or an asyncio client gives."""
    return await value if isinstance(value, Awaitable) else value


def made(kind: str, server: Redis, **options: Any) -> Any:
    from redis.asyncio.retry import Retry as AsyncRetry
    from redis.backoff import NoBackoff

    retry = Retry(NoBackoff(), 0) if kind == "sync" else AsyncRetry(NoBackoff(), 0)
    library: Any = redis if kind == "sync" else redis.asyncio
    patience = 0.3 * slowness()
    usual = {"retry": retry, "socket_timeout": patience, "socket_connect_timeout": patience}
    return library.Redis(port=server.port, **{**usual, **options})


@pytest.fixture(params=["sync", "asyncio"])
async def client(
    request: pytest.FixtureRequest, redis_server: Redis, breaker: CircuitBreaker
) -> AsyncIterator[Any]:
    one = protect_redis(made(request.param, redis_server), breaker)
    await result(one.flushall())
    breaker.reset()
    yield one
    await result(one.aclose() if request.param == "asyncio" else one.close())


async def test_commands_and_pipelines_are_calls(client: Any, breaker: CircuitBreaker) -> None:
    before = breaker.counts.successes
    await result(client.set("a", 1))
    async_pipe = client.pipeline()
    async_pipe.incr("a").incr("a")
    assert await result(async_pipe.execute()) == [2, 3]
    assert await result(client.get("a")) == b"3"
    assert breaker.counts.successes == before + 3


async def test_an_error_reply_is_an_answer(client: Any, breaker: CircuitBreaker) -> None:
    await result(client.set("a", "text"))
    for _ in range(5):
        with pytest.raises(redis.ResponseError):
            await result(client.incr("a"))
        with pytest.raises(redis.DataError):
            await result(client.set("a", object()))
    assert (breaker.counts.failures, breaker.counts.ignored, str(breaker.state)) == (0, 5, "closed")


async def test_a_server_without_memory_is_failing(client: Any, breaker: CircuitBreaker) -> None:
    await result(client.config_set("maxmemory", "1"))
    try:
        for _ in range(3):
            with pytest.raises(redis.ResponseError, match="command not allowed"):
                await result(client.set("a", 1))
    finally:
        breaker.reset()
        await result(client.config_set("maxmemory", "0"))
    assert breaker.counts.failures == 3


async def test_unchanged_code_catches_the_rejection(
    client: Any, breaker: CircuitBreaker, redis_server: Redis
) -> None:
    redis_server.stop()
    errors = await traffic(lambda: result(client.get("a")), breaker, "open")
    assert all(isinstance(error, redis.ConnectionError) for error in errors)
    breaker.force_open()
    with pytest.raises(redis.ConnectionError) as caught:
        await result(client.get("a"))
    assert isinstance(caught.value, CircuitOpenError)
    assert caught.value.name == "server"
    pipe = client.pipeline()
    pipe.incr("a")
    with pytest.raises(RedisCircuitOpenError):
        await result(pipe.execute())


async def test_it_closes_again_when_the_server_is_back(
    client: Any, breaker: CircuitBreaker, redis_server: Redis
) -> None:
    redis_server.stop()
    await traffic(lambda: result(client.get("a")), breaker, "open")
    redis_server.start()
    await traffic(lambda: result(client.get("a")), breaker, "closed")
    assert await result(client.set("a", 1)) is True


async def test_a_paused_server_is_a_failure_by_timeout(
    client: Any, breaker: CircuitBreaker, redis_server: Redis
) -> None:
    await result(client.get("a"))
    redis_server.pause()
    errors = await traffic(lambda: result(client.get("a")), breaker, "open")
    assert all(isinstance(error, redis.TimeoutError) for error in errors)
    redis_server.resume()
    await traffic(lambda: result(client.get("a")), breaker, "closed")


async def test_a_watched_transaction_is_guarded(client: Any, breaker: CircuitBreaker) -> None:
    await result(client.set("stock", 5))
    before = breaker.counts.successes
    pipe = client.pipeline()
    await result(pipe.watch("stock"))
    assert await result(pipe.get("stock")) == b"5"
    pipe.multi()
    pipe.decr("stock")
    assert await result(pipe.execute()) == [4]
    assert breaker.counts.successes == before + 3
    breaker.force_open()
    pipe = client.pipeline()
    with pytest.raises(redis.ConnectionError):
        await result(pipe.watch("stock"))
    await result(pipe.reset())


async def test_a_refused_pipeline_gives_its_connection_back(
    client: Any, breaker: CircuitBreaker
) -> None:
    pipe = client.pipeline()
    await result(pipe.watch("stock"))
    breaker.force_open()
    pipe.multi()
    pipe.incr("stock")
    with pytest.raises(RedisCircuitOpenError):
        await result(pipe.execute())
    breaker.reset()
    assert in_use(client) == 0


async def test_a_blocking_command_is_not_slow(redis_server: Redis) -> None:
    breaker = CircuitBreaker("slow", kind="time", slow_call_seconds=0.05, minimum_calls=1)
    client = protect_redis(made("sync", redis_server, socket_timeout=5), breaker)
    threading.Timer(0.15, lambda: made("sync", redis_server).rpush("jobs", "one")).start()
    assert client.blpop(["jobs"], timeout=3) == (b"jobs", b"one")
    assert (breaker.counts.slow_calls, str(breaker.state)) == (0, "closed")
    client.close()


async def test_waiting_for_messages_holds_no_permit(
    client: Any, breaker: CircuitBreaker, redis_server: Redis
) -> None:
    pubsub = client.pubsub(ignore_subscribe_messages=True)
    await result(pubsub.subscribe("news"))
    calls = breaker.counts.calls
    assert await result(pubsub.get_message(timeout=0.05)) is None
    assert await result(pubsub.get_message(timeout=0.05)) is None
    assert breaker.counts.calls == calls
    await result(client.publish("news", "tea"))
    deadline, message = time.monotonic() + 5, None
    while message is None and time.monotonic() < deadline:
        message = await result(pubsub.get_message(timeout=0.05))
    assert message is not None
    assert message["data"] == b"tea"
    redis_server.stop()
    with pytest.raises(redis.ConnectionError):
        await result(pubsub.get_message(timeout=0.5))
    assert breaker.counts.failures > 0
    breaker.force_open()
    with pytest.raises(redis.ConnectionError) as caught:
        await result(pubsub.get_message(timeout=0.05))
    assert isinstance(caught.value, CircuitOpenError)
    breaker.reset()
    await result(pubsub.aclose() if hasattr(pubsub, "aclose") else pubsub.close())


async def test_a_registry_gives_each_server_its_breaker(redis_server: Redis) -> None:
    registry = BreakerRegistry(failure_threshold=1)
    client = protect_redis(made("sync", redis_server), registry)
    client.ping()
    assert f"localhost:{redis_server.port}" in registry
    client.close()


async def test_a_full_pool_is_not_the_servers_fault(redis_server: Redis) -> None:
    breaker = CircuitBreaker("pool", failure_threshold=1)
    client = protect_redis(
        made("asyncio", redis_server, max_connections=1, socket_timeout=5), breaker
    )
    both = await asyncio.gather(
        client.blpop(["nothing"], timeout=0.2), client.ping(), return_exceptions=True
    )
    assert isinstance(both[1], redis.exceptions.MaxConnectionsError)
    assert (breaker.counts.ignored, str(breaker.state)) == (1, "closed")
    await client.aclose()


async def test_a_cancelled_command_says_nothing(redis_server: Redis) -> None:
    breaker = CircuitBreaker("cancel", failure_threshold=1)
    client = protect_redis(made("asyncio", redis_server, socket_timeout=5), breaker)
    task = asyncio.create_task(client.blpop(["nothing"], timeout=3))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await client.ping() is True
    counts = breaker.counts
    assert (counts.cancelled, counts.failures, counts.in_flight) == (1, 0, 0)
    assert in_use(client) == 0
    await client.aclose()


# redis-py leaves its socket to the collector when it is cancelled while it connects
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_nothing_leaks_in_ten_thousand_mixed_calls(redis_server: Redis) -> None:
    breaker = CircuitBreaker("mixed", failure_threshold=50)
    client = protect_redis(
        made("asyncio", redis_server, max_connections=50, socket_timeout=60), breaker
    )
    draw = random.Random(7)
    await client.set("a", "text")

    async def worker() -> None:
        for _ in range(500):
            task = asyncio.ensure_future(one(client, draw.random()))
            if draw.random() < 0.05:
                await asyncio.sleep(0)
                task.cancel()
            await asyncio.wait([task])
            assert task.cancelled() or task.exception() is None

    await asyncio.gather(*(worker() for _ in range(20)))
    counts = breaker.counts
    assert counts.calls > 9_000
    assert (counts.in_flight, counts.failures, in_use(client)) == (0, 0, 0)
    await client.aclose()
    gc.collect()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Redis]:
    """A cluster of one."""
    server = Redis(tmp_path, "--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    server.start()
    with redis.Redis(port=server.port) as plain:
        plain.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        eventually(
            lambda: plain.cluster("info")["cluster_state"] == "ok", "the cluster to be ready"
        )
    yield server
    server.end()


@pytest.mark.parametrize("library", [redis, redis.asyncio])
async def test_a_cluster_is_guarded_like_one_server(cluster: Redis, library: Any) -> None:
    breaker = CircuitBreaker("cluster")
    client: Any = library.RedisCluster(host="127.0.0.1", port=cluster.port)
    protect_redis(client, breaker)
    await result(client.set("a", 1))
    pipe = client.pipeline()
    pipe.incr("a").incr("a")
    assert await result(pipe.execute()) == [2, 3]
    assert (breaker.counts.successes, breaker.counts.in_flight) == (2, 0)
    breaker.force_open()
    pipe = client.pipeline()
    pipe.incr("a")
    for refused in (lambda: client.get("a"), pipe.execute):
        with pytest.raises(redis.ConnectionError) as caught:
            await result(refused())
        assert isinstance(caught.value, CircuitOpenError)
    await result(client.aclose() if library is redis.asyncio else client.close())


async def one(client: Any, kind: float) -> None:
    if kind < 0.5:
        await client.set("a", "text")
    elif kind < 0.7:
        with pytest.raises(redis.ResponseError):
            await client.incr("a")
    elif kind < 0.9:
        async with client.pipeline() as pipe:
            pipe.incr("n").get("a")
            await pipe.execute()
    else:
        await client.get("a")


def in_use(client: Any) -> int:
    return len(client.connection_pool._in_use_connections)
