"""Receivers that forget: what goes on is repeated to them, also after a restart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cbmon.model import Message
from cbmon.notify.endpoint import Standing
from tests.component.notify.conftest import FakeReceiver, Stage

LINE = "am/alertmanager"
EVERY = 30.0


class Forgetful(FakeReceiver):
    """Remembers what it was told at each repetition."""

    every = EVERY
    remembers = 900.0

    def __init__(self, clock: Any) -> None:
        super().__init__(clock)
        self.repeated: list[list[str]] = []
        self.recalled: list[str] = []
        self.fails = False

    def recall(self, message: Message) -> None:
        self.recalled.append(str(message.body["component"]))

    async def repeat(self, standing: Standing) -> None:
        if self.fails:
            raise RuntimeError
        told: Sequence[Message] = standing()
        self.repeated.append([str(one.body["component"]) for one in told])


class Repeated(Stage):
    """A stage whose one line is forgetful."""

    sleepers = 3

    def receiver(self, name: str) -> FakeReceiver:
        return self.receivers.setdefault(name, Forgetful(self.clock))

    @property
    def forgetful(self) -> Forgetful:
        made = self.receiver(LINE)
        assert isinstance(made, Forgetful)
        return made


async def test_what_goes_on_is_repeated_and_nothing_is_written(
    new_stage: Callable[..., Any],
) -> None:
    stage = new_stage(kind=Repeated)
    await stage.start(LINE)
    await stage.settle()
    await stage.happen("api", "open")
    await stage.settle()
    await stage.pass_time(2 * EVERY)
    assert stage.forgetful.repeated == [[], ["api"], ["api"]]
    assert len(await stage.store.messages(receiver=LINE)) == 1
    await stage.happen("api", "closed", from_state="open")
    await stage.pass_time(EVERY)
    assert stage.forgetful.repeated[-1] == []
    await stage.stop()


async def test_a_restart_repeats_at_once_and_recalls_what_has_just_ended(
    new_stage: Callable[..., Any],
) -> None:
    stage = new_stage(kind=Repeated)
    await stage.start(LINE)
    await stage.happen("api", "open")
    await stage.happen("db", "open")
    await stage.settle()
    await stage.pass_time(1.0)
    await stage.happen("db", "closed", from_state="open")
    await stage.settle()
    await stage.crash()
    del stage.receivers[LINE]
    await stage.start()
    await stage.settle()
    assert stage.forgetful.repeated == [["api"]]
    assert stage.forgetful.recalled == ["db"]
    await stage.stop()


async def test_an_end_of_long_ago_is_not_recalled(new_stage: Callable[..., Any]) -> None:
    stage = new_stage(kind=Repeated)
    await stage.start(LINE)
    await stage.happen("db", "open")
    await stage.settle()
    await stage.happen("db", "closed", from_state="open")
    await stage.settle()
    await stage.crash()
    stage.clock.advance(1000.0)
    del stage.receivers[LINE]
    await stage.start()
    await stage.settle()
    assert stage.forgetful.recalled == []
    await stage.stop()


async def test_a_fault_does_not_end_the_repetitions(new_stage: Callable[..., Any]) -> None:
    stage = new_stage(kind=Repeated)
    await stage.start(LINE)
    stage.forgetful.fails = True
    await stage.pass_time(EVERY)
    stage.forgetful.fails = False
    await stage.pass_time(EVERY)
    assert stage.forgetful.repeated[-1:] == [[]]
    await stage.stop()


async def test_a_reload_repeats_to_the_new_receiver(new_stage: Callable[..., Any]) -> None:
    stage = new_stage(kind=Repeated)
    await stage.start(LINE)
    await stage.happen("api", "open")
    await stage.settle()
    await stage.reload(am_alertmanager="v2")
    await stage.settle()
    assert stage.forgetful.repeated[-1] == ["api"]
    await stage.stop()
