"""While a recovery check watches, no user's call is the trial, and a dead runner wedges nothing."""

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from unittest.mock import patch

import pytest

from cbmon import CircuitBreaker, CircuitOpenError, State
from cbmon.resilience import (
    Recovery,
    RecoveryCheck,
    ThreadRecoveryCheck,
    query_answers,
    url_answers,
)
from cbmon.testing import ManualClock, StateRecorder


def opened(clock: ManualClock, **fields: Any) -> CircuitBreaker:
    breaker = CircuitBreaker("api", recovery_timeout=10, clock=clock, **fields)
    breaker.open()
    return breaker


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 (the breaker has no event to wait for)
            await asyncio.sleep(0.001)


class TestDecisions:
    def test_the_breaker_stays_open_until_enough_good_answers_in_a_row(self) -> None:
        clock = ManualClock()
        breaker = opened(clock)
        recovery = Recovery(breaker, interval=5, timeout=2, successes=2)
        assert recovery.begin()
        states = []
        for good in (True, False, True, True):
            clock.advance(5)
            recovery.found(good)
            states.append(breaker.state)
        assert states == [State.OPEN, State.OPEN, State.OPEN, State.CLOSED]

    def test_no_users_call_is_let_through_meanwhile(self) -> None:
        clock = ManualClock()
        breaker = opened(clock)
        recovery = Recovery(breaker, interval=5, timeout=2, successes=2)
        recovery.begin()
        for _ in range(20):
            clock.advance(7)
            with pytest.raises(CircuitOpenError):
                breaker.call(len, "abc")
            recovery.found(False)

    def test_a_runner_that_dies_leaves_an_ordinary_breaker_behind(self) -> None:
        clock = ManualClock()
        breaker = opened(clock)
        recovery = Recovery(breaker, interval=5, timeout=2, successes=2)
        recovery.begin()
        clock.advance(recovery.lease)
        assert breaker.retry_after == 0.0
        assert breaker.call(len, "abc") == 3
        assert breaker.state is State.CLOSED

    def test_a_program_that_was_held_up_past_its_lease_still_closes_it(self) -> None:
        clock = ManualClock()
        breaker = opened(clock)
        recovery = Recovery(breaker, interval=5, timeout=2, successes=2)
        recovery.begin()
        clock.advance(1000)
        assert recovery.begin()
        assert not recovery.found(True)
        assert recovery.found(True)
        assert breaker.state is State.CLOSED

    def test_holding_open_is_no_transition_and_no_further_opening(self) -> None:
        clock, recorder = ManualClock(), StateRecorder()
        breaker = opened(clock, recovery_backoff=2, listeners=[recorder])
        recovery = Recovery(breaker, interval=1, timeout=1, successes=1)
        for _ in range(5):
            recovery.begin()
        assert recorder.moves == [("closed", "open")]
        breaker.half_open()
        breaker.open()
        assert breaker.retry_after == 20.0

    def test_it_holds_the_breaker_for_two_intervals_and_a_check(self) -> None:
        breaker = opened(ManualClock())
        Recovery(breaker, interval=5, timeout=2, successes=1).begin()
        assert breaker.retry_after == 12.0

    def test_good_answers_before_a_closing_or_a_persons_move_are_forgotten(self) -> None:
        breaker = opened(ManualClock())
        recovery = Recovery(breaker, interval=5, timeout=2, successes=2)
        recovery.found(True)
        breaker.reset()
        assert not recovery.begin()
        breaker.open()
        assert not recovery.found(True)
        assert recovery.found(True)
        breaker.open()
        assert not recovery.found(True)

    def test_the_closing_says_who_and_why(self) -> None:
        recorder = StateRecorder()
        breaker = opened(ManualClock(), listeners=[recorder])
        recovery = Recovery(breaker, interval=1, timeout=1, successes=1)
        assert recovery.begin()
        assert recovery.found(True)
        closing = recorder.transitions[-1]
        assert (closing.actor, closing.reason) == ("recovery check", "1 good answers in a row")

    @pytest.mark.parametrize("move", ["force_open", "force_close", "observe", "disable", "reset"])
    def test_a_persons_decision_is_left_alone(self, move: str) -> None:
        breaker = opened(ManualClock())
        recovery = Recovery(breaker, interval=1, timeout=1, successes=1)
        recovery.begin()
        getattr(breaker, move)()
        state = breaker.state
        assert not recovery.found(True)
        assert not recovery.begin()
        assert state is breaker.state

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"interval": 0}, r"interval: got 0, expected a number > 0"),
            ({"timeout": -1}, r"timeout: got -1, expected a number > 0"),
            ({"successes": 0}, r"successes: got 0, expected an integer >= 1"),
        ],
    )
    def test_a_setting_out_of_range_is_named(self, settings: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            RecoveryCheck(CircuitBreaker("api"), bool, **settings)


class TestTask:
    async def test_it_closes_a_breaker_that_opens_while_it_watches(self) -> None:
        breaker = CircuitBreaker("api")
        answers = iter([False, OSError("down"), True, True])

        async def check() -> object:
            answer = next(answers)
            if isinstance(answer, Exception):
                raise answer
            return answer

        async with RecoveryCheck(breaker, check, interval=0.001, successes=2):
            await asyncio.sleep(0)
            breaker.open()
            await until(lambda: breaker.state is State.CLOSED)
        assert list(answers) == []

    async def test_a_plain_check_runs_in_a_thread(self) -> None:
        breaker, threads = CircuitBreaker("api"), list[str]()
        breaker.open()

        def check() -> None:
            threads.append(threading.current_thread().name)

        async with RecoveryCheck(breaker, check, interval=0.001, successes=1):
            await until(lambda: breaker.state is State.CLOSED)
        assert threading.main_thread().name not in threads

    async def test_a_plain_check_may_return_an_awaitable(self) -> None:
        breaker = CircuitBreaker("api")
        breaker.open()

        async def answer() -> bool:
            return True

        def plain() -> Awaitable[bool]:
            return answer()

        async with RecoveryCheck(breaker, plain, interval=0.001, successes=1):
            await until(lambda: breaker.state is State.CLOSED)

    async def test_a_check_that_hangs_is_a_bad_answer(self) -> None:
        breaker, runs = CircuitBreaker("api"), 0
        breaker.open()

        async def check() -> None:
            nonlocal runs
            runs += 1
            await asyncio.Event().wait()

        async with RecoveryCheck(breaker, check, interval=0.001, timeout=0.001, successes=1):
            await until(lambda: runs >= 2)
            assert breaker.state is not State.CLOSED

    async def test_a_plain_check_that_hangs_keeps_one_thread_only(self) -> None:
        breaker, leave, runs = CircuitBreaker("api"), threading.Event(), list[int]()
        breaker.open()

        def check() -> None:
            runs.append(1)
            leave.wait(10)

        watch = RecoveryCheck(breaker, check, interval=0.001, timeout=0.02, successes=1)
        decisions = watch._recovery
        with patch.object(decisions, "found", side_effect=decisions.found) as found:
            async with watch:
                await until(lambda: found.call_count >= 5)
                assert len(runs) == 1
                leave.set()
                await until(lambda: breaker.state is State.CLOSED)

    async def test_a_breaker_opened_in_another_thread_wakes_it(self) -> None:
        breaker = CircuitBreaker("api")
        async with RecoveryCheck(breaker, bool, interval=0.001, successes=10**6):
            await asyncio.to_thread(breaker.open, for_seconds=1000)
            await until(lambda: (breaker.retry_after or 0) < 100)

    async def test_stopping_ends_a_running_check_and_leaves_no_task(self) -> None:
        breaker = CircuitBreaker("api")
        breaker.open()
        running = asyncio.Event()

        async def check() -> None:
            running.set()
            await asyncio.Event().wait()

        watch = RecoveryCheck(breaker, check, interval=0.001, timeout=60)
        await watch.start()
        with pytest.raises(RuntimeError, match="started already"):
            await watch.start()
        await running.wait()
        await watch.stop()
        await watch.stop()
        assert {asyncio.current_task()} == asyncio.all_tasks()

    async def test_it_can_be_started_again_after_a_stop(self) -> None:
        breaker = CircuitBreaker("api")
        watch = RecoveryCheck(breaker, lambda: True, interval=0.001, successes=1)
        for _ in range(2):
            async with watch:
                breaker.open()
                await until(lambda: breaker.state is State.CLOSED)


class TestThread:
    def test_it_closes_a_breaker_and_its_thread_ends(self) -> None:
        closed = threading.Event()
        breaker = CircuitBreaker("api")
        breaker.add_listener(
            lambda event: closed.set() if event.to_state is State.CLOSED else None,
            kinds=("transition",),
        )
        answers = iter([False, OSError("down"), True, True])

        def check() -> object:
            answer = next(answers)
            if isinstance(answer, Exception):
                raise answer
            return answer

        with ThreadRecoveryCheck(breaker, check, interval=0.001, successes=2):
            breaker.open()
            assert closed.wait(5)
        assert "recovery of api" not in {thread.name for thread in threading.enumerate()}

    def test_it_is_started_once_and_stopped_cleanly(self) -> None:
        watch = ThreadRecoveryCheck(CircuitBreaker("api"), bool)
        assert watch.stop()
        watch.start()
        with pytest.raises(RuntimeError, match="started already"):
            watch.start()
        assert watch.stop()

    def test_a_check_that_hangs_does_not_hang_the_stop(self) -> None:
        breaker, inside, leave = CircuitBreaker("api"), threading.Event(), threading.Event()
        breaker.open()

        def check() -> None:
            inside.set()
            leave.wait(10)

        watch = ThreadRecoveryCheck(breaker, check, interval=0.001, timeout=0.001)
        watch.start()
        assert inside.wait(5)
        assert not watch.stop()
        leave.set()


class TestReadyMadeChecks:
    @pytest.mark.parametrize(("status", "good"), [(200, True), (404, False), (503, False)])
    def test_a_url_is_good_when_its_status_is(self, status: int, good: bool) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Says nothing."""

        with HTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.handle_request)
            thread.start()
            assert good is url_answers(f"http://127.0.0.1:{server.server_port}/", timeout=5)()
            thread.join(5)

    def test_a_url_of_another_scheme_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"url: got 'file:///etc/passwd', expected"):
            url_answers("file:///etc/passwd")

    def test_a_query_is_good_when_it_runs_and_its_connection_is_closed(self) -> None:
        connections: list[sqlite3.Connection] = []

        def connect() -> sqlite3.Connection:
            connections.append(sqlite3.connect(":memory:"))
            return connections[-1]

        assert query_answers(connect)()
        with pytest.raises(sqlite3.OperationalError):
            query_answers(connect, "select * from nowhere")()
        for connection in connections:
            with pytest.raises(sqlite3.ProgrammingError):
                connection.execute("select 1")
