"""The workers of a daemon, and which of them looks for which check.

Rule: a check belongs to one worker for as long as the number of workers is the same, by a hash of
its name, so that what a worker keeps for it (a token, an address, a context) is kept once.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from itertools import count
from typing import Final

from cbmon.config.fields import Options
from cbmon.errors import StartupError
from cbmon.metrics.workers import WorkerRecord
from cbmon.workers.runs import Delegate
from cbmon.workers.wire import Settings
from cbmon.workers.worker import READY_WITHIN, Worker

AWAY: Final = frozenset(
    {
        "dns", "grpc", "http", "icmp", "mysql", "postgres", "redis", "smtp", "ssh", "tcp", "tls",
        "websocket",
    }
)  # fmt: skip
"""The types that workers look at: those that need a network and nothing else. The others start
programs, run a user's code, hear from outside, or look seldom."""
STOP_WITHIN: Final = 2.0


class Workers:
    """As many workers as there are ``records``; with none, every check stays in the daemon."""

    def __init__(
        self,
        records: Sequence[WorkerRecord],
        *,
        log_level: str = "info",
        log_format: str = "logfmt",
    ) -> None:
        self._workers = [
            Worker(Settings(number=number, log_level=log_level, log_format=log_format), record)
            for number, record in enumerate(records, 1)
        ]
        self._numbers = count(1)

    def __len__(self) -> int:
        return len(self._workers)

    @property
    def processes(self) -> list[int]:
        """The process ids of those that are there now."""
        return [pid for each in self._workers if (pid := each.process_id) is not None]

    def runner(self, name: str, kind: str, options: Options) -> Delegate | None:
        """What a check runs if a worker looks for it; None if the daemon does so itself."""
        if not self._workers or kind not in AWAY:
            return None
        worker = self._workers[shard_of(name, len(self._workers))]
        delegate = Delegate(worker, next(self._numbers), kind, options)
        worker.take(delegate)
        return delegate

    async def start(self) -> None:
        """Start all of them, without waiting until they are ready."""
        for each in self._workers:
            each.start()

    async def ready(self) -> None:
        """Wait until all take orders; StartupError when they do not in time."""
        try:
            async with asyncio.timeout(READY_WITHIN):
                await asyncio.gather(*(each.ready() for each in self._workers))
        except TimeoutError as error:
            raise StartupError("workers: they are not ready in time; the log says why") from error

    async def stop(self) -> None:
        """End all of them. Runs should have ended before."""
        await asyncio.gather(*(each.stop(STOP_WITHIN) for each in self._workers))


def shard_of(name: str, shards: int) -> int:
    """Which of so many shards a name belongs to, the same in every process."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8, person=b"worker")
    return int.from_bytes(digest.digest()) % shards
