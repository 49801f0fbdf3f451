"""From moves that happen on the event loop to rows on the disk.

Rule: writing to the journal never waits and never fails. Moves are committed in their order, each
together with its messages; while the store fails everything goes on and the journal keeps what
came, up to its capacity.

What is given up when a store stays away for long, in this order: nothing of the snapshots (only
the newest of each component is kept anyway), then the oldest moves that nobody is to be told of,
then the oldest moves of all. Each loss is counted and logged; none is silent.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from cbmon.errors import StoreError, UnstorableError
from cbmon.events import Action, RunFailed, Transition
from cbmon.interfaces import Commit, Store
from cbmon.logs import fields
from cbmon.model import Message

log = logging.getLogger(__name__)

CAPACITY: Final = 20_000
"""Entries kept while the store fails; one takes about 3 KB."""
BATCH: Final = 256
"""Entries in one commit."""
APART: Final = 0.025
"""Seconds between two commits, so that deliveries can be noted in between: without it, a slow disk
is busy with commits all the time. What comes alone is committed at once."""
NOTES: Final = 5_000
"""Failed runs that wait to be written; the oldest go first, as the breakers know of them anyway."""
FIRST_RETRY, LONGEST_RETRY = 0.1, 5.0
"""Seconds; the wait after the n-th failure is drawn from 0 to FIRST_RETRY * 2^n, at most this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that happened, with the messages that it causes."""

    event: Transition | Action | None = None
    messages: tuple[Message, ...] = ()
    planning: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)


class JournalHooks(Protocol):
    """What the journal tells its surroundings."""

    def store_failed(self) -> None:
        """An attempt to write failed; counted as ``cbmon_store_errors_total``."""
        ...

    def committed(self, batch: Sequence[Entry]) -> None:
        """These are durable now, in this order."""
        ...


@dataclass(slots=True)
class _Silent:
    """Hooks that do nothing."""

    def store_failed(self) -> None: ...

    def committed(self, batch: Sequence[Entry]) -> None: ...


@dataclass(slots=True)
class _Backlog:
    """What waits to be written: entries in order, and the newest snapshot of each component."""

    capacity: int
    entries: dict[int, Entry] = field(default_factory=dict)
    plain: deque[int] = field(default_factory=deque)
    snapshots: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    failures: deque[RunFailed] = field(default_factory=lambda: deque(maxlen=NOTES))
    number: int = 0
    in_hand: int = 0
    """Entries up to this number are being written and cannot be given up."""

    def add(self, entry: Entry) -> Entry | None:
        """Keep an entry; the one that had to go for it, if any."""
        self.number += 1
        self.entries[self.number] = entry
        if not entry.messages and not entry.planning:
            self.plain.append(self.number)
        return self._give_up() if len(self.entries) > self.capacity else None

    def __bool__(self) -> bool:
        return bool(self.entries or self.snapshots or self.failures)

    def head(self) -> list[tuple[int, Entry]]:
        """The next batch, which stays here until it is removed.

        It does not end between a move and the action that made it: they are one transaction.
        """
        batch: list[tuple[int, Entry]] = []
        for pair in self.entries.items():
            if len(batch) >= BATCH and not isinstance(pair[1].event, Action):
                break
            batch.append(pair)
        self.in_hand = batch[-1][0] if batch else self.in_hand
        return batch

    def remove(self, batch: Sequence[tuple[int, Entry]]) -> None:
        """These are written, or never can be."""
        for number, _ in batch:
            self.entries.pop(number, None)
        while self.plain and self.plain[0] <= self.in_hand:
            self.plain.popleft()

    def _give_up(self) -> Entry | None:
        while self.plain:
            number = self.plain.popleft()
            if number > self.in_hand and number in self.entries:
                return self.entries.pop(number)
        oldest = next((number for number in self.entries if number > self.in_hand), None)
        return None if oldest is None else self.entries.pop(oldest)


class Journal:
    """Takes moves synchronously and makes them durable in one task of its own."""

    def __init__(
        self,
        store: Store,
        *,
        hooks: JournalHooks | None = None,
        capacity: int = CAPACITY,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        seed: int | None = None,
    ) -> None:
        self._store = store
        self._hooks: JournalHooks = hooks or _Silent()
        self._sleep = sleep
        self._random = random.Random(seed)  # noqa: S311 - spreads retries, guards nothing
        self._backlog = _Backlog(capacity)
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None
        self._failures = 0
        self._committed_at = -APART
        self.lost = 0
        """Entries given up because the store stayed away, or refused them for their content."""

    @property
    def healthy(self) -> bool:
        """Whether the last attempt to write succeeded."""
        return self._failures == 0 and not (self._task is not None and self._task.done())

    @property
    def waiting(self) -> int:
        """Entries that are not durable yet."""
        return len(self._backlog.entries)

    def start(self) -> None:
        """Begin to write."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="journal")

    def write(
        self,
        event: Transition | Action | None,
        messages: Sequence[Message] = (),
        planning: Mapping[str, Mapping[str, Any] | None] | None = None,
    ) -> None:
        """Queue a move or an action with the messages that it causes, or messages alone.

        ``planning`` is what lines know and wait for after it; it is in the same transaction.
        """
        if isinstance(event, Transition):
            # The move carries a newer snapshot of its component than the one that waits.
            self._backlog.snapshots.pop(event.component, None)
        gone = self._backlog.add(
            Entry(event=event, messages=tuple(messages), planning=planning or {})
        )
        if gone is not None:
            self._give_up(gone, "the store has failed for too long")
        self._wake()

    def refresh(self, snapshots: Mapping[str, Mapping[str, Any]]) -> None:
        """Queue counters between moves: the newest of each component is kept."""
        if snapshots:
            self._backlog.snapshots.update(snapshots)
            self._wake()

    def note(self, failed: RunFailed) -> None:
        """Queue a failed run for the history; it may be lost in a crash."""
        self._backlog.failures.append(failed)
        self._wake()

    async def flush(self, deadline: float) -> bool:
        """Wait until everything is durable, at most ``deadline`` seconds; whether it is."""
        try:
            async with asyncio.timeout(deadline):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def stop(self, deadline: float) -> bool:
        """Flush, then stop writing; whether everything is durable."""
        complete = await self.flush(deadline) if self._task is not None else self._idle.is_set()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        if not complete:
            log.error("stopped with unwritten moves", extra=fields(waiting=self.waiting))
        return complete

    def _wake(self) -> None:
        self._idle.clear()
        self._work.set()

    async def _run(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            while self._backlog:
                await self._leave_room()
                try:
                    await self._write_some()
                except StoreError as error:
                    await self._failed(error)
                except Exception as error:
                    # A journal that died would lose every move from here on.
                    log.exception("journal failed")
                    await self._failed(error)
                else:
                    self._recovered()
            self._idle.set()

    async def _leave_room(self) -> None:
        """Let others write between two commits: each of them waits for the disk."""
        early = self._committed_at + APART - time.monotonic()
        if early > 0 and len(self._backlog.entries) < BATCH:
            await asyncio.sleep(early)

    async def _write_some(self) -> None:
        batch = self._backlog.head()
        if not batch:
            if self._backlog.snapshots:
                await self._write_snapshots()
            await self._write_failures()
            return
        try:
            await self._store.commit(_commit(batch))
        except UnstorableError:
            await self._one_by_one(batch)
        else:
            self._done(batch)

    async def _write_snapshots(self) -> None:
        snapshots, self._backlog.snapshots = self._backlog.snapshots, {}
        try:
            await self._store.save_snapshots(snapshots)
        except UnstorableError:
            log.exception("snapshots refused")
        except BaseException:
            self._backlog.snapshots = snapshots | self._backlog.snapshots
            raise

    async def _write_failures(self) -> None:
        failures = list(self._backlog.failures)
        if not failures:
            return
        self._backlog.failures.clear()
        try:
            await self._store.record.add_failures(failures)
        except UnstorableError:
            log.exception("failed runs refused")
        except BaseException:
            self._backlog.failures.extendleft(reversed(failures))
            raise

    async def _one_by_one(self, batch: Sequence[tuple[int, Entry]]) -> None:
        for pair in batch:
            try:
                await self._store.commit(_commit([pair]))
            except UnstorableError as error:
                self._backlog.remove([pair])
                self._give_up(pair[1], str(error))
            else:
                self._done([pair])

    def _done(self, batch: Sequence[tuple[int, Entry]]) -> None:
        self._backlog.remove(batch)
        self._committed_at = time.monotonic()
        try:
            self._hooks.committed([entry for _, entry in batch])
        except Exception:
            log.exception("hook failed after a commit")

    def _give_up(self, entry: Entry, why: str) -> None:
        self.lost += 1
        log.error(
            "move lost",
            extra=fields(
                event=entry.event.id if entry.event else None,
                component=entry.event.component if entry.event else None,
                messages=len(entry.messages),
                why=why,
            ),
        )

    async def _failed(self, error: Exception) -> None:
        self._hooks.store_failed()
        if self._failures == 0:
            log.error("store failed, moves are kept in memory", extra=fields(error=error))
        longest = min(LONGEST_RETRY, FIRST_RETRY * 2.0 ** min(self._failures, 30))
        self._failures += 1
        await self._sleep(self._random.uniform(0.0, longest))

    def _recovered(self) -> None:
        if self._failures:
            log.info("store works again", extra=fields(failures=self._failures))
            self._failures = 0


def _commit(batch: Sequence[tuple[int, Entry]]) -> Commit:
    entries = [entry for _, entry in batch]
    return Commit(
        transitions=[e.event for e in entries if isinstance(e.event, Transition)],
        actions=[e.event for e in entries if isinstance(e.event, Action)],
        messages=[message for entry in entries for message in entry.messages],
        planning={key: row for entry in entries for key, row in entry.planning.items()},
    )
