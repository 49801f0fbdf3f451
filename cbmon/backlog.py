"""What an export keeps while it cannot hand on, and what became of it.

Rule: plain numbers; the export writes them, the metrics read them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol, runtime_checkable


class DropCause(StrEnum):
    """Why samples were given up; the ``cause`` label of the dropped counter."""

    REFUSED = "refused"
    """The remote said that it will never take them."""
    FULL = "full"
    """More waited than may wait: the oldest went."""
    OLD = "old"
    """They waited for longer than they may."""
    OPEN = "open"
    """The breaker opened, and nothing is kept then."""
    DISK = "disk"
    """The spool could not be written, or not be read again."""


class Backlog:
    """The numbers of one export; they go on when its options change."""

    __slots__ = ("bytes", "dropped", "oldest", "queue", "samples")

    def __init__(self) -> None:
        self.queue = 0
        """Requests that wait."""
        self.bytes = 0
        self.oldest = 0.0
        """The Unix time of the oldest samples that wait; 0.0 without any."""
        self.samples = 0
        """Samples that the remote took."""
        self.dropped: dict[DropCause, int] = {}

    def drop(self, cause: DropCause, samples: int) -> None:
        """Count samples that were given up."""
        if samples:
            self.dropped[cause] = self.dropped.get(cause, 0) + samples


@runtime_checkable
class Collecting(Protocol):
    """What runs on while its breaker is open: it hands nothing on, but may keep it for later."""

    async def collect(self) -> None:
        """What a run would have handed on is to be kept, or given up. Cancelled at the deadline
        by the caller; raises nothing else."""
        ...
