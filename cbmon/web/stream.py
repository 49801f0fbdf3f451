"""Events as they happen, for whoever listens: a ring of the latest and a queue for each listener.

Rule: publishing never waits and never grows. Who reads too slowly loses his place, not an event:
he comes back with the id of the last one that he has seen and goes on from there.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from cbmon.breaker import State
from cbmon.events import Event, as_json

KEPT: Final = 1000
"""Events that are remembered for those who come back."""
WAITING: Final = 256
"""Events that may wait for one listener."""
LISTENERS: Final = 200


@dataclass(slots=True)
class Fact:
    """One event, as listeners get it; ``text`` is what they are sent, once somebody is."""

    id: str
    kind: str
    component: str | None
    source: Event | Mapping[str, Any]
    text: str | None = None

    @classmethod
    def of(cls, event: Event) -> Fact:
        """From an event of the daemon."""
        return cls(event.id, event.kind, getattr(event, "component", None), event)

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Fact:
        """From a move as the store has it."""
        return cls(str(row["id"]), str(row.get("kind", "transition")), row["component"], row)

    @property
    def kinds(self) -> frozenset[str]:
        """Under which it is asked for: a move into or out of service has a kind of its own too."""
        found = {self.kind}
        if self.kind == "transition":
            found |= {"disabled"} if self._has("to_state") == State.DISABLED else set()
            found |= {"enabled"} if self._has("from_state") == State.DISABLED else set()
        elif self.kind == "action" and self._has("refused"):
            found.add("refused")
        return frozenset(found)

    def _has(self, name: str) -> Any:
        source = self.source
        return getattr(source, name) if isinstance(source, Event) else source.get(name)

    @property
    def data(self) -> Mapping[str, Any]:
        """Everything that is known of it."""
        return as_json(self.source) if isinstance(self.source, Event) else self.source


@dataclass(slots=True, eq=False)
class Listener:
    """Somebody who listens. ``lost`` is set when he was too slow or the daemon stops."""

    wanted: Callable[[Fact], bool]
    waiting: deque[Fact] = field(default_factory=deque)
    something: asyncio.Event = field(default_factory=asyncio.Event)
    lost: bool = False

    def put(self, fact: Fact) -> None:
        """Give him one event."""
        if self.lost or not self.wanted(fact):
            return
        if len(self.waiting) >= WAITING:
            self.lose()
            return
        self.waiting.append(fact)
        self.something.set()

    def lose(self) -> None:
        """He gets nothing any more."""
        self.lost = True
        self.waiting.clear()
        self.something.set()

    def take(self) -> list[Fact]:
        """What has come since the last time."""
        found = list(self.waiting)
        self.waiting.clear()
        self.something.clear()
        return found


class Stream:
    """The events of one daemon, as a sink and for its listeners."""

    def __init__(self) -> None:
        self._latest: deque[Fact] = deque(maxlen=KEPT)
        self._listeners: set[Listener] = set()
        self._closed = False
        self.dropped = 0
        """Listeners who were too slow."""

    def __len__(self) -> int:
        return len(self._listeners)

    @property
    def full(self) -> bool:
        """Whether there is no room for another listener."""
        return self._closed or len(self._listeners) >= LISTENERS

    def publish(self, event: Event) -> None:
        """Tell all who listen; a sink of the monitor."""
        fact = Fact.of(event)
        self._latest.append(fact)
        for listener in self._listeners:
            before = listener.lost
            listener.put(fact)
            self.dropped += listener.lost and not before

    @contextmanager
    def listen(self, wanted: Callable[[Fact], bool]) -> Iterator[Listener]:
        """Listen as long as the block lasts."""
        listener = Listener(wanted)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def after(self, last: str) -> list[Fact] | None:
        """What came after the event of that id; None when that is not remembered any more."""
        facts = list(self._latest)
        if not facts or last < facts[0].id:
            return None
        return [fact for fact in facts if fact.id > last]

    def is_ahead(self, last: str) -> bool:
        """Whether this id is newer than any event: none of ours, or the clock was set back."""
        return bool(self._latest) and last > self._latest[-1].id

    def close(self) -> None:
        """Send everybody away; the daemon stops."""
        self._closed = True
        for listener in self._listeners:
            listener.lose()


STREAM: Final[web.AppKey[Stream]] = web.AppKey("stream", Stream)
