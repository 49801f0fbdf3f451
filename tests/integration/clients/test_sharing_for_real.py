"""R25 over a real Redis and a real PostgreSQL: several instances, one outage, one trial."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import pytest

from cbmon import CircuitBreaker
from cbmon.sharing import SharedBreakers, SharedStore
from cbmon.sharing.postgres import PostgresStore
from cbmon.sharing.redis import RedisStore
from tests.integration.clients.conftest import Postgres, Redis, until

INSTANCES: Final = 4
QUICK: Final[dict[str, Any]] = {"interval": 0.05, "lease": 2.0, "timeout": 0.5}


@pytest.fixture(params=["redis", "postgres"])
def server(request: pytest.FixtureRequest) -> Redis | Postgres:
    running: Redis | Postgres = request.getfixturevalue(f"{request.param}_server")
    return running


def store_of(server: Redis | Postgres, group: str) -> SharedStore:
    if isinstance(server, Redis):
        return RedisStore(f"redis://127.0.0.1:{server.port}/0", group=group, timeout=0.3)
    return PostgresStore(server.dsn, group=group)


@asynccontextmanager
async def instances(
    server: Redis | Postgres, group: str, **fields: Any
) -> AsyncIterator[tuple[list[CircuitBreaker], list[SharedBreakers]]]:
    fields = {"failure_threshold": 1, "recovery_timeout": 0.3, **fields}
    breakers = [CircuitBreaker("shop", **fields) for _ in range(INSTANCES)]
    async with AsyncExitStack() as stack:
        shared = [
            await stack.enter_async_context(
                SharedBreakers(store_of(server, group), [breaker], **QUICK)
            )
            for breaker in breakers
        ]
        yield breakers, shared


def all_are(breakers: list[CircuitBreaker], state: str) -> Callable[[], bool]:
    return lambda: all(breaker.state == state for breaker in breakers)


def fail(breaker: CircuitBreaker) -> None:
    permit = breaker.try_acquire()
    assert permit is not None
    breaker.record(permit, failed=True, error="connection refused")


async def test_one_outage_one_trial_one_end(server: Redis | Postgres) -> None:
    async with instances(server, "one") as (breakers, _):
        fail(breakers[0])
        await until(all_are(breakers, "open"), "the outage to be everywhere")
        trials = 0
        for _ in range(400):
            for breaker in breakers:
                if (permit := breaker.try_acquire()) is not None:
                    trials += 1
                    await asyncio.sleep(0.2)  # the others try meanwhile and are turned away
                    breaker.record(permit, failed=False)
            if trials:
                break
            await asyncio.sleep(0.01)
        assert trials == 1
        await until(all_are(breakers, "closed"), "the end to be everywhere")
        assert sum(breaker.counts.trips for breaker in breakers) == 1


async def test_the_server_stops_and_comes_back(server: Redis | Postgres) -> None:
    async with instances(server, "stops") as (breakers, shared):
        breakers[1].force_open(actor="ann", reason="deploy")
        await until(all_are(breakers, "forced_open"), "the order to be everywhere")
        breakers[1].reset(actor="ann")
        await until(all_are(breakers, "closed"), "its end to be everywhere")

        server.stop()
        await until(lambda: all(one.degraded for one in shared), "the store to be missed")
        fail(breakers[0])
        await until(lambda: breakers[0].state == "half_open", "it to go on alone")
        assert breakers[1].state == "closed"
        breakers[2].force_open(actor="ben")
        server.start()
        await until(lambda: not any(one.degraded for one in shared), "the store to be back")
        await until(all_are(breakers, "forced_open"), "what was ordered meanwhile to arrive")


async def test_a_paused_server_holds_up_nobody(server: Redis | Postgres) -> None:
    async with instances(server, "paused") as (breakers, shared):
        server.pause()
        try:
            await until(lambda: all(one.degraded for one in shared), "the store to be missed")
            fail(breakers[3])
            await until(lambda: breakers[3].state == "half_open", "it to go on alone")
        finally:
            server.resume()
        await until(lambda: not any(one.degraded for one in shared), "the store to be back")


async def test_an_old_outage_is_found_by_an_instance_that_starts(server: Redis | Postgres) -> None:
    async with instances(server, "old", recovery_timeout=60) as (breakers, _):
        fail(breakers[0])
        await until(all_are(breakers, "open"), "the outage to be everywhere")
    async with instances(server, "old", recovery_timeout=60) as (breakers, _):
        await until(all_are(breakers, "open"), "the outage to be found")
        assert 50 < (breakers[0].retry_after or 0) < 62
