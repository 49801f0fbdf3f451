"""Another receiver for what one cannot deliver.

Rule: handed over, never moved: the first receiver is still tried, and whoever was told of an outage
in its place is told of its end too. Handing the same message over again changes nothing.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

from cbmon.interfaces import Commit, Store
from cbmon.model import Message, MessageState
from cbmon.notify.outbox import absorbed

REMEMBERED: Final = 10_000
"""Messages of which is known without asking the store that they are handed over."""


class Relief:
    """Hands the messages of one line to others."""

    def __init__(
        self, line: str, *, store: Store, wake: Callable[[Iterable[str] | None], None]
    ) -> None:
        self._line = line
        self._store = store
        self._wake = wake
        self._handed: OrderedDict[str, None] = OrderedDict()

    async def hand_over(self, message: Message, to: Sequence[str]) -> None:
        """Put it into the outbox of other lines; durable when this returns. Raises StoreError."""
        if not to or message.id in self._handed:
            return
        copies = [copy_for(message, line) for line in to]
        await self._store.commit(Commit(messages=copies))
        self._handed[message.id] = None
        while len(self._handed) > REMEMBERED:
            self._handed.popitem(last=False)
        self._wake(to)

    async def hand_over_what_follows(self, message: Message, to: Sequence[str]) -> None:
        """Hand it over if one before it was: who knows of the beginning wants to know the end."""
        earlier = [_elsewhere(thread, message.receiver) for thread in absorbed(message)]
        earlier += [thread_of(message)] if message.sequence > 1 else []
        if not to or not earlier or message.id in self._handed:
            return
        for line in to:
            if any((await self._store.lines(line, earlier)).values()):
                await self.hand_over(message, to)
                return


def thread_of(message: Message) -> str:
    """The thread of its copies; a thread of their own, as a line may know of the outage anyhow."""
    return _elsewhere(message.incident, message.receiver)


def _elsewhere(thread: str, line: str) -> str:
    return f"{thread}~{line}"


def copy_for(message: Message, line: str) -> Message:
    """The same for another line, of the same age."""
    digest = hashlib.sha256(f"{message.id}\0{line}".encode()).hexdigest()
    body = dict(message.body)
    if threads := absorbed(message):
        body["absorbs"] = [_elsewhere(thread, message.receiver) for thread in threads]
    return replace(
        message,
        id=f"msg_{digest[:32]}",
        receiver=line,
        incident=thread_of(message),
        body=body | {"instead_of": message.receiver, "receiver": line.partition("/")[0]},
        attempts=0,
        next_attempt_at=0.0,
        last_error=None,
        state=MessageState.PENDING,
    )
