"""Whichever call to the store fails, before or after it took effect: everybody is told once.

Each call of the lines fails in turn, in a story with a busy receiver, a refusal and a fallback.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cbmon.errors import StoreError
from cbmon.notify.dispatcher import Dispatcher
from tests.component.notify import conftest
from tests.component.notify.test_relief import DOWN, FINE, REFUSED, Relieved

MAIL, PAGER = "mail/email", "pager/pagerduty"
TOLD = ["opened api", "recovered api", "opened web", "recovered web"]


class Faulty:
    """A store of which the call with the number ``fails`` fails; 0 is none."""

    def __init__(self, store: Any, fails: int, *, after: bool) -> None:
        self._store = store
        self._after = after
        self._left = fails
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._store, name)

        async def call(*args: Any, **named: Any) -> Any:
            self.calls += 1
            fails = self.calls == self._left
            if fails and not self._after:
                raise StoreError("the disk is full")
            found = await real(*args, **named)
            if fails:
                raise StoreError("whether the call took effect is unknown")
            return found

        return call


@pytest.fixture
def with_fault(new_stage: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """``await with_fault(number, after=...)``: the story with that fault; calls, told, mailed."""

    async def tell(number: int, *, after: bool) -> tuple[int, list[str], list[str]]:
        stores: list[Faulty] = []

        def dispatcher(store: Any, **named: Any) -> Dispatcher:
            stores.append(Faulty(store, number, after=after))
            return Dispatcher(stores[-1], **named)

        monkeypatch.setattr(conftest, "Dispatcher", dispatcher)
        stage = new_stage(kind=Relieved)
        await stage.start(PAGER, MAIL)
        await story(stage)
        await stage.stop()
        told = [f"{one.kind} {one.body['component']}" for one in stage.pager.arrived]
        return stores[0].calls, told, stage.mailed()

    return tell


async def story(stage: Any) -> None:
    async def happen(component: str, state: str) -> None:
        before = "closed" if state == "open" else "open"
        await stage.happen(component, state, from_state=before)
        await stage.pass_time(3.0)

    await happen("api", "open")
    stage.pager.mood = DOWN
    await happen("api", "closed")
    stage.pager.mood = FINE
    await stage.pass_time(200.0)
    stage.pager.mood = REFUSED
    await happen("db", "open")
    stage.pager.mood = FINE
    await happen("db", "closed")
    await happen("web", "open")
    await happen("web", "closed")
    await stage.pass_time(200.0)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.long)])
async def test_a_call_that_fails_loses_nothing_and_doubles_nothing(
    after: bool, step: int, with_fault: Any
) -> None:
    calls, told, mailed = await with_fault(0, after=after)
    assert (told, mailed) == (TOLD, ["opened db", "recovered db"])

    for number in range(1, calls + 1, step):
        _, told, mailed = await with_fault(number, after=after)
        assert sorted(told) == sorted(TOLD), number
        assert told.index("opened api") < told.index("recovered api"), number
        assert told.index("opened web") < told.index("recovered web"), number
        assert mailed == ["opened db", "recovered db"], number
