"""After thousands of mixed calls every connection is back in its pool, and no permit is out.

Rule: whole answers, errors, streams that are closed early and cancelled calls, all at once; ten
thousand of them in the long tier.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from cbmon import CircuitBreaker
from tests.component.integrations.conftest import Origin
from tests.component.integrations.drivers import ASYNC, SYNC, Aiohttp, Driver, HttpxAsync, Requests

WORKERS = 8


def each(kinds: Any) -> Any:
    return [pytest.param(kind, id=kind.__name__) for kind in kinds]


COUNTS = [300, pytest.param(10_000, marks=[pytest.mark.long, pytest.mark.timeout(600)])]


@pytest.mark.parametrize("calls", COUNTS)
@pytest.mark.parametrize("kind", each(ASYNC))
async def test_nothing_leaks_with_cancellations(kind: Any, origin: Origin, calls: int) -> None:
    breaker = CircuitBreaker("mixed", failure_threshold=calls)
    draw = random.Random(3)
    async with kind(breaker) as client:
        client.patience(30)

        async def worker() -> None:
            for _ in range(calls // WORKERS):
                task = asyncio.ensure_future(one(client, origin, draw.random()))
                if draw.random() < 0.1:
                    await asyncio.sleep(draw.random() * 0.003)
                    task.cancel()
                await asyncio.wait([task])
                assert task.cancelled() or task.exception() is None

        await asyncio.gather(*(worker() for _ in range(WORKERS)))
        await asyncio.sleep(0.05)
        counts = breaker.counts
        assert counts.calls > calls * 0.9
        assert counts.in_flight == 0
        assert counts.cancelled > 0
        assert busy(client) == 0 or kind is HttpxAsync  # bare httpx loses them, httpx2 does not
        assert await client.get(f"{origin.url}/ok") == 200


@pytest.mark.parametrize("calls", COUNTS)
@pytest.mark.parametrize("kind", each([*SYNC, HttpxAsync]))
async def test_nothing_leaks_one_after_the_other(kind: Any, origin: Origin, calls: int) -> None:
    breaker = CircuitBreaker("mixed", failure_threshold=calls)
    draw = random.Random(3)
    async with kind(breaker) as client:
        client.patience(30)
        for _ in range(calls):
            await one(client, origin, draw.random())
        counts = breaker.counts
        assert (counts.calls, counts.in_flight) == (calls, 0)
        assert busy(client) == 0


async def one(client: Driver, origin: Origin, kind: float) -> None:
    if kind < 0.6:
        assert await client.get(f"{origin.url}/ok") == 200
    elif kind < 0.7:
        assert await client.get(f"{origin.url}/status/404") == 404
    elif kind < 0.8:
        assert await client.get(f"{origin.url}/status/503") == 503
    elif kind < 0.9:
        assert await client.get(f"{origin.url}/stream/3") == 200
    else:
        begun = await client.begin(f"{origin.url}/stream/3")
        await client.end(begun)


def busy(client: Any) -> int:
    """Connections that are neither idle nor closed."""
    if isinstance(client, Aiohttp):
        return len(client.session.connector._acquired)  # type: ignore[union-attr]
    if isinstance(client, Requests):
        adapter: Any = client.session.get_adapter("http://a/")
        pools = adapter._adapter.poolmanager.pools
        return sum(pools[key].pool.maxsize - pools[key].pool.qsize() for key in list(pools.keys()))
    pool = client.client._transport._transport._pool
    return sum(not connection.is_idle() for connection in pool.connections)
