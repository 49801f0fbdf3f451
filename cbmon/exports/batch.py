"""Request bodies that are ready to be sent, and where they wait.

Rule: first in, first out; bounded in bytes, and what does not fit pushes out the oldest, which is
counted. A folder holds a file for each body, so that what arrived is gone with one unlink, and a
kill at any moment leaves whole bodies only.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol
from zlib import crc32

MAGIC: Final = b"cbmon-1\n"
_FILE: Final = re.compile(r"(\d{15})-(\d{6})-(\d+)\.batch")


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """A body that waits: its samples are of the Unix time ``at`` in milliseconds."""

    at: int
    part: int
    samples: int
    size: int

    @property
    def file(self) -> str:
        """The name of its file; sorted by name is sorted by time."""
        return f"{self.at:015d}-{self.part:06d}-{self.samples}.batch"


def entry_in(name: str) -> Entry | None:
    """What the name of a file says, of size 0; None for one that is no body."""
    match = _FILE.fullmatch(name)
    return None if match is None else Entry(int(match[1]), int(match[2]), int(match[3]), 0)


@dataclass(frozen=True, slots=True)
class Batch:
    """A body with what is known of it."""

    at: int
    part: int
    samples: int
    body: bytes

    @property
    def entry(self) -> Entry:
        """What a queue remembers of it."""
        return Entry(self.at, self.part, self.samples, len(self.body))


class Shelf(Protocol):
    """Where bodies lie."""

    def known(self) -> list[Entry]:
        """What lies there from before, oldest first."""
        ...

    def lay(self, batch: Batch) -> None:
        """Put one there; OSError when that cannot be."""
        ...

    def fetch(self, entry: Entry) -> bytes | None:
        """The body; None for one that is damaged or gone."""
        ...

    def clear(self, entry: Entry) -> None:
        """Take it away; one that is gone is no error."""
        ...


class Memory:
    """Bodies in memory: gone with the process."""

    def __init__(self) -> None:
        self._bodies: dict[Entry, bytes] = {}

    def known(self) -> list[Entry]:
        """Nothing."""
        return []

    def lay(self, batch: Batch) -> None:
        """Keep it."""
        self._bodies[batch.entry] = batch.body

    def fetch(self, entry: Entry) -> bytes | None:
        """The body."""
        return self._bodies.get(entry)

    def clear(self, entry: Entry) -> None:
        """Forget it."""
        self._bodies.pop(entry, None)


class Folder:
    """Bodies in files. Every method blocks, and all but ``fetch`` may raise OSError.

    A file holds a mark, a checksum and the body; it appears whole, by a rename. It is not synced:
    after a power cut the last ones may be damaged, which the checksum shows.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def known(self) -> list[Entry]:
        """What a former process left."""
        self._path.mkdir(parents=True, exist_ok=True, mode=0o750)
        found = []
        for file in self._path.iterdir():
            entry = entry_in(file.name)
            if entry is not None:
                size = file.stat().st_size - len(MAGIC) - 4
                found.append(replace(entry, size=max(0, size)))
            elif file.suffix == ".part":
                file.unlink(missing_ok=True)
        return sorted(found)

    def lay(self, batch: Batch) -> None:
        """Write a file."""
        path = self._path / batch.entry.file
        part = path.with_suffix(".part")
        part.write_bytes(MAGIC + crc32(batch.body).to_bytes(4, "big") + batch.body)
        part.replace(path)

    def fetch(self, entry: Entry) -> bytes | None:
        """Read a file."""
        try:
            content = (self._path / entry.file).read_bytes()
        except OSError:
            return None
        mark, body = content[: len(MAGIC) + 4], content[len(MAGIC) + 4 :]
        return body if mark == MAGIC + crc32(body).to_bytes(4, "big") else None

    def clear(self, entry: Entry) -> None:
        """Delete a file."""
        (self._path / entry.file).unlink(missing_ok=True)


class Queue:
    """Bodies that wait on a shelf; every method but the properties may block."""

    def __init__(self, shelf: Shelf, limit: int) -> None:
        """``limit`` is in bytes."""
        self._shelf = shelf
        self._limit = limit
        self._entries: deque[Entry] | None = None
        self.bytes = 0
        """How much waits."""

    def __len__(self) -> int:
        return len(self._entries or ())

    @property
    def oldest(self) -> int | None:
        """The time in milliseconds of what waits longest."""
        return self._entries[0].at if self._entries else None

    def put(self, batch: Batch) -> int:
        """Append one; how many samples were pushed out. OSError when the shelf cannot take it."""
        entries, dropped = self._opened(), 0
        self._shelf.lay(batch)
        entries.append(batch.entry)
        self.bytes += len(batch.body)
        while self.bytes > self._limit:
            dropped += self._drop()
        return dropped

    def head(self) -> tuple[Batch | None, int]:
        """The oldest, and how many samples were damaged before it; None when nothing waits."""
        entries, damaged = self._opened(), 0
        while entries:
            entry = entries[0]
            body = self._shelf.fetch(entry)
            if body is not None:
                return Batch(entry.at, entry.part, entry.samples, body), damaged
            damaged += self._drop()
        return None, damaged

    def pop(self) -> None:
        """The oldest is done with."""
        if self._opened():
            self._drop()

    def expire(self, before: int) -> int:
        """Drop what is older than that Unix time in milliseconds; how many samples."""
        entries, dropped = self._opened(), 0
        while entries and entries[0].at < before:
            dropped += self._drop()
        return dropped

    def _opened(self) -> deque[Entry]:
        if self._entries is None:
            known = self._shelf.known()
            self._entries = deque(known)
            self.bytes = sum(entry.size for entry in known)
        return self._entries

    def _drop(self) -> int:
        entries = self._opened()
        entry = entries.popleft()
        self.bytes -= entry.size
        self._shelf.clear(entry)
        return entry.samples
