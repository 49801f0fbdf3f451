"""Where a group keeps its records: the seam, and the store within one process.

Rule: a store compares and sets, knows the time, and decides nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from cbmon.sharing.record import Record

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a store holds under one name: ``version`` 0 and no record where there is nothing."""

    version: int
    record: Record | None


NOTHING = Seen(0, None)


class SharedStore(Protocol):
    """A place that all instances reach. Every error of it is an ``OSError`` or ``StoreDownError``.

    Used by one event loop; the caller sets deadlines.
    """

    async def read(self, names: Sequence[str]) -> tuple[float, Mapping[str, Seen]]:
        """The store's time in Unix seconds, and what it holds under these names."""
        ...

    async def swap(self, name: str, version: int, record: Record) -> bool:
        """Put ``record`` in as ``version + 1`` if ``version`` is what is there; whether it was."""
        ...

    async def close(self) -> None:
        """Give back what is held; it may be used again."""
        ...


class StoreDownError(Exception):
    """The store cannot be reached or does not answer as it should."""


class MemoryStore:
    """Shares within one process: for tests, and for several loops or threads of one program."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._held: dict[str, Seen] = {}

    async def read(self, names: Sequence[str]) -> tuple[float, Mapping[str, Seen]]:
        """The time and what is held."""
        await asyncio.sleep(0)
        return self._clock(), {name: self._held.get(name, NOTHING) for name in names}

    async def swap(self, name: str, version: int, record: Record) -> bool:
        """Compare and set."""
        await asyncio.sleep(0)
        if self._held.get(name, NOTHING).version != version:
            return False
        self._held[name] = Seen(version + 1, record)
        return True

    async def close(self) -> None:
        """There is nothing to give back."""


def seen(name: str, version: int, text: str | bytes) -> Seen:
    """What a store gave back; a record that cannot be read is none, and will be written over."""
    try:
        return Seen(version, Record.load(text))
    except ValueError as error:
        log.warning("shared state of breaker %s cannot be read: %s", name, error)
        return Seen(version, None)
