"""The journal: moves reach the store in order, or are kept; writing to it never waits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbmon.errors import StoreError, UnstorableError
from cbmon.events import Action, Transition
from cbmon.interfaces import Commit
from cbmon.model import BreakerInfo, Category, Message
from cbmon.store import Journal
from cbmon.store.journal import BATCH, Entry


class FakeStore:
    """Remembers commits in order; ``script`` says how the next calls end."""

    def __init__(self, *script: Exception | None) -> None:
        self.script = list(script)
        self.down: StoreError | None = None
        self.poison: set[str] = set()
        self.events: list[str] = []
        self.messages: list[str] = []
        self.batches: list[int] = []
        self.snapshots: dict[str, Any] = {}
        self.log: list[str] = []

    async def commit(self, commit: Commit) -> None:
        await asyncio.sleep(0)
        self._answer()
        ids = [event.id for event in (*commit.transitions, *commit.actions)]
        if self.poison & set(ids):
            raise UnstorableError("refused")
        self.batches.append(len(ids))
        self.events += [name for name in ids if name not in self.events]
        self.messages += [message.id for message in commit.messages]
        self.log.append("commit")

    async def save_snapshots(self, snapshots: Mapping[str, Any]) -> None:
        await asyncio.sleep(0)
        self._answer()
        self.snapshots |= snapshots
        self.log.append("snapshots")

    def _answer(self) -> None:
        if self.down is not None:
            raise self.down
        if self.script and (error := self.script.pop(0)) is not None:
            raise error


class Hooks:
    def __init__(self) -> None:
        self.failures = 0
        self.committed_ids: list[str] = []

    def store_failed(self) -> None:
        self.failures += 1

    def committed(self, batch: Sequence[Entry]) -> None:
        self.committed_ids += [entry.event.id for entry in batch if entry.event]


def move(number: int, component: str = "api") -> Transition:
    return Transition(
        id=f"e{number:06d}",
        at=float(number),
        component=component,
        category=Category.CHECK,
        from_state="closed",
        to_state="open",
        cause="threshold_reached",
        info=BreakerInfo(name=component, category=Category.CHECK),
    )


def message(number: int) -> Message:
    return Message(
        id=f"m{number}",
        receiver="hook",
        incident="i",
        sequence=1,
        kind="opened",
        created_at=0.0,
        body={},
    )


class Sleeps:
    """Stands in for asyncio.sleep: notes the wait and gives others a turn."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0)


def journal_on(store: FakeStore, **options: Any) -> tuple[Journal, Hooks, Sleeps]:
    hooks, sleeps = Hooks(), Sleeps()
    journal = Journal(store, hooks=hooks, sleep=sleeps, seed=1, **options)  # type: ignore[arg-type]
    return journal, hooks, sleeps


async def test_moves_are_committed_in_order_with_their_messages() -> None:
    store = FakeStore()
    journal, hooks, _ = journal_on(store)
    journal.start()
    for number in range(3):
        journal.write(move(number), [message(number)])
    assert await journal.flush(5.0)
    assert store.events == hooks.committed_ids == ["e000000", "e000001", "e000002"]
    assert store.messages == ["m0", "m1", "m2"]
    assert await journal.stop(5.0)


async def test_moves_that_arrive_together_are_one_commit_of_bounded_size() -> None:
    store = FakeStore()
    journal, _, _ = journal_on(store)
    for number in range(BATCH + 10):
        journal.write(move(number))
    journal.start()
    await journal.flush(5.0)
    assert store.batches == [BATCH, 10]
    await journal.stop(5.0)


async def test_what_comes_alone_is_committed_at_once_and_the_next_ones_together() -> None:
    store = FakeStore()
    journal = Journal(store)  # type: ignore[arg-type]
    journal.start()
    journal.write(move(1))
    for _ in range(5):
        await asyncio.sleep(0)
    assert store.batches == [1]
    for number in (2, 3, 4):
        journal.write(move(number))
        await asyncio.sleep(0.001)
    assert await journal.flush(5.0)
    assert store.batches == [1, 3]
    await journal.stop(5.0)


async def test_hooks_hear_of_a_move_only_when_it_is_durable() -> None:
    store = FakeStore()
    store.down = StoreError("full")
    journal, hooks, sleeps = journal_on(store)
    journal.start()
    journal.write(move(1))
    assert not await journal.flush(0.01)
    assert len(sleeps.waits) > 3
    assert (hooks.committed_ids, journal.healthy) == ([], False)
    store.down = None
    await journal.flush(5.0)
    assert (hooks.committed_ids, journal.healthy) == (["e000001"], True)
    await journal.stop(5.0)


async def test_a_failing_store_is_tried_again_ever_more_slowly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "cbmon")
    store = FakeStore(*[StoreError("full")] * 40)
    journal, hooks, sleeps = journal_on(store)
    journal.start()
    journal.write(move(1))
    assert await journal.flush(5.0)
    assert hooks.failures == len(sleeps.waits) == 40
    for failure, wait in enumerate(sleeps.waits):
        assert 0.0 <= wait <= min(5.0, 0.1 * 2**failure)
    assert max(sleeps.waits) > 4.0
    assert [record.message for record in caplog.records] == [
        "store failed, moves are kept in memory",
        "store works again",
    ]
    await journal.stop(5.0)


async def test_an_unknown_outcome_is_repeated_and_doubles_nothing() -> None:
    class Forgetful(FakeStore):
        async def commit(self, commit: Commit) -> None:
            await super().commit(commit)
            if len(self.batches) == 1:
                raise StoreError("no answer in time")

    store = Forgetful()
    journal, hooks, _ = journal_on(store)
    journal.start()
    journal.write(move(1))
    await journal.flush(5.0)
    assert len(store.batches) == 2
    assert store.events == hooks.committed_ids == ["e000001"]
    await journal.stop(5.0)


async def test_one_refused_move_does_not_hold_up_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = FakeStore()
    store.poison = {"e000001"}
    journal, hooks, sleeps = journal_on(store)
    journal.start()
    for number in range(3):
        journal.write(move(number))
    await journal.flush(5.0)
    assert hooks.committed_ids == ["e000000", "e000002"]
    assert (journal.lost, sleeps.waits) == (1, [])
    assert "move lost" in caplog.text
    await journal.stop(5.0)


async def test_snapshots_are_written_after_the_moves_and_only_the_newest() -> None:
    store = FakeStore()
    journal, _, _ = journal_on(store)
    journal.refresh({"api": {"n": 1}, "db": {"n": 1}})
    journal.refresh({"db": {"n": 2}})
    journal.write(move(1, "web"))
    journal.start()
    await journal.flush(5.0)
    assert store.log == ["commit", "snapshots"]
    assert store.snapshots == {"api": {"n": 1}, "db": {"n": 2}}
    await journal.stop(5.0)


async def test_a_move_makes_the_older_snapshot_of_its_component_void() -> None:
    store = FakeStore()
    journal, _, _ = journal_on(store)
    journal.refresh({"api": {"n": 1}, "db": {"n": 1}})
    journal.write(move(1, "api"))
    journal.start()
    await journal.flush(5.0)
    assert store.snapshots == {"db": {"n": 1}}
    await journal.stop(5.0)


async def test_snapshots_survive_a_failure_unless_there_are_newer_ones() -> None:
    store = FakeStore(StoreError("full"), StoreError("full"))
    journal, _, _ = journal_on(store)
    journal.refresh({"api": {"n": 1}, "db": {"n": 1}})
    journal.start()
    await asyncio.sleep(0)
    journal.refresh({"db": {"n": 2}})
    await journal.flush(5.0)
    assert store.snapshots == {"api": {"n": 1}, "db": {"n": 2}}
    await journal.stop(5.0)


async def test_a_full_journal_gives_up_moves_without_messages_first() -> None:
    store = FakeStore()
    journal, _, _ = journal_on(store, capacity=4)
    journal.write(move(1), [message(1)])
    journal.write(move(2))
    journal.write(move(3), [message(3)])
    journal.write(move(4))
    journal.write(move(5), [message(5)])
    assert journal.waiting == 4
    journal.write(move(6), [message(6)])
    journal.write(move(7), [message(7)])
    assert journal.lost == 3
    journal.start()
    await journal.flush(5.0)
    assert store.events == ["e000003", "e000005", "e000006", "e000007"]
    assert store.messages == ["m3", "m5", "m6", "m7"]
    await journal.stop(5.0)


async def test_what_is_being_written_is_not_given_up() -> None:
    class Slow(FakeStore):
        def __init__(self) -> None:
            super().__init__()
            self.gate = asyncio.Event()

        async def commit(self, commit: Commit) -> None:
            await self.gate.wait()
            await super().commit(commit)

    store = Slow()
    journal, hooks, _ = journal_on(store, capacity=2)
    journal.start()
    journal.write(move(1))
    journal.write(move(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for number in range(3, 6):
        journal.write(move(number))
    store.gate.set()
    await journal.flush(5.0)
    assert hooks.committed_ids[:2] == ["e000001", "e000002"]
    assert journal.lost + len(hooks.committed_ids) == 5
    await journal.stop(5.0)


async def test_stopping_says_what_could_not_be_written(caplog: pytest.LogCaptureFixture) -> None:
    store = FakeStore()
    store.down = StoreError("full")
    journal, _, _ = journal_on(store)
    journal.start()
    journal.write(move(1))
    assert await journal.stop(0.01) is False
    assert "stopped with unwritten moves" in caplog.text


async def test_a_hook_that_raises_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    store = FakeStore()
    journal, hooks, _ = journal_on(store)
    hooks.committed = lambda batch: 1 / 0  # type: ignore[assignment, method-assign]
    journal.start()
    journal.write(move(1))
    assert await journal.flush(5.0)
    journal.write(move(2))
    assert await journal.flush(5.0)
    assert store.events == ["e000001", "e000002"]
    assert "hook failed after a commit" in caplog.text
    await journal.stop(5.0)


async def test_a_bug_in_the_store_does_not_end_the_journal(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = FakeStore(KeyError("a bug"))
    journal, hooks, _ = journal_on(store)
    journal.start()
    journal.write(move(1))
    assert await journal.flush(5.0)
    assert (store.events, hooks.failures) == (["e000001"], 1)
    assert "journal failed" in caplog.text
    await journal.stop(5.0)


async def test_actions_are_written_like_moves() -> None:
    store = FakeStore()
    journal, _, _ = journal_on(store)
    journal.write(Action(id="a1", at=1.0, component="api", action="open", actor="anna"))
    journal.start()
    await journal.flush(5.0)
    assert store.events == ["a1"]
    await journal.stop(5.0)


@settings(max_examples=60, deadline=None)
@given(
    script=st.lists(st.sampled_from([None, "down", "unknown"]), max_size=30),
    writes=st.lists(st.integers(1, 5), max_size=20),
)
def test_whatever_the_store_does_everything_is_there_once_and_in_order(
    script: list[str | None], writes: list[int]
) -> None:
    class Moody(FakeStore):
        async def commit(self, commit: Commit) -> None:
            mood = script.pop(0) if script else None
            if mood == "down":
                raise StoreError("down")
            await super().commit(commit)
            if mood == "unknown":
                raise StoreError("unknown")

    async def play() -> None:
        store = Moody()
        journal, hooks, _ = journal_on(store)
        journal.start()
        number = 0
        for count in writes:
            for _ in range(count):
                journal.write(move(number))
                number += 1
            await asyncio.sleep(0)
        assert await journal.stop(5.0)
        expected = [f"e{n:06d}" for n in range(number)]
        assert store.events == hooks.committed_ids == expected

    asyncio.run(play())
