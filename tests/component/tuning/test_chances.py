"""What gave up gets one more trial after a while, if that is wanted."""

from __future__ import annotations

from typing import Any

import pytest

from cbmon.breaker import State
from cbmon.housekeeping import give_chances


@pytest.fixture
async def gave_up(house: Any) -> Any:
    await house.tuning.put(
        "api",
        {"auto_disable_enabled": True, "max_failure_cycles": 1, "failure_threshold": 1},
        house.ada,
        tag=None,
    )
    await house.fail(times=1)
    house.clock.advance(61)
    await house.fail(times=1)
    assert house.breaker().state is State.DISABLED
    return house


async def test_after_a_while_it_gets_one_more_trial(gave_up: Any) -> None:
    house = gave_up
    house.clock.advance(99)
    assert give_chances(house.monitor, 100.0, house.clock.time()) == []
    house.clock.advance(1)
    assert give_chances(house.monitor, 100.0, house.clock.time()) == ["api"]
    assert house.breaker().state is State.HALF_OPEN
    assert house.timetable.due["api"] == 0.0, "it is to be tried at once"
    await house.fail(times=1)
    assert house.breaker().state is State.DISABLED
    assert house.breaker().counts.cycles == 2
    assert give_chances(house.monitor, 100.0, house.clock.time()) == []


async def test_nobody_gets_one_unless_it_is_wanted(gave_up: Any) -> None:
    gave_up.clock.advance(1e6)
    assert give_chances(gave_up.monitor, None, gave_up.clock.time()) == []


async def test_what_a_person_took_out_of_service_stays_out(house: Any) -> None:
    house.breaker().disable(actor="ada", reason="retired")
    house.clock.advance(1e6)
    assert give_chances(house.monitor, 1.0, house.clock.time()) == []
    assert house.breaker().state is State.DISABLED
