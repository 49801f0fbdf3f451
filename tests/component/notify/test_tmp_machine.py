"""Whatever happens in whatever order, the outbox keeps its promises.

Transitions, failing and hanging receivers, crashes, reloads and time come in any order. In the end,
with healthy receivers: nothing is lost, no end without or before its outage, nothing twice but
what was in flight at a crash.
"""

from __future__ import annotations

import asyncio
import itertools
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from cbmon.model import Delivery, Message, MessageState, Reason, Verdict

LINES = ("a/webhook", "b/webhook", "b/slack")
COMPONENTS = ("api", "db", "web")
MOODS: dict[str, Delivery | Exception | str] = {
    "well": Delivery(verdict=Verdict.DELIVERED),
    "busy": Delivery(verdict=Verdict.TEMPORARY, reason=Reason.STATUS, error="503"),
    "asks": Delivery(
        verdict=Verdict.TEMPORARY, reason=Reason.STATUS, error="429", retry_after=20.0
    ),
    "refuses": Delivery(verdict=Verdict.PERMANENT, reason=Reason.STATUS, error="400"),
    "raises": RuntimeError("a bug"),
}


def machine_on(new_stage: Callable[..., Any]) -> type[RuleBasedStateMachine]:
    class Outbox(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.loop = asyncio.new_event_loop()
            self.stage = new_stage()
            self.crashes = 0
            self.incidents = itertools.count(1)
            self.running: dict[str, str] = {}
            self.made: dict[str, Message] = {}
            self.do(self.stage.start(*LINES))
            self.do(self.stage.settle())

        def do(self, what: Coroutine[Any, Any, Any]) -> Any:
            return self.loop.run_until_complete(what)

        def happen(self, component: str, state: str) -> None:
            incident = self.running[component]
            for message in self.do(self.stage.happen(component, state, incident=incident)):
                self.made[message.id] = message
            self.do(self.stage.settle())

        @rule(component=st.sampled_from(COMPONENTS))
        def open(self, component: str) -> None:
            if component not in self.running:
                self.running[component] = f"{next(self.incidents):04d}"
            self.happen(component, "open")

        @rule(component=st.sampled_from(COMPONENTS))
        def half_open(self, component: str) -> None:
            if component in self.running:
                self.happen(component, "half_open")

        @rule(component=st.sampled_from(COMPONENTS))
        def disable(self, component: str) -> None:
            if component in self.running:
                self.happen(component, "disabled")

        @rule(component=st.sampled_from(COMPONENTS))
        def recover(self, component: str) -> None:
            if component in self.running:
                self.happen(component, "closed")
                del self.running[component]

        @rule(line=st.sampled_from(LINES), mood=st.sampled_from(sorted(MOODS)))
        def change_mood(self, line: str, mood: str) -> None:
            self.stage.receiver(line).mood = MOODS[mood]

        @rule(line=st.sampled_from(LINES), mood=st.sampled_from(sorted(MOODS)))
        def one_answer(self, line: str, mood: str) -> None:
            self.stage.receiver(line).script.append(MOODS[mood])

        @rule(seconds=st.sampled_from([0.5, 5.0, 40.0, 120.0, 900.0]))
        def pass_time(self, seconds: float) -> None:
            self.do(self.stage.pass_time(seconds))

        @rule()
        def crash(self) -> None:
            self.crashes += 1
            self.do(self.stage.crash())
            self.do(self.stage.start())
            self.do(self.stage.settle())

        @rule(component=st.sampled_from(COMPONENTS), line=st.sampled_from(LINES))
        def crash_in_the_middle_of_a_delivery(self, component: str, line: str) -> None:
            if component in self.running:
                return
            receiver = self.stage.receiver(line)
            receiver.script.insert(0, "arrives, then hangs")
            self.running[component] = incident = f"{next(self.incidents):04d}"
            for message in self.do(self.stage.happen(component, "open", incident=incident)):
                self.made[message.id] = message
            for _ in range(20):
                self.do(asyncio.sleep(0))
            receiver.script = [answer for answer in receiver.script if not isinstance(answer, str)]
            self.crash()

        @rule(gone=st.sampled_from(LINES), identity=st.sampled_from(["v1", "v2"]))
        def reload(self, gone: str, identity: str) -> None:
            def named(*lines: str) -> dict[str, str]:
                return {line.replace("/", "_"): identity for line in lines}

            self.do(self.stage.reload(**named(*(line for line in LINES if line != gone))))
            self.do(self.stage.settle())
            self.do(self.stage.reload(**named(*LINES)))
            self.do(self.stage.settle())

        def teardown(self) -> None:
            for line in LINES:
                receiver = self.stage.receiver(line)
                receiver.mood, receiver.script = MOODS["well"], []
            self.do(self.stage.pass_time(1000.0))
            self.do(self.check())
            self.do(self.stage.stop())
            self.loop.close()

        async def check(self) -> None:
            stored = {m.id: m for m in await self.stage.store.messages(limit=100_000)}
            assert stored.keys() == self.made.keys(), "nothing is lost, nothing is invented"
            assert all(m.state is not MessageState.PENDING for m in stored.values())
            for line in LINES:
                self.check_line(line, [m for m in stored.values() if m.receiver == line])

        def check_line(self, line: str, stored: list[Message]) -> None:
            arrived: list[Message] = self.stage.receiver(line).arrived
            counts = Counter(message.id for message in arrived)
            delivered = {m.id for m in stored if m.state is MessageState.DELIVERED}
            assert delivered <= counts.keys(), "delivered is what arrived"
            assert len(arrived) - len(counts) <= self.crashes, "only what was in flight is doubled"
            by_incident = defaultdict(list)
            for message in {message.id: message for message in arrived}.values():
                by_incident[message.incident].append(message)
            for messages in by_incident.values():
                self.check_incident(messages)

        def check_incident(self, messages: list[Message]) -> None:
            sequences = [message.sequence for message in messages]
            assert sequences == sorted(sequences), "in order within an incident"
            for number, message in enumerate(messages):
                if message.kind == "recovered":
                    folded = message.body.get("folded", False)
                    assert number > 0 or folded, "no end without its outage"

    return Outbox


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_outbox_keeps_its_promises_in_any_order(new_stage: Callable[..., Any]) -> None:
    with warnings.catch_warnings():
        run_state_machine_as_test(
            machine_on(new_stage),
            settings=settings(
                max_examples=400,
                stateful_step_count=25,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
