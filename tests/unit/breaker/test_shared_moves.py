"""What one breaker is told of another instance of itself, and ways in that nobody takes by hand."""

from __future__ import annotations

from typing import Any, Self

import pytest

import cbmon.breaker
from cbmon import State
from cbmon.breaker import permits
from cbmon.testing import ManualClock
from tests.unit.breaker.support import Make


def test_a_breaker_that_is_held_tells_the_wait_without_the_margin(
    make: Make, clock: ManualClock
) -> None:
    breaker = make(initial_state="open", recovery_timeout=5.0)
    breaker.hold(30.0, margin=10.0, soonest=1.0)
    assert breaker.retry_after == pytest.approx(20.0)
    clock.advance(25.0)
    assert breaker.retry_after == pytest.approx(1.0)
    assert breaker.state.value == "open"
    clock.advance(5.0)
    assert breaker.state.value == "half_open"


def test_a_call_is_told_the_wait_of_a_held_breaker_too(make: Make) -> None:
    breaker = make(initial_state="open", recovery_timeout=5.0)
    breaker.hold(30.0, margin=10.0, soonest=1.0)
    with pytest.raises(cbmon.CircuitOpenError) as caught:
        breaker.call(int)
    assert caught.value.retry_after == pytest.approx(20.0)


def test_only_an_open_breaker_is_held(make: Make) -> None:
    breaker = make()
    breaker.hold(30.0, margin=10.0, soonest=1.0)
    assert breaker.state is State.CLOSED
    assert breaker.retry_after == 0.0


@pytest.mark.parametrize("field", ["seconds", "margin", "soonest"])
@pytest.mark.parametrize("value", [-1.0, float("nan")])
def test_no_hold_is_shorter_than_nothing(make: Make, field: str, value: float) -> None:
    numbers = {"seconds": 1.0, "margin": 0.0, "soonest": 0.0, field: value}
    with pytest.raises(ValueError, match=f"^{field}: "):
        make(initial_state="open").hold(numbers.pop("seconds"), **numbers)


def test_a_series_of_openings_is_gone_on_with(make: Make, clock: ManualClock) -> None:
    breaker = make(failure_threshold=1, recovery_timeout=10.0, recovery_backoff=2.0)
    breaker.follow(openings=2, cycles=1)
    with pytest.raises(ZeroDivisionError):
        breaker.call(lambda: 1 // 0)
    assert breaker.retry_after == pytest.approx(40.0)  # the third opening of the series
    assert breaker.counts.cycles == 1


@pytest.mark.parametrize("field", ["openings", "cycles"])
@pytest.mark.parametrize("value", [-1, 0.5, "2", None])
def test_a_series_has_whole_numbers(make: Make, field: str, value: Any) -> None:
    breaker = make()
    with pytest.raises(ValueError, match=f"^{field}: "):
        breaker.follow(**{"openings": 3, "cycles": 3, field: value})
    assert (breaker.counts.openings, breaker.counts.cycles) == (0, 0)


def test_a_name_that_the_package_does_not_have_is_said() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Breaker'"):
        _ = cbmon.breaker.Breaker


async def test_the_short_way_into_a_block_is_driven_by_hand_like_a_coroutine(make: Make) -> None:
    breaker = make()
    async with breaker:  # the first one makes what the short way gives
        pass
    way: Any = breaker.__aenter__()
    with pytest.raises(KeyError):
        way.throw(KeyError("who drives it"))
    way.close()
    await breaker.__aexit__(None, None, None)
    assert breaker.counts.in_flight == 0


def test_a_permit_is_not_handed_out_without_the_lock_when_the_lanes_close_meanwhile(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaker = make()

    class Closing(permits.Permit):
        def __new__(cls, generation: int) -> Self:
            breaker._core.machine.free = 0  # as another thread may
            return super().__new__(cls, generation)

    monkeypatch.setattr(permits, "Permit", Closing)
    assert permits.hand_out(breaker._core) is None
    assert breaker.counts.in_flight == 0
