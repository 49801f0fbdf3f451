"""The thread that writes: commits that arrive together share one transaction.

Rule: a caller hears of success only after the transaction that holds its work is committed; one
caller's bad content never costs another caller its work.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from cbmon.errors import CbmonError
from cbmon.store.backend import Backend
from cbmon.store.errors import is_outage, translated

GROUP: Final = 256
"""Most jobs in one transaction."""
EXPECTED: Final = (SQLAlchemyError, CbmonError, OSError, TypeError, ValueError)

Work = Callable[[Connection], Any]


@dataclass(slots=True, eq=False)
class Job:
    """One caller's work and the future that tells it how it went."""

    work: Work
    durable: bool
    done: Future[Any] = field(default_factory=Future)


class Writer:
    """Runs jobs in one thread, in the order in which they came."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="cbmon-store-writer")
        self._lock = threading.Lock()
        self._waiting: deque[Job] = deque()

    def submit(self, work: Work, *, durable: bool) -> Future[Any]:
        """Queue work; the future has its result once it is committed, or a StoreError."""
        job = Job(work, durable)
        with self._lock:
            self._waiting.append(job)
        self._thread.submit(self._run_group)
        return job.done

    def close(self) -> None:
        """Finish what is queued; blocks."""
        self._thread.shutdown(wait=True)

    def _run_group(self) -> None:
        with self._lock:
            count = min(GROUP, len(self._waiting))
            taken = [self._waiting.popleft() for _ in range(count)]
        group = [job for job in taken if job.done.set_running_or_notify_cancel()]
        try:
            self._run(group)
        except BaseException as error:
            for job in group:
                if not job.done.done():
                    job.done.set_exception(error)
            raise

    def _run(self, group: list[Job]) -> None:
        if not group:
            return
        try:
            results = self._transaction(group)
        except EXPECTED as error:
            if len(group) > 1 and not is_outage(error):
                for job in group:
                    self._run([job])
                return
            failure = translated(error, self._backend.explain)
            failure.__cause__ = error
            for job in group:
                job.done.set_exception(failure)
            return
        for job, result in zip(group, results, strict=True):
            job.done.set_result(result)

    def _transaction(self, group: list[Job]) -> list[Any]:
        durable = any(job.durable for job in group)
        with self._backend.writing(durable=durable) as connection:
            return [job.work(connection) for job in group]
