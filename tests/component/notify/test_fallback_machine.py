"""The same promises with everything that a person or a provider can do besides.

Receivers say that they are gone (410), refuse for good or give up early; fallbacks are told instead
and dead letters sent again; receivers leave the configuration and come back. In the end: each
message arrived, became part of another, or is a dead letter of which the fallback was told; nobody
was told of an end alone, nor of anything after its end, nor twice but for a crash; and who was told
in place of another was told of the end too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from cbmon.model import Delivery, Message, MessageState, Reason, Verdict
from cbmon.notify.endpoint import Endpoint
from cbmon.notify.messages import entries_of
from cbmon.notify.relief import copy_for
from tests.component.notify.conftest import Stage
from tests.component.notify.test_outbox_machine import LINES, MOODS, machine_on

FALLBACK = "f/email"
LONG = 400
"""Examples of the long tier: three minutes on a quiet machine, ten on one that is busy."""
PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
"""Without the one that explains: it traces every line of every example that fails."""
GONE = Delivery(verdict=Verdict.GONE, reason=Reason.STATUS, error="answered 410 Gone")


class Relieved(Stage):
    """Every line has the same fallback, which has no route; one gives up early."""

    async def start(self, *lines: str) -> None:
        await super().start(*(*lines, FALLBACK) if lines else ())

    async def reload(self, **lines: str) -> None:
        await super().reload(**lines, f_email="v1")

    def endpoints(self) -> list[Endpoint]:
        return [
            endpoint
            if endpoint.name == FALLBACK
            else replace(
                endpoint,
                fallback=(FALLBACK,),
                fallback_after=300.0,
                time_to_live=1500.0 if endpoint.name == LINES[2] else None,
            )
            for endpoint in super().endpoints()
        ]

    def routing(self) -> Any:
        made = super().routing()
        return replace(made, lines={**made.lines, "f": ()})


def faults_on(new_stage: Callable[..., Any]) -> type[Any]:
    class Faults(machine_on(partial(new_stage, kind=Relieved))):  # type: ignore[misc]
        @rule(line=st.sampled_from(LINES))
        def say_gone(self, line: str) -> None:
            self.stage.receiver(line).script.append(GONE)

        @rule(line=st.sampled_from(LINES))
        def take_a_test_message(self, line: str) -> None:
            self.stage.dispatcher.revive(line)
            self.do(self.stage.settle())

        @rule(which=st.integers(0, 5))
        def send_again(self, which: int) -> None:
            self.do(self.resend(which))
            self.do(self.stage.settle())

        async def resend(self, which: int) -> None:
            store = self.stage.store
            dead = await store.messages(state=MessageState.DEAD, limit=100)
            if which < len(dead):
                assert await store.resend(dead[which].id, now=self.stage.clock.time())
                self.stage.dispatcher.wake()

        @rule(line=st.sampled_from(LINES))
        def remove(self, line: str) -> None:
            self.be_there(*(one for one in LINES if one != line))

        @rule()
        def restore(self) -> None:
            self.be_there(*LINES)

        def be_there(self, *lines: str, identity: str = "v1") -> None:
            named = {line.replace("/", "_"): identity for line in lines}
            self.do(self.stage.reload(**named))
            self.do(self.stage.settle())

        def teardown(self) -> None:
            for line in (*LINES, FALLBACK):
                receiver = self.stage.receiver(line)
                receiver.mood, receiver.script = MOODS["well"], []
            self.be_there(*LINES, identity="v9")
            super().teardown()

        async def check(self) -> None:
            stored = {m.id: m for m in await self.stage.store.messages(limit=100_000)}
            made = {message.id for message in self.stage.made}
            own = [m for m in stored.values() if "instead_of" not in m.body]
            assert {m.id for m in own} == made, "nothing is lost, nothing is invented"
            assert all(m.state is not MessageState.PENDING for m in stored.values())
            for message in own:
                if message.state is MessageState.DEAD:
                    copy = copy_for(message, FALLBACK)
                    assert copy.id in stored, "what one does not take another is told"
                    assert stored[copy.id].state is not MessageState.DEAD
            for line in LINES:
                self.check_faulty(line, [m for m in own if m.receiver == line])
            self.check_fallback(list(stored.values()))

        def once(self, line: str) -> list[Message]:
            """What arrived, each once, in the order of its first arrival."""
            arrived = self.stage.receiver(line).arrived
            counts = Counter(message.id for message in arrived)
            assert len(arrived) - len(counts) <= self.crashes, "only what was in flight is doubled"
            return list({message.id: message for message in reversed(arrived)}.values())[::-1]

        def check_faulty(self, line: str, stored: Sequence[Message]) -> None:
            delivered = {m.id for m in stored if m.state is MessageState.DELIVERED}
            first = self.once(line)
            assert delivered <= {message.id for message in first}
            known = self.known_by(first)
            if all(m.state is not MessageState.DEAD for m in stored):
                said = {entry["episode"] for m in stored for entry in entries_of(m.body)}
                assert said == known.keys(), "every outage is told, late or not"

        def check_fallback(self, stored: Sequence[Message]) -> None:
            over = {
                (m.receiver, entry["episode"])
                for m in stored
                for entry in entries_of(m.body)
                if entry["over"]
            }
            for line in LINES:
                told = [m for m in self.once(FALLBACK) if m.body["instead_of"] == line]
                for episode, entry in self.known_by(told).items():
                    assert entry["over"] == ((line, episode) in over), "it hears of the end"

    return Faults


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "examples", [15, pytest.param(LONG, marks=[pytest.mark.long, pytest.mark.timeout(1200)])]
)
def test_the_outbox_keeps_its_promises_with_fallbacks(
    new_stage: Callable[..., Any], examples: int
) -> None:
    run_state_machine_as_test(
        faults_on(new_stage),
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            phases=PHASES,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
