"""Failed runs are written between moves; an action is in one commit with the move it made."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from cbmon.errors import StoreError, UnstorableError
from cbmon.events import Action, RunFailed, Transition
from cbmon.interfaces import Commit
from cbmon.model import BreakerInfo, Category, Reason
from cbmon.store import Journal
from cbmon.store.journal import BATCH, NOTES


class Store:
    """Remembers what it was given; ``answers`` are raised first."""

    def __init__(self, *answers: Exception) -> None:
        self.answers = list(answers)
        self.commits: list[list[str]] = []
        self.failures: list[str] = []
        self.record = self

    async def commit(self, commit: Commit) -> None:
        await asyncio.sleep(0)
        self.commits.append([one.id for one in (*commit.transitions, *commit.actions)])

    async def save_snapshots(self, snapshots: Any) -> None:
        await asyncio.sleep(0)

    async def add_failures(self, failures: Sequence[RunFailed]) -> None:
        await asyncio.sleep(0)
        if self.answers:
            raise self.answers.pop(0)
        self.failures += [one.id for one in failures]


async def no_wait(_: float) -> None:
    await asyncio.sleep(0)


def journal_of(store: Any) -> Journal:
    return Journal(store, sleep=no_wait)


def failed(number: int) -> RunFailed:
    return RunFailed(
        id=f"f{number:06d}",
        at=float(number),
        component="api",
        category=Category.CHECK,
        reason=Reason.CONNECT,
        error="refused",
        duration=0.1,
    )


def move(number: int) -> Transition:
    return Transition(
        id=f"m{number:06d}",
        at=float(number),
        component="api",
        category=Category.CHECK,
        from_state="closed",
        to_state="open",
        cause="open",
        info=BreakerInfo(name="api", category=Category.CHECK),
    )


def act(number: int) -> Action:
    return Action(
        id=f"a{number:06d}", at=float(number), component="api", action="open", actor="ada"
    )


async def test_failed_runs_are_written_in_order_and_together() -> None:
    store = Store()
    journal = journal_of(store)
    for number in range(5):
        journal.note(failed(number))
    journal.start()
    assert await journal.stop(1.0)
    assert store.failures == [f"f{number:06d}" for number in range(5)]


async def test_they_wait_while_the_store_fails() -> None:
    store = Store(StoreError("down"), StoreError("down"))
    journal = journal_of(store)
    journal.start()
    journal.note(failed(1))
    journal.note(failed(2))
    assert await journal.stop(1.0)
    assert store.failures == ["f000001", "f000002"]


async def test_of_too_many_the_oldest_go() -> None:
    store = Store()
    journal = journal_of(store)
    for number in range(NOTES + 3):
        journal.note(failed(number))
    journal.start()
    assert await journal.stop(1.0)
    assert (len(store.failures), store.failures[0]) == (NOTES, "f000003")


async def test_those_that_cannot_be_stored_stop_nothing(caplog: pytest.LogCaptureFixture) -> None:
    store = Store(UnstorableError("odd"))
    journal = journal_of(store)
    journal.start()
    journal.note(failed(1))
    journal.write(move(1))
    assert await journal.stop(1.0)
    assert store.commits == [["m000001"]]
    assert "failed runs refused" in caplog.text


async def test_a_batch_does_not_end_between_a_move_and_its_action() -> None:
    store = Store()
    journal = journal_of(store)
    for number in range(BATCH):
        journal.write(move(number))
    journal.write(act(1))
    journal.write(move(BATCH))
    journal.start()
    assert await journal.stop(1.0)
    assert [len(commit) for commit in store.commits] == [BATCH + 1, 1]
    assert store.commits[0][-1] == "a000001"
