"""A wrong argument is refused where it is given; what does nothing says so."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import pytest

from cbmon import BreakerPolicy, BreakerRegistry, CircuitBreaker, circuit_breaker
from cbmon.breaker import BreakerWarning
from tests.unit.breaker.support import Make

ODD_NAMES = ["", " ", "\t", "a\nb", "a\x00", "\ud800", "a\u2028b", "\x7f", "x" * 301]


async def later(_it: Any = None) -> str:
    return "later"


class Later:
    async def __call__(self, _it: Any) -> str:
        return "later"


MAKERS: list[Callable[..., Any]] = [
    partial(CircuitBreaker, "x"),
    BreakerRegistry,
    partial(circuit_breaker, "x"),
]


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_an_odd_name_is_refused_wherever_it_is_given(name: str) -> None:
    for make in (
        lambda: CircuitBreaker(name),
        lambda: BreakerRegistry().get(name),
        lambda: circuit_breaker(name),
    ):
        with pytest.raises(ValueError, match="is not allowed; expected 1 to 300 printable") as told:
            make()
        assert str(told.value).isprintable()


@pytest.mark.parametrize("name", ["a", "é ü", " a", "a/b:c@d", "日本", "x" * 300, "..", "🙂"])
def test_any_other_name_will_do(name: str) -> None:
    assert CircuitBreaker(name).name == name
    assert BreakerRegistry().get(name).name == name


@pytest.mark.parametrize("make", MAKERS, ids=["breaker", "registry", "decorator"])
@pytest.mark.parametrize(("fields", "message"), [
    ({"failure_treshold": 3},
     "'failure_treshold' is no field of BreakerPolicy; did you mean 'failure_threshold'?"),
    ({"xyzzy": 3}, "'xyzzy' is no field of BreakerPolicy"),
    ({"policy": "strict"},
     "policy: 'strict' is not allowed; expected a BreakerPolicy; give a single field by its name"),
    ({"policy": 3}, "policy: 3 is not allowed; expected a BreakerPolicy"),
])  # fmt: skip
def test_policies_and_their_fields(make: Any, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError) as told:
        make(**fields)
    assert str(told.value) == message


@pytest.mark.parametrize("make", MAKERS[:2], ids=["breaker", "registry"])
@pytest.mark.parametrize(("fields", "message"), [
    ({"clock": 3},
     "clock: 3 is not allowed; expected an object with monotonic() and time(), in seconds"),
    ({"seed": "x"}, "seed: 'x' is not allowed; expected an integer or None"),
    ({"category": None}, "category: None is not allowed; expected a string"),
    ({"listeners": "loud"},
     "listeners: 'loud' is not allowed; expected several functions; did you mean ['loud']?"),
    ({"listeners": [3]}, "3 is not callable; expected listener(event)"),
    ({"listeners": [later]}, "is a coroutine function, but nobody awaits it; expected "),
    ({"listeners": [partial(later)]}, "is a coroutine function, but nobody awaits it; expected "),
    ({"listeners": [Later()]}, "is a coroutine function, but nobody awaits it; expected "),
])  # fmt: skip
def test_the_rest_of_a_constructor(make: Any, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError) as told:
        make(**fields)
    assert message in str(told.value)


def test_a_state_by_a_wrong_name_is_told_the_right_ones() -> None:
    with pytest.raises(ValueError, match="initial_state: 'bogus' is not") as told:
        CircuitBreaker("x", initial_state="bogus")
    assert str(told.value).endswith(
        "expected one of closed, open, half_open, forced_open, forced_closed, observe, disabled"
    )


def test_a_policy_itself_says_which_field_was_meant() -> None:
    for make in (BreakerPolicy, BreakerPolicy().replace):
        fields: dict[str, Any] = {"recovery_timout": 3}
        with pytest.raises(TypeError, match="did you mean 'recovery_timeout'"):
            make(**fields)
    with pytest.raises(TypeError, match=r"policy: {} is not allowed; expected a BreakerPolicy"):
        CircuitBreaker("x").reconfigure({})  # type: ignore[arg-type]


def test_listeners_and_kinds_that_come_later_are_checked_too() -> None:
    breaker = CircuitBreaker("x")
    with pytest.raises(TypeError, match="coroutine function"):
        breaker.add_listener(later)
    with pytest.raises(TypeError, match=r"did you mean \['transition'\]"):
        breaker.add_listener(print, kinds="transition")
    with pytest.raises(TypeError, match="coroutine function"):
        BreakerRegistry().on_removal(later)


class TestPolicies:
    def test_a_breaker_for_which_nothing_fails_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"expected_exceptions: .* or nothing is ever a fail"):
            BreakerPolicy(expected_exceptions=())

    @pytest.mark.parametrize("fields", [
        {"is_failure": bool}, {"call_timeout": 1},
        {"kind": "time", "slow_call_seconds": 1},
    ])  # fmt: skip
    def test_without_exceptions_something_else_may_fail(self, fields: dict[str, Any]) -> None:
        assert BreakerPolicy(expected_exceptions=(), **fields).expected_exceptions == ()

    def test_a_predicate_that_is_never_awaited_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"is_failure: .* coroutine function gives is always"):
            BreakerPolicy(is_failure=later)

    def test_what_a_kind_has_no_use_for_is_told(self) -> None:
        policy = BreakerPolicy(failure_rate_threshold=0.3, window_size=20)
        assert len(policy.warnings) == 2
        assert policy.warnings[0] == (
            "failure_rate_threshold: 0.3 has no effect, because kind 'count' counts consecutive "
            "failures and has no rates and no window"
        )
        assert BreakerPolicy(kind="percentage", failure_rate_threshold=0.3).warnings == ()
        assert "failure_threshold: 3" in BreakerPolicy(kind="time", failure_threshold=3).warnings[0]
        assert "window_size" in BreakerPolicy(kind="adaptive", window_size=3).warnings[0]

    def test_the_defaults_of_every_kind_are_in_order(self) -> None:
        for kind in ("count", "time", "percentage", "adaptive"):
            assert BreakerPolicy(kind=kind).warnings == ()

    def test_a_default_that_is_written_out_is_not_given_in_vain(self) -> None:
        assert BreakerPolicy(kind="count", window_seconds=float("60")).warnings == ()

    @pytest.mark.parametrize("make", MAKERS, ids=["breaker", "registry", "decorator"])
    def test_a_field_given_in_vain_is_a_warning_that_points_to_the_line(self, make: Any) -> None:
        with pytest.warns(BreakerWarning, match="window_size=20 has no effect") as told:
            make(window_size=20)
        assert told[0].filename == __file__

    def test_a_field_of_a_shared_policy_is_no_warning(self) -> None:
        CircuitBreaker("x", BreakerPolicy(window_size=20), failure_threshold=3)


class TestCallTimeout:
    """It runs on the event loop's clock: where it cannot, it says so, and the call counts."""

    def test_a_plain_function(self, make: Make) -> None:
        breaker = make(call_timeout=2)
        with pytest.warns(BreakerWarning, match="call_timeout=2.0 of circuit breaker 'target'"):
            assert breaker.call(len, "abc") == 3
        with pytest.warns(BreakerWarning, match="does nothing for len, which is a plain function"):
            assert breaker(len)("abc") == 3
        assert breaker.counts.successes == 2

    def test_a_block(self, make: Make) -> None:
        breaker = make(call_timeout=2)
        with pytest.warns(BreakerWarning, match="which is a plain `with`") as told, breaker:
            pass
        assert told[0].filename == __file__
        assert (breaker.counts.successes, breaker.counts.in_flight) == (1, 0)

    async def test_generators(self, make: Make) -> None:
        breaker = make(call_timeout=2)

        @breaker
        def items() -> Iterator[int]:
            yield 1

        @breaker
        async def stream() -> AsyncIterator[int]:
            yield 1

        with pytest.warns(BreakerWarning, match="which is a generator"):
            assert list(items()) == [1]
        with pytest.warns(BreakerWarning, match="which is a generator"):
            assert [item async for item in stream()] == [1]
        assert breaker.counts.successes == 2

    async def test_what_can_be_cut_off_is_no_warning(self, make: Make) -> None:
        breaker = make(call_timeout=2)
        with warnings.catch_warnings(action="error"):
            assert await breaker(later)() == "later"
            assert await breaker.call(lambda _it: later(), 1) == "later"
            async with breaker:
                await asyncio.sleep(0)
        assert breaker.counts.successes == 3


class TestFallback:
    def test_a_generator_has_no_value_to_stand_in_for(self, make: Make) -> None:
        breaker = make(fallback=str)

        def items() -> Iterator[int]:
            yield 1

        async def stream() -> AsyncIterator[int]:
            yield 1

        for func in (items, stream):
            with pytest.raises(TypeError, match="is a generator and has no value"):
                breaker(func)
            with pytest.raises(TypeError, match="is a generator and has no value"):
                breaker.call(func)

    @pytest.mark.parametrize("fallback", [later, partial(later), Later()])
    def test_a_coroutine_function_cannot_stand_in_for_a_plain_one(
        self, make: Make, fallback: Any
    ) -> None:
        breaker = make(fallback=fallback, initial_state="open")
        with pytest.raises(TypeError, match="len is a plain function and nobody would await"):
            breaker(len)
        with pytest.raises(TypeError, match="give a plain fallback"):
            breaker.call(len, "abc")
        assert breaker.counts.rejections == 0

    def test_a_fallback_that_cannot_be_called_is_refused(self) -> None:
        with pytest.raises(TypeError, match=r"fallback: 3 is not callable; expected fallback\(err"):
            CircuitBreaker("x", fallback=3)  # type: ignore[arg-type]


class TestPermits:
    @pytest.mark.parametrize("end", ["record", "release"])
    def test_a_permit_goes_back_once_and_to_its_own_breaker(self, make: Make, end: str) -> None:
        mine, other = make(), make()
        permit, others = mine.try_acquire(), other.try_acquire()
        assert permit is not None
        options = {"failed": True} if end == "record" else {}
        for wrong in (others, 1, None, "x"):
            with pytest.raises(
                ValueError, match=r"permit: .* is none that circuit breaker 'target'"
            ):
                getattr(mine, end)(wrong, **options)
        assert (mine.counts.failures, mine.counts.in_flight) == (0, 1)
        getattr(mine, end)(permit, **options)
        with pytest.raises(ValueError, match=r"expected what its try_acquire\(\) gave, once"):
            mine.release(permit)
        assert (mine.counts.calls, mine.counts.in_flight) == (1, 0)
        assert other.counts.in_flight == 1
