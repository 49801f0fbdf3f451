"""Whatever happens in whatever order, the outbox keeps its promises.

Transitions, silences, failing and hanging receivers, crashes, reloads and time come in any order.
In the end, with healthy receivers: nothing is lost, no end without or before its outage, nothing
twice but what was in flight at a crash, and every receiver knows how everything is.
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

from cbmon.config.routes import Matcher
from cbmon.model import (
    BreakerInfo,
    Category,
    Delivery,
    Message,
    MessageState,
    Reason,
    Verdict,
)
from cbmon.notify.damping import Flapping
from cbmon.notify.messages import entries_of
from cbmon.notify.notifier import Rules
from cbmon.notify.silences import Silence
from cbmon.notify.storms import Storm

LINES = ("a/webhook", "b/webhook", "b/slack")
COMPONENTS = ("api", "db", "web", "mail")
INFOS = {
    "api": BreakerInfo(name="api", category=Category.CHECK, group="shop"),
    "db": BreakerInfo(name="db", category=Category.CHECK, group="shop"),
    "web": BreakerInfo(name="web", category=Category.CHECK, depends_on=("api",)),
    "mail": BreakerInfo(name="mail", category=Category.CHECK),
}
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
            self.states: dict[str, str] = {}
            self.stage.route = {"group_wait": 10.0, "group_interval": 60.0}
            self.stage.rules = Rules(
                storm=Storm(messages=4, within=60.0),
                flapping=Flapping(changes=4, within=100.0, settle=50.0),
            )
            self.do(self.stage.start(*LINES))
            self.do(self.stage.settle())

        def do(self, what: Coroutine[Any, Any, Any]) -> Any:
            return self.loop.run_until_complete(what)

        def happen(self, component: str, state: str) -> None:
            before = self.states.get(component, "closed")
            self.states[component] = state
            fields = {"incident": self.running[component], "info": INFOS[component]}
            self.do(self.stage.happen(component, state, from_state=before, **fields))
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

        @rule(component=st.sampled_from(COMPONENTS), seconds=st.sampled_from([5.0, 100.0, 1000.0]))
        def silence(self, component: str, seconds: float) -> None:
            now = self.stage.clock.time()
            made = Silence(
                id=f"s{now}",
                matchers=(Matcher.parse(f"component={component}"),),
                starts_at=now,
                ends_at=now + seconds,
                author="ada",
                reason="test",
                created_at=now,
            )
            self.do(self.stage.silence(*self.stage.silences, made))
            self.do(self.stage.settle())

        @rule()
        def end_silences(self) -> None:
            self.do(self.stage.silence())
            self.do(self.stage.settle())

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
            self.running[component] = f"{next(self.incidents):04d}"
            self.happen(component, "open")
            self.stage.clock.advance(10.0)
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
            self.do(self.stage.silence())
            self.do(self.stage.pass_time(3000.0))
            self.do(self.check())
            self.do(self.stage.stop())
            self.loop.close()

        async def check(self) -> None:
            stored = {m.id: m for m in await self.stage.store.messages(limit=100_000)}
            made = {message.id for message in self.stage.made}
            assert stored.keys() == made, "nothing is lost, nothing is invented"
            assert all(m.state is not MessageState.PENDING for m in stored.values())
            for line in LINES:
                self.check_line(line, [m for m in stored.values() if m.receiver == line])

        def check_line(self, line: str, stored: list[Message]) -> None:
            arrived: list[Message] = self.stage.receiver(line).arrived
            counts = Counter(message.id for message in arrived)
            delivered = {m.id for m in stored if m.state is MessageState.DELIVERED}
            assert delivered <= counts.keys(), "delivered is what arrived"
            assert len(arrived) - len(counts) <= self.crashes, "only what was in flight is doubled"
            first = list({message.id: message for message in reversed(arrived)}.values())[::-1]
            by_thread = defaultdict(list)
            for message in first:
                by_thread[message.incident].append(message.sequence)
            for sequences in by_thread.values():
                assert sequences == sorted(sequences), "in order within a line"
            known = self.known_by(first)
            if all(m.state is not MessageState.DEAD for m in stored):
                said = {entry["episode"] for m in stored for entry in entries_of(m.body)}
                assert said == known.keys(), "every outage is told, late or not"
                self.check_knowledge(known)

        def known_by(self, arrived: list[Message]) -> dict[str, dict[str, Any]]:
            """By episode: what a reader of these messages knows last."""
            known: dict[str, dict[str, Any]] = {}
            for message in arrived:
                for entry in entries_of(message.body):
                    episode = entry["episode"]
                    if entry["over"]:
                        assert episode in known or entry.get("folded"), "no end without its outage"
                    if episode in known and known[episode]["over"]:
                        assert entry["over"], "nothing after the end"
                    known[episode] = entry
            return known

        def check_knowledge(self, known: dict[str, dict[str, Any]]) -> None:
            down = {entry["component"] for entry in known.values() if not entry["over"]}
            truth = {name for name in self.running if self.states[name] != "half_open"}
            held = {"web"} if "api" in self.running else set()
            opened = {n for n in self.running if n in down or self.states[n] != "half_open"}
            assert down - held == opened - held, "everyone knows how everything is"
            assert truth - held <= down

    return Outbox


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_outbox_keeps_its_promises_in_any_order(new_stage: Callable[..., Any]) -> None:
    with warnings.catch_warnings():
        run_state_machine_as_test(
            machine_on(new_stage),
            settings=settings(
                max_examples=20,
                stateful_step_count=25,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
