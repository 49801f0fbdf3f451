"""A clock that only moves when told to, and breakers that live by it."""

from __future__ import annotations

from typing import Any

import pytest

from cbmon import CircuitBreaker
from cbmon.testing import ManualClock
from tests.unit.breaker.support import Driver, Make


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(start=100.0, wall=1_000_000.0)


@pytest.fixture
def make(clock: ManualClock) -> Make:
    def make_one(**fields: Any) -> CircuitBreaker:
        fields.setdefault("clock", clock)
        return CircuitBreaker("target", **fields)

    return make_one


@pytest.fixture
def drive(clock: ManualClock) -> Driver:
    return Driver(clock)
