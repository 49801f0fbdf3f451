"""Sockets of probes, watched by one epoll instance beside the event loop's own.

Rule: the event loop watches this one descriptor, and a socket costs one call to enter and one to
leave, whichever loop it is. What is told may be said of a socket that had the same number a moment
ago: who is told looks for itself. There is none where the system has no epoll.
"""

from __future__ import annotations

import asyncio
import logging
import select
from typing import Final, Protocol

log = logging.getLogger(__name__)

AVAILABLE: Final = hasattr(select, "epoll")
READ: Final = 1  # EPOLLIN
WRITE: Final = 4  # EPOLLOUT
AT_ONCE: Final = 64
"""Sockets that are told of before the loop may do something else."""


class Watched(Protocol):
    """Has a socket, and wants to hear of it."""

    def ready(self, events: int) -> None:
        """There is something to read, or room to write, or an error."""
        ...

    def abort(self) -> None:
        """Close the socket at once."""
        ...


class Watcher:
    """Tells whose socket is ready; usable from one event loop."""

    def __init__(self) -> None:
        self._epoll: select.epoll | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watched: dict[int, Watched] = {}

    def watch(self, descriptor: int, events: int, watched: Watched) -> None:
        """Tell of a socket from now on, as long as there is something to tell."""
        epoll = self._epoll or self._opened()
        epoll.register(descriptor, events)
        self._watched[descriptor] = watched

    def change(self, descriptor: int, events: int) -> None:
        """Tell of something else."""
        assert self._epoll is not None  # noqa: S101 - for the type checker
        self._epoll.modify(descriptor, events)

    def forget(self, descriptor: int) -> None:
        """Tell nothing any more; before the socket is closed."""
        del self._watched[descriptor]
        assert self._epoll is not None  # noqa: S101 - for the type checker
        self._epoll.unregister(descriptor)

    async def close(self) -> None:
        """Close every socket that is left."""
        for one in tuple(self._watched.values()):
            one.abort()
        if self._epoll is not None and self._loop is not None:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None

    def _opened(self) -> select.epoll:
        self._epoll = epoll = select.epoll()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(epoll.fileno(), self.look)
        return epoll

    def look(self) -> None:
        """Tell of what is ready now; the event loop calls this too."""
        if self._epoll is None:
            return
        watched = self._watched
        for descriptor, events in self._epoll.poll(0, AT_ONCE):
            found = watched.get(descriptor)  # one before it may have closed this one
            if found is None:
                continue
            try:
                found.ready(events)
            except Exception:
                log.exception("connection dropped, which is a defect of cbmon")
                found.abort()
