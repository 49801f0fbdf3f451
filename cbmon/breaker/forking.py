"""What comes along into a child made by ``fork``, and what does not.

Rules:

* A lock that another thread held at the moment of the fork is free in the child, where that
  thread does not exist.
* Calls that began before the fork are the parent's. In the child they are stale: they hold no
  permit and nest nothing, since threads of the child get the numbers of threads that are gone.
* Everything else is as it was: state, windows, deadlines.

Breakers share a few locks, because a child cannot find all breakers to mend one in each; they
find out by :data:`process` when they are next used.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import cycle
from threading import RLock
from typing import Any, Final, Protocol, cast
from weakref import WeakSet


class Remade(Protocol):
    """What wants to know that it is in a child now."""

    def _in_child(self) -> None: ...


class Process:
    """``token`` is another object in each process."""

    __slots__ = ("token",)

    def __init__(self) -> None:
        self.token = object()


process: Final = Process()
LOCKS: Final[tuple[Any, ...]] = tuple(RLock() for _ in range(64))
"""A section under a lock takes microseconds and runs nobody else's code, so few are enough."""
_next: Final = cycle(LOCKS)
_known: Final[WeakSet[Any]] = WeakSet()
_others: Final[list[Callable[[], None]]] = []


def shared_lock() -> Any:
    """A re-entrant lock that no fork leaves behind locked."""
    return next(_next)


def remember(one: Remade) -> None:
    """Call ``one._in_child()`` in every child, as long as it lives."""
    _known.add(one)


def also(action: Callable[[], None]) -> None:
    """Call ``action`` in every child."""
    _others.append(action)


def in_child() -> None:
    """This process is a child, and nothing has run in it yet."""
    process.token = object()
    for lock in LOCKS:
        if not lock._is_owned():  # noqa: SLF001 - by this thread, which is the one there is
            lock._at_fork_reinit()  # noqa: SLF001 - as the standard library does with its own
    for action in _others:
        action()
    for one in list(_known):
        cast("Remade", one)._in_child()  # noqa: SLF001 - the protocol above


if hasattr(os, "register_at_fork"):  # pragma: no branch - not on Windows
    os.register_at_fork(after_in_child=in_child)
