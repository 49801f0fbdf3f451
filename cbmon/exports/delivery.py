"""Request bodies to one server, in order: what waits first, then what is new.

Rule: one request at a time, and the next one only when this one is decided, so that no series ever
goes back in time. What the server may take later stays at the head; what it never will is dropped
and counted. Whatever may block is done in a thread of its own, one thing at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from enum import Enum, auto
from typing import Final, NamedTuple

from cbmon.backlog import Backlog, DropCause
from cbmon.errors import CbmonError
from cbmon.exports.batch import Batch, Queue
from cbmon.exports.failures import PUSH_ERRORS, classified, printable, refused
from cbmon.exports.offload import offload
from cbmon.exports.posting import Answer
from cbmon.interfaces import Attempt
from cbmon.logs import fields
from cbmon.model import Reason, Result

log = logging.getLogger(__name__)

MARGIN: Final = 0.05
"""Seconds before the deadline at which a run ends by itself."""
OF_THE_DATA: Final = frozenset({400, 409, 413, 415, 422})
"""Refusals that concern this body: the next one may be fine. After others the run ends, so that a
wrong token costs one body a run and not the spool."""


class Verdict(Enum):
    """What an answer means for the body."""

    TAKEN = auto()
    LATER = auto()
    NEVER = auto()


class Reading(NamedTuple):
    """An answer as the protocol means it."""

    verdict: Verdict
    said: bytes
    """For a person."""
    lost: int = 0
    """Samples of a body that was taken which the server did not want."""


class BusyError(CbmonError):
    """The previous thing is still going on in its thread."""


Post = Callable[[bytes, Attempt, float], Awaitable[Answer]]
Judge = Callable[[Answer], Reading]


class Delivery:
    """What one export has to hand on."""

    def __init__(
        self,
        queue: Queue,
        backlog: Backlog,
        *,
        name: str,
        max_age: float,
        post: Post,
        judge: Judge,
        wall: Callable[[], float],
    ) -> None:
        self._queue = queue
        self._backlog = backlog
        self._name = name
        self._max_age = max_age
        self._post = post
        self._judge = judge
        self._wall = wall
        self._fresh: deque[Batch] = deque()
        self._working: asyncio.Future[None] | None = None
        self._not_before = 0.0
        self._complained: set[DropCause] = set()

    async def add(self, made: Callable[[], Iterable[Batch]]) -> None:
        """Put aside what is left from before, then make new bodies, both in a thread.

        BusyError when the previous thing there has not ended.
        """

        def work() -> None:
            self._settle()
            self._fresh.extend(made())

        await self._in_thread(work)
        self._tell()

    async def settle(self) -> None:
        """Put everything aside. BusyError as above."""
        await self._in_thread(self._settle)
        self._tell()

    async def give_up(self) -> None:
        """Drop everything that waits, because the breaker is open and nothing is to be kept."""

        def work() -> None:
            self._lost(DropCause.OPEN, sum(batch.samples for batch in self._fresh))
            self._fresh.clear()
            self._lost(DropCause.OPEN, self._queue.expire(1 << 62))

        await self._in_thread(self._tried(work))
        self._tell()

    async def flush(self, attempt: Attempt) -> Result:
        """Send as much as the deadline allows; good when nothing was refused or put off."""
        wait = self._not_before - asyncio.get_running_loop().time()
        if wait > 0:
            if wait > attempt.remaining - MARGIN:
                return attempt.failed(
                    Reason.STATUS, f"the server asked to be left alone for {wait:.0f} s more"
                )
            await asyncio.sleep(wait)
        try:
            return await self._send_all(attempt)
        except PUSH_ERRORS as error:
            return attempt.failed(*classified(error))
        finally:
            self._tell()

    async def _send_all(self, attempt: Attempt) -> Result:
        failure: tuple[Reason, str] | None = None
        attempt.facts.update(requests=0, samples=0)
        while (batch := await self._head()) is not None:
            left = attempt.remaining - MARGIN
            if left <= 0 and attempt.facts["requests"]:
                break  # the rest is for the next run
            answer = await self._post(batch.body, attempt, left)
            attempt.facts["requests"] += 1
            attempt.facts["status"] = answer.status
            verdict, said, lost = self._judge(answer)
            if verdict is Verdict.LATER:
                self._wait(answer)
                return attempt.failed(*refused(answer.status, said))
            if verdict is Verdict.NEVER:
                failure = refused(answer.status, said)
                lost = batch.samples
            else:
                self._complained.clear()
            self._backlog.samples += batch.samples - lost
            attempt.facts["samples"] += batch.samples - lost
            self._lost(DropCause.REFUSED, lost, said.decode(errors="replace"))
            await self._done()
            if verdict is Verdict.NEVER and answer.status not in OF_THE_DATA:
                break
        attempt.facts["waiting"] = len(self._queue) + len(self._fresh)
        return attempt.passed() if failure is None else attempt.failed(*failure)

    # --- the head ------------------------------------------------------------------------

    async def _head(self) -> Batch | None:
        found: list[Batch | None] = []

        def work() -> None:
            before = int((self._wall() - self._max_age) * 1000)
            self._lost(DropCause.OLD, self._queue.expire(before))
            batch, damaged = self._queue.head()
            self._lost(DropCause.DISK, damaged)
            found.append(batch)

        await self._in_thread(self._tried(work))
        waiting = found[0] if found else None
        return waiting or (self._fresh[0] if self._fresh else None)

    async def _done(self) -> None:
        if len(self._queue):
            await self._in_thread(self._queue.pop)
        else:
            self._fresh.popleft()

    def _wait(self, answer: Answer) -> None:
        if answer.retry_after is not None:
            self._not_before = asyncio.get_running_loop().time() + answer.retry_after

    # --- in the thread -------------------------------------------------------------------

    def _settle(self) -> None:
        while self._fresh:
            batch = self._fresh[0]
            try:
                self._lost(DropCause.FULL, self._queue.put(batch))
            except OSError as error:
                self._lost(DropCause.DISK, batch.samples, error.strerror or str(error))
            self._fresh.popleft()

    def _lost(self, cause: DropCause, samples: int, error: str = "") -> None:
        """Count it; the log is told once, until something is delivered again."""
        if not samples:
            return
        self._backlog.drop(cause, samples)
        if cause not in self._complained:
            self._complained.add(cause)
            why = {"error": printable(error)} if error else {}
            log.warning(
                "samples dropped",
                extra=fields(export=self._name, cause=str(cause), samples=samples, **why),
            )

    def _tried(self, work: Callable[[], None]) -> Callable[[], None]:
        """The work; a spool that cannot be read keeps nothing else from its way."""

        def tried() -> None:
            try:
                work()
            except OSError as error:
                log.warning("spool not read", extra=fields(export=self._name, error=str(error)))

        return tried

    async def _in_thread(self, work: Callable[[], None]) -> None:
        if self._working is not None and not self._working.done():
            raise BusyError("the disk has not answered since the previous run")
        self._working = offload(work, f"export {self._name}")
        await asyncio.shield(self._working)

    def _tell(self) -> None:
        backlog, queue, fresh = self._backlog, self._queue, self._fresh
        backlog.queue = len(queue) + len(fresh)
        backlog.bytes = queue.bytes + sum(len(batch.body) for batch in fresh)
        oldest = queue.oldest if queue.oldest is not None else fresh[0].at if fresh else None
        backlog.oldest = 0.0 if oldest is None else oldest / 1000
