"""A bulkhead never runs more calls than it has places, and never loses a place."""

import asyncio
import pickle
import threading
from collections.abc import Awaitable, Callable

import pytest

from cbmon import Bulkhead, BulkheadFullError
from cbmon.resilience import BulkheadRegistry


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_no_more_than_the_limit_run_at_once_and_all_get_their_turn() -> None:
    pool = Bulkhead("db", max_concurrent_calls=3, queue_timeout=10)
    running = highest = done = 0

    @pool
    async def query() -> None:
        nonlocal running, highest, done
        running += 1
        highest = max(highest, running)
        await asyncio.sleep(0)
        running -= 1
        done += 1

    await asyncio.gather(*(query() for _ in range(50)))
    assert (highest, done) == (3, 50)
    assert 0 == pool.in_flight == pool.queued


def test_no_more_than_the_limit_run_in_threads() -> None:
    pool = Bulkhead("db", max_concurrent_calls=3, queue_timeout=10)
    lock = threading.Lock()
    running = highest = 0

    @pool
    def query() -> None:
        nonlocal running, highest
        with lock:
            running += 1
            highest = max(highest, running)
        with lock:
            running -= 1

    threads = [in_thread(lambda: [query() for _ in range(100)]) for _ in range(16)]
    for thread in threads:
        thread.join(10)
    assert 1 <= highest <= 3
    assert 0 == pool.in_flight == pool.queued == pool.rejections


def test_a_full_bulkhead_turns_away_at_once_and_says_its_name_and_limit() -> None:
    pool = Bulkhead("reports", max_concurrent_calls=1)
    with (
        pool,
        pytest.raises(BulkheadFullError, match=r"bulkhead 'reports' is full: 1 call") as full,
    ):
        pool.call(len, "abc")
    assert (full.value.name, full.value.limit, full.value.waited) == ("reports", 1, 0.0)
    assert pool.rejections == 1
    assert pool.call(len, "abc") == 3


def test_the_error_survives_a_process_boundary() -> None:
    error = pickle.loads(pickle.dumps(BulkheadFullError("reports", 2, 0.5)))
    assert (error.name, error.limit, error.waited) == ("reports", 2, 0.5)
    assert "within 0.5 s" in str(error)


async def test_waiting_ends_after_the_queue_timeout() -> None:
    pool = Bulkhead(max_concurrent_calls=1, queue_timeout=0.005)
    async with pool:
        with pytest.raises(BulkheadFullError, match=r"within 0\.005 s"):
            await pool.acquire_async()
    assert (pool.in_flight, pool.queued, pool.rejections) == (0, 0, 1)


def test_a_thread_that_waits_too_long_is_turned_away_and_leaves_no_hole() -> None:
    pool = Bulkhead(max_concurrent_calls=1, queue_timeout=0.005)
    with pool, pytest.raises(BulkheadFullError):
        pool.acquire()
    with pool:
        assert (pool.in_flight, pool.queued) == (1, 0)


async def test_those_who_wait_are_served_in_the_order_in_which_they_came() -> None:
    pool = Bulkhead(max_concurrent_calls=1, queue_timeout=10)
    order: list[int] = []

    async def use(number: int) -> None:
        async with pool:
            order.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*(use(number) for number in range(10)))
    assert list(range(10)) == order


async def test_no_more_than_max_queued_may_wait() -> None:
    pool = Bulkhead(max_concurrent_calls=1, queue_timeout=10, max_queued=1)
    async with pool:
        waiting = asyncio.create_task(pool.acquire_async())
        await settle()
        with pytest.raises(BulkheadFullError):
            await pool.acquire_async()
    await waiting
    pool.release()
    assert pool.in_flight == 0


async def test_a_waiter_that_is_cancelled_takes_no_place_with_it() -> None:
    pool = Bulkhead(max_concurrent_calls=1, queue_timeout=10)
    await pool.acquire_async()
    waiting = asyncio.create_task(pool.acquire_async())
    await settle()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert pool.queued == 0
    pool.release()
    assert pool.in_flight == 0


async def test_a_waiter_cancelled_after_the_place_was_granted_hands_it_on() -> None:
    pool = Bulkhead(max_concurrent_calls=1, queue_timeout=10)
    await pool.acquire_async()
    first = asyncio.create_task(pool.acquire_async())
    second = asyncio.create_task(pool.acquire_async())
    await settle()
    pool.release()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await asyncio.wait_for(second, 1)
    pool.release()
    assert pool.in_flight == 0


async def test_a_thread_hands_its_place_to_a_task() -> None:
    pool = Bulkhead(max_concurrent_calls=1, queue_timeout=10)
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with pool:
            inside.set()
            leave.wait(10)

    thread = in_thread(hold)
    await asyncio.to_thread(inside.wait, 10)
    waiting = asyncio.create_task(pool.acquire_async())
    await settle()
    leave.set()
    await asyncio.wait_for(waiting, 5)
    pool.release()
    thread.join(5)
    assert pool.in_flight == 0


def test_a_place_is_not_handed_to_a_task_whose_loop_is_gone() -> None:
    pool = Bulkhead(max_concurrent_calls=1, queue_timeout=10)
    pool.acquire()
    loop = asyncio.new_event_loop()
    waiting = loop.create_task(pool.acquire_async())
    loop.run_until_complete(asyncio.sleep(0))
    waiter = next(iter(pool._queue))
    loop.run_until_complete(_cancelled(waiting))
    pool._queue[waiter] = None
    loop.close()
    pool.release()
    assert pool.in_flight == 0


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_an_error_or_a_cancellation_inside_gives_the_place_back() -> None:
    pool = Bulkhead(max_concurrent_calls=1)

    @pool
    async def broken(error: BaseException) -> None:
        raise error

    for error in (OSError("down"), asyncio.CancelledError()):
        with pytest.raises(type(error)):
            await broken(error)
        assert pool.in_flight == 0


async def test_a_plain_function_that_returns_an_awaitable_holds_its_place_while_it_is_awaited() -> (
    None
):
    pool = Bulkhead(max_concurrent_calls=1)

    async def look() -> int:
        return pool.in_flight

    def plain() -> Awaitable[int]:
        return look()

    pending = pool.call(plain)
    assert pool.in_flight == 0
    assert await pending == 1
    assert pool.in_flight == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_concurrent_calls": 0}, r"max_concurrent_calls: got 0, expected an integer >= 1"),
        ({"max_concurrent_calls": True}, r"max_concurrent_calls: got True"),
        ({"max_concurrent_calls": 1.5}, r"max_concurrent_calls: got 1\.5"),
        ({"queue_timeout": -1}, r"queue_timeout: got -1, expected a number >= 0"),
        ({"queue_timeout": float("nan")}, r"queue_timeout: got nan"),
        ({"queue_timeout": float("inf")}, r"queue_timeout: got inf"),
        ({"max_queued": 0}, r"max_queued: got 0, expected an integer >= 1"),
    ],
)
def test_a_setting_out_of_range_is_named(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Bulkhead("b", **settings)  # type: ignore[arg-type]


async def test_a_thread_that_waits_is_woken_as_soon_as_a_place_is_free() -> None:
    pool = Bulkhead(max_concurrent_calls=1, queue_timeout=60)
    pool.acquire()
    thread = in_thread(pool.acquire)
    while not pool.queued:  # noqa: ASYNC110 (the bulkhead has no event to wait for)
        await asyncio.sleep(0.001)
    assert pool.in_flight == 1
    pool.release()
    thread.join(5)
    assert not thread.is_alive()
    assert (pool.in_flight, pool.queued) == (1, 0)


def test_the_defaults_are_ten_calls_and_no_queue() -> None:
    for pool in (Bulkhead(), BulkheadRegistry().get("db")):
        assert (pool.max_concurrent_calls, pool.queue_timeout, pool.max_queued) == (10, 0.0, None)


def test_a_block_gives_the_bulkhead() -> None:
    pool = Bulkhead()
    with pool as entered:
        assert entered is pool


async def test_an_async_block_gives_the_bulkhead() -> None:
    pool = Bulkhead()
    async with pool as entered:
        assert entered is pool


def test_pools_of_the_same_name_are_one() -> None:
    pools = BulkheadRegistry(max_concurrent_calls=4)
    assert pools.get("db") is pools.get("db", max_concurrent_calls=4)
    assert pools.get("mail", max_concurrent_calls=2).max_concurrent_calls == 2
    assert sorted(pool.name for pool in pools) == ["db", "mail"]
    assert len(pools) == 2
    with pytest.raises(ValueError, match=r"bulkhead 'db' exists with 4"):
        pools.get("db", max_concurrent_calls=5)


def test_it_shows_how_full_it_is() -> None:
    with Bulkhead("db", max_concurrent_calls=2) as pool:
        assert repr(pool) == "<Bulkhead 'db': 1 of 2 running>"
