"""R16 to R18: what an exception or a result says of the target."""

from __future__ import annotations

import abc
import asyncio
from typing import Any

import pytest

from cbmon import CircuitBreaker
from cbmon.breaker import CallTimeoutError, NeutralError
from cbmon.breaker.outcomes import in_words
from cbmon.testing import ManualClock, StateRecorder
from tests.unit.breaker.support import Make


def raising(error: BaseException) -> Any:
    def function() -> None:
        raise error

    return function


def tally(breaker: CircuitBreaker) -> dict[str, int]:
    counts = breaker.counts
    numbers = {
        "success": counts.successes, "failure": counts.failures, "ignored": counts.ignored,
        "cancelled": counts.cancelled,
    }  # fmt: skip
    assert counts.in_flight == 0
    assert counts.calls == sum(numbers.values())
    return {kind: number for kind, number in numbers.items() if number}


class Odd(type):
    def __instancecheck__(cls, instance: object) -> bool:
        raise RuntimeError("cannot say")


class OddClass(metaclass=Odd):
    pass


class Virtual(abc.ABC):  # noqa: B024 - that is the point
    """Exceptions belong to it by registration only."""


Virtual.register(KeyError)


class TestR16:
    def test_ignored_wins_over_expected(self, make: Make) -> None:
        breaker = make(expected_exceptions=(OSError,), ignored_exceptions=(ConnectionError,))
        with pytest.raises(ConnectionError):
            breaker.call(raising(ConnectionError()))
        assert tally(breaker) == {"ignored": 1}

    def test_a_class_that_cannot_say_holds_nothing(self, make: Make) -> None:
        odd: Any = OddClass
        for fields, found in (
            ({"ignored_exceptions": (odd,)}, "failure"),
            ({"expected_exceptions": (OSError,), "ignored_exceptions": (odd, OSError)}, "ignored"),
        ):
            breaker = make(**fields)
            with pytest.raises(ConnectionError):
                breaker.call(raising(ConnectionError()))
            assert tally(breaker) == {found: 1}

    def test_an_expected_exception_is_a_failure(self, make: Make) -> None:
        breaker = make(expected_exceptions=(OSError,))
        with pytest.raises(ConnectionError):
            breaker.call(raising(ConnectionError("refused")))
        assert tally(breaker) == {"failure": 1}
        assert breaker.get_state()["last_error"] == "ConnectionError: refused"

    def test_any_other_exception_is_the_targets_success(self, make: Make) -> None:
        breaker = make(expected_exceptions=(OSError,), failure_threshold=1)
        with pytest.raises(KeyError):
            breaker.call(raising(KeyError("no such user")))
        assert tally(breaker) == {"success": 1}

    def test_abstract_base_classes_count_as_python_says(self, make: Make) -> None:
        breaker = make(expected_exceptions=(Virtual,))
        with pytest.raises(KeyError):
            breaker.call(raising(KeyError()))
        with pytest.raises(IndexError):
            breaker.call(raising(IndexError()))
        assert tally(breaker) == {"failure": 1, "success": 1}

    @pytest.mark.parametrize("field", ["expected_exceptions", "ignored_exceptions"])
    def test_one_odd_class_does_not_swallow_the_rest(self, make: Make, field: str) -> None:
        breaker = make(**{field: (OddClass, KeyError)})
        with pytest.raises(KeyError):
            breaker.call(raising(KeyError()))
        expected = "failure" if field == "expected_exceptions" else "ignored"
        assert tally(breaker) == {expected: 1}

    def test_a_predicate_makes_a_result_a_failure(self, make: Make) -> None:
        breaker = make(is_failure=lambda status: status >= 500)
        assert [breaker.call(int, text) for text in ("200", "503")] == [200, 503]
        assert tally(breaker) == {"success": 1, "failure": 1}
        assert breaker.get_state()["last_error"] == "is_failure said so"

    def test_a_predicate_that_raises_is_surfaced_and_the_call_is_a_failure(
        self, make: Make
    ) -> None:
        breaker = make(is_failure=lambda result: result["status"], initial_state="half_open")
        with pytest.raises(KeyError):
            breaker.call(dict)
        assert tally(breaker) == {"failure": 1}
        assert breaker.state == "open"

    def test_a_predicate_that_is_interrupted_gives_the_permit_back(self, make: Make) -> None:
        def interrupted(_result: object) -> bool:
            raise KeyboardInterrupt

        breaker = make(is_failure=interrupted, initial_state="half_open")
        with pytest.raises(KeyboardInterrupt):
            breaker.call(int)
        assert tally(breaker) == {"cancelled": 1}
        assert breaker.try_acquire() is not None

    def test_the_time_of_the_predicate_is_not_the_targets(
        self, make: Make, clock: ManualClock
    ) -> None:
        def thorough(_result: object) -> bool:
            clock.advance(10.0)
            return False

        breaker = make(is_failure=thorough, slow_call_seconds=1.0)
        breaker.call(clock.advance, 0.5)
        breaker.call(clock.advance, 1.5)
        assert breaker.counts.slow_calls == 1

    def test_a_predicate_is_not_asked_about_exceptions(self, make: Make) -> None:
        asked: list[object] = []
        breaker = make(is_failure=asked.append)
        with pytest.raises(OSError, match="down"):
            breaker.call(raising(OSError("down")))
        assert asked == []

    def test_the_call_that_trips_raises_its_own_exception(self, make: Make) -> None:
        breaker = make(failure_threshold=1)
        with pytest.raises(OSError, match="down"):
            breaker.call(raising(OSError("down")))
        assert breaker.state == "open"


class TestR17:
    @pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
    def test_exits_are_neutral_and_raised_on(self, make: Make, error: type[BaseException]) -> None:
        breaker = make(expected_exceptions=(BaseException,), failure_threshold=1)
        with pytest.raises(error):
            breaker.call(raising(error()))
        assert tally(breaker) == {"cancelled": 1}
        assert breaker.state == "closed"

    async def test_a_cancelled_task_is_neutral(self, make: Make) -> None:
        recorder = StateRecorder()
        breaker = make(expected_exceptions=(BaseException,), initial_state="half_open",
                       listeners=[recorder])  # fmt: skip
        waiting = asyncio.create_task(breaker.call(asyncio.Event().wait))
        await asyncio.sleep(0)
        assert breaker.counts.in_flight == 1
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert tally(breaker) == {"cancelled": 1}
        assert recorder.told == ["cancelled"]
        assert breaker.try_acquire() is not None

    async def test_a_cancelled_task_in_a_closed_breaker_is_neutral(self, make: Make) -> None:
        breaker = make(failure_threshold=1)
        waiting = asyncio.create_task(breaker.call(asyncio.Event().wait))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (tally(breaker), breaker.state) == ({"cancelled": 1}, "closed")

    async def test_the_outer_timeout_is_neutral(self, make: Make) -> None:
        breaker = make(failure_threshold=1, call_timeout=30.0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await breaker.call(asyncio.Event().wait)
        assert tally(breaker) == {"cancelled": 1}

    async def test_the_breakers_own_timeout_is_a_failure(self, make: Make) -> None:
        recorder = StateRecorder()
        breaker = make(failure_threshold=1, call_timeout=0.001, expected_exceptions=(OSError,),
                       listeners=[recorder])  # fmt: skip
        with pytest.raises(CallTimeoutError, match=r"within the 0\.001 s of circuit breaker"):
            await breaker.call(asyncio.Event().wait)
        assert (tally(breaker), breaker.state) == ({"failure": 1}, "open")
        assert recorder.of("failure")[0].reason == "timeout"

    async def test_the_functions_own_timeout_error_is_judged_like_any(self, make: Make) -> None:
        breaker = make(call_timeout=30.0, expected_exceptions=(KeyError,))

        async def impatient() -> None:
            raise TimeoutError

        with pytest.raises(TimeoutError) as raised:
            await breaker.call(impatient)
        assert type(raised.value) is TimeoutError
        assert tally(breaker) == {"success": 1}

    async def test_a_function_that_swallows_its_cancellation_was_late_all_the_same(
        self, make: Make
    ) -> None:
        breaker = make(call_timeout=0.001)

        async def stubborn() -> str:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return "late"
            return "never"

        assert await breaker.call(stubborn) == "late"
        assert tally(breaker) == {"failure": 1}
        assert breaker.get_state()["last_failure_reason"] == "timeout"

    async def test_a_call_in_time_is_no_failure(self, make: Make) -> None:
        breaker = make(call_timeout=30.0)
        assert await breaker.call(asyncio.sleep, 0, "done") == "done"
        assert tally(breaker) == {"success": 1}


class TestR18:
    def test_what_says_nothing_of_the_target_is_neutral(self, make: Make) -> None:
        class FullError(NeutralError):
            pass

        breaker = make(expected_exceptions=(Exception,), failure_threshold=1)
        with pytest.raises(FullError):
            breaker.call(raising(FullError()))
        assert tally(breaker) == {"ignored": 1}


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(("error", "words"), [
    (OSError("down"), "OSError: down"),
    (OSError(), "OSError"),
    (OSError("a\n  b"), "OSError: a b"),
    (UnprintableError(), "UnprintableError"),
    (OSError("x" * 1000), "OSError: " + "x" * 291),
])  # fmt: skip
def test_an_error_is_one_line_of_bounded_length(error: Exception, words: str) -> None:
    assert in_words(error) == words


class Stop(BaseException):
    """A library's own way of leaving, such as gevent's or pytest's."""


@pytest.mark.parametrize(
    ("error", "policy", "counted"),
    [
        (ExceptionGroup("g", [ConnectionError()]), {}, "failures"),
        (ExceptionGroup("g", [ConnectionError()]), {"expected_exceptions": OSError}, "failures"),
        (ExceptionGroup("g", [KeyError()]), {"expected_exceptions": OSError}, "successes"),
        (
            ExceptionGroup("g", [KeyError(), ExceptionGroup("h", [ConnectionError()])]),
            {"expected_exceptions": OSError},
            "failures",
        ),
        (ExceptionGroup("g", [KeyError()]), {"ignored_exceptions": KeyError}, "ignored"),
        (ExceptionGroup("g", [NeutralError()]), {}, "ignored"),
        (BaseExceptionGroup("g", [Stop(), asyncio.CancelledError()]), {}, "cancelled"),
        (BaseExceptionGroup("g", [Stop(), ValueError()]), {}, "failures"),
        (ExceptionGroup("g", [KeyError()]), {"ignored_exceptions": ExceptionGroup}, "ignored"),
        (ExceptionGroup("g", [KeyError()]), {"expected_exceptions": ExceptionGroup}, "failures"),
        (Stop(), {}, "cancelled"),
        (Stop(), {"expected_exceptions": Stop}, "failures"),
        (Stop(), {"ignored_exceptions": Stop}, "ignored"),
    ],
    ids=range(13),
)
def test_groups_are_what_is_in_them_and_no_exception_is_no_answer(
    make: Make, error: BaseException, policy: dict[str, Any], counted: str
) -> None:
    breaker = make(**policy)
    with pytest.raises(type(error)), breaker:
        raise error
    counts = breaker.counts
    found = {
        name: getattr(counts, name) for name in ("successes", "failures", "ignored", "cancelled")
    }
    assert {name for name, number in found.items() if number} == {counted}


def test_an_errors_text_is_one_printable_line(make: Make) -> None:
    breaker = make()
    with pytest.raises(ValueError, match="bad"), breaker:
        raise ValueError("bad \ud800\n\x00\x1b[31m")
    assert breaker.get_state()["last_error"] == "ValueError: bad � ��[31m"


def test_a_permit_that_is_released_without_a_word_was_cancelled(make: Make) -> None:
    breaker = make()
    breaker.release(breaker.try_acquire() or 0)
    assert (breaker.counts.cancelled, breaker.counts.ignored) == (1, 0)
