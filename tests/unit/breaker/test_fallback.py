"""The fallback answers for what was rejected or failed, and for nothing else."""

from __future__ import annotations

import asyncio

import pytest

from cbmon import CircuitOpenError
from tests.unit.breaker.support import Make


def missing() -> None:
    raise KeyError


class TestFallback:
    def test_it_answers_for_a_rejection_and_for_a_failure(self, make: Make) -> None:
        seen: list[Exception] = []

        def fallback(error: Exception) -> str:
            seen.append(error)
            return "cached"

        breaker = make(failure_threshold=1, fallback=fallback)

        @breaker
        def fails() -> str:
            raise OSError("down")

        assert fails() == fails() == breaker.call(fails) == "cached"
        assert [type(error) for error in seen] == [OSError, CircuitOpenError, CircuitOpenError]

    async def test_it_answers_for_a_call_that_took_too_long(self, make: Make) -> None:
        seen: list[Exception] = []

        def fallback(error: Exception) -> str:
            seen.append(error)
            return "cached"

        @make(call_timeout=0.01, fallback=fallback)
        async def hangs() -> str:
            await asyncio.Event().wait()
            return "never"

        assert await hangs() == "cached"
        assert [isinstance(error, TimeoutError) for error in seen] == [True]

    async def test_it_is_awaited_for_async_functions_if_it_is_async(self, make: Make) -> None:
        async def fallback(error: Exception) -> str:
            await asyncio.sleep(0)
            return type(error).__name__

        breaker = make(failure_threshold=1, fallback=fallback)

        @breaker
        async def fails() -> str:
            raise OSError("down")

        assert [await fails(), await fails()] == ["OSError", "CircuitOpenError"]

    @pytest.mark.parametrize("state", ["closed", "half_open"])
    async def test_a_plain_fallback_serves_async_functions(self, make: Make, state: str) -> None:
        breaker = make(fallback=lambda error: "plain", initial_state=state)

        async def fails() -> str:
            raise OSError("down")

        assert await breaker.call(fails) == "plain"

    @pytest.mark.parametrize("state", ["closed", "half_open"])
    def test_ignored_exceptions_and_cancellations_pass_through(
        self, make: Make, state: str
    ) -> None:
        breaker = make(ignored_exceptions=(KeyError,), fallback=lambda error: None,
                       initial_state=state, half_open_max_calls=5)  # fmt: skip

        def raises(error: BaseException) -> None:
            raise error

        for error in (KeyError, KeyboardInterrupt):
            with pytest.raises(error):
                breaker.call(raises, error())
        assert breaker.call(raises, OSError()) is None

    def test_an_exception_that_counts_as_a_success_passes_through(self, make: Make) -> None:
        breaker = make(expected_exceptions=(OSError,), fallback=lambda error: None)
        with pytest.raises(KeyError):
            breaker.call(missing)

    @pytest.mark.parametrize("state", ["closed", "half_open", "open"])
    def test_a_fallback_that_raises_loses_no_permit(self, make: Make, state: str) -> None:
        def fallback(error: Exception) -> None:
            raise LookupError("no cache") from error

        breaker = make(fallback=fallback, initial_state=state)
        with pytest.raises(LookupError, match="no cache"):
            breaker.call(int, "x")
        assert breaker.counts.in_flight == 0
