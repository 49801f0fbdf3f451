"""The store on a SQL database: the seam of :class:`cbmon.interfaces.Store`.

Rule: nothing here blocks the loop. One thread writes and one reads, each behind a bounded queue
and a deadline; a caller that is told of a timeout may repeat its write, which then does nothing
twice.

A synchronous engine in own threads was chosen over an asynchronous driver: group commit needs
one writer anyway, it serves both databases alike, and a read costs one hand-over, not one per row.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from cbmon.errors import CbmonError, StoreError
from cbmon.interfaces import Commit
from cbmon.model import Message, MessageState
from cbmon.store import reads, rows, writes
from cbmon.store.backend import Backend
from cbmon.store.errors import translated
from cbmon.store.migrations import migrate
from cbmon.store.record import RecordTable
from cbmon.store.results import ResultTable
from cbmon.store.settings import SettingsTable
from cbmon.store.writer import Work, Writer

T = TypeVar("T")

DEADLINE: Final = 30.0
"""Seconds one call may take, its wait in the queue included."""
QUEUE: Final = 1024
"""Calls that may be under way; one more waits for its turn."""
PRUNE_BATCH: Final = 500
"""Rows of each table that one transaction of the retention drops."""


class SqlStore:
    """See :class:`cbmon.interfaces.Store`; made by :func:`cbmon.store.open_store`."""

    def __init__(
        self,
        backend: Backend,
        *,
        wall: Callable[[], float] = time.time,
        deadline: float = DEADLINE,
    ) -> None:
        self._backend = backend
        self._wall = wall
        self._deadline = deadline
        self._slots = asyncio.Semaphore(QUEUE)
        self._writer: Writer | None = None
        self._reader: ThreadPoolExecutor | None = None
        self.settings = SettingsTable(backend, self._read, self._write, wall=wall)
        self.record = RecordTable(backend, self._read, self._write)
        self.results = ResultTable(backend, self._read, self._write)

    @property
    def where(self) -> str:
        """Which database this is, for a person; without a password."""
        return self._backend.where

    async def open(self) -> None:
        """Lock, connect and migrate.

        Raises StoreError, LockedError for a second daemon, MissingExtraError for the driver.
        """
        self._writer = Writer(self._backend)
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="cbmon-store-reader")
        try:
            await self._wait(self._reader.submit(self._connect))
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Finish what is queued and disconnect; may be called twice."""
        writer, reader = self._writer, self._reader
        self._writer = self._reader = None
        if writer is not None and reader is not None:
            await asyncio.to_thread(self._disconnect, writer, reader)

    async def breakers(self) -> dict[str, dict[str, Any]]:
        """The last snapshot of every breaker."""
        return await self._read(reads.load_breakers)

    async def commit(self, commit: Commit) -> None:
        """Make it durable, all or nothing."""
        await self._write(
            lambda connection: writes.commit(connection, self._backend, commit, self._wall())
        )

    async def save_snapshots(self, snapshots: Mapping[str, Mapping[str, Any]]) -> None:
        """Refresh snapshots; may be lost in a power cut."""
        copy = dict(snapshots)

        def work(connection: Connection) -> None:
            new = rows.snapshot_rows(copy, self._wall())
            writes.save_snapshots(connection, self._backend, new)

        await self._write(work, durable=False)

    async def forget(self, components: Sequence[str]) -> None:
        """Drop snapshots and end incidents."""
        await self._write(partial(writes.forget, components=components, now=self._wall()))

    async def transitions(
        self, *, component: str | None = None, limit: int = 100, before: str | None = None
    ) -> list[dict[str, Any]]:
        """Moves, newest first."""
        return await self._read(
            partial(reads.list_transitions, component=component, limit=limit, before=before)
        )

    async def incidents(
        self, *, open_only: bool = False, limit: int = 100, before: str | None = None
    ) -> list[dict[str, Any]]:
        """Incidents, newest first."""
        return await self._read(
            partial(reads.list_incidents, open_only=open_only, limit=limit, before=before)
        )

    async def planning(self) -> dict[str, dict[str, Any]]:
        """What lines know and wait for."""
        return await self._read(reads.load_planning)

    async def silences(self, *, ends_after: float | None = None) -> list[dict[str, Any]]:
        """Silences, newest first."""
        return await self._read(partial(reads.list_silences, ends_after=ends_after))

    async def save_silence(self, silence: Mapping[str, Any]) -> None:
        """Add or replace a silence."""
        row = rows.silence_row(silence)
        await self._write(lambda it: writes.save_silence(it, self._backend, row))

    async def audit(self, *, limit: int = 100, before: str | None = None) -> list[dict[str, Any]]:
        """What people did, newest first."""
        return await self._read(partial(reads.list_audit, limit=limit, before=before))

    async def pending(self, receiver: str, *, now: float, limit: int = 100) -> list[Message]:
        """The heads that are due, oldest first."""
        return await self._read(partial(reads.pending, receiver=receiver, now=now, limit=limit))

    async def next_attempt(self, receiver: str) -> float | None:
        """When the earliest head is due."""
        return await self._read(partial(reads.next_attempt, receiver=receiver))

    async def line(self, receiver: str, incident: str) -> list[Message]:
        """Everything of one incident for one receiver."""
        return await self._read(partial(reads.line, receiver=receiver, incident=incident))

    async def lines(self, receiver: str, incidents: Sequence[str]) -> dict[str, list[Message]]:
        """Everything of some incidents for one receiver."""
        return await self._read(partial(reads.lines, receiver=receiver, incidents=incidents))

    async def messages(
        self,
        *,
        receiver: str | None = None,
        state: MessageState | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> list[Message]:
        """Messages, newest first."""
        return await self._read(
            partial(reads.list_messages, receiver=receiver, state=state, limit=limit, before=before)
        )

    async def delivered(self, message_id: str, *, at: float) -> None:
        """The receiver has it; losing this in a power cut only doubles the message."""
        await self._finish([message_id], MessageState.DELIVERED, at, None, durable=False)

    async def postponed(self, message_id: str, *, next_attempt_at: float, error: str) -> None:
        """Try again then; losing this in a power cut only means to try sooner."""
        work = partial(
            writes.postpone, message_id=message_id, next_attempt_at=next_attempt_at, error=error
        )
        await self._write(work, durable=False)

    async def buried(self, message_id: str, *, at: float, error: str) -> None:
        """A dead letter."""
        await self._finish([message_id], MessageState.DEAD, at, error)

    async def dropped(self, message_ids: Sequence[str], *, at: float, reason: str) -> None:
        """Not worth telling any more."""
        await self._finish(message_ids, MessageState.DROPPED, at, reason)

    async def resend(self, message_id: str, *, now: float) -> bool:
        """Put a dead letter back in line."""
        done: bool = await self._write(partial(writes.resend, message_id=message_id, now=now))
        return done

    async def expire(self, *, before: float, at: float, keep: Sequence[str]) -> int:
        """Bury what nobody will deliver."""
        count: int = await self._write(partial(writes.expire, before=before, at=at, keep=keep))
        return count

    async def backlog(self) -> dict[str, tuple[int, float | None, int]]:
        """By receiver: pending, since when, dead."""
        return await self._read(reads.backlog)

    async def prune(self, *, before: float) -> int:
        """Drop old history, in batches between which others may write."""
        work = partial(writes.prune, before=before, limit=PRUNE_BATCH)
        total = 0
        while count := await self._write(work, durable=False):
            total += count
        return total

    async def _finish(
        self,
        ids: Sequence[str],
        state: MessageState,
        at: float,
        error: str | None,
        *,
        durable: bool = True,
    ) -> None:
        work = partial(writes.finish, ids=ids, state=state, at=at, error=error)
        await self._write(work, durable=durable)

    async def _write(self, work: Work, *, durable: bool = True) -> Any:
        async with self._slots:
            if self._writer is None:
                raise StoreError(f"{self.where} is not open")
            return await self._wait(self._writer.submit(work, durable=durable))

    async def _read(self, question: Callable[[Connection], T]) -> T:
        async with self._slots:
            if self._reader is None:
                raise StoreError(f"{self.where} is not open")
            return await self._wait(self._reader.submit(self._ask, question))

    async def _wait(self, future: Future[T]) -> T:
        try:
            async with asyncio.timeout(self._deadline):
                return await asyncio.wrap_future(future)
        except TimeoutError as error:
            raise StoreError(
                f"{self.where} did not answer within {self._deadline:g} s; "
                f"whether the call took effect is unknown"
            ) from error

    def _ask(self, question: Callable[[Connection], T]) -> T:
        try:
            with self._backend.reading() as connection:
                return question(connection)
        except (SQLAlchemyError, CbmonError, OSError, ValueError) as error:
            raise translated(error, self._backend.explain) from error

    def _connect(self) -> None:
        try:
            self._backend.open()
            with self._backend.writing(durable=True) as connection:
                migrate(connection, self._backend.where)
        except (SQLAlchemyError, OSError) as error:
            raise translated(error, self._backend.explain) from error

    def _disconnect(self, writer: Writer, reader: ThreadPoolExecutor) -> None:
        writer.close()
        reader.shutdown(wait=True)
        self._backend.close()
