"""Where a breaker's time comes from.

Rule: durations and deadlines are monotonic, wall time is for display and persistence only. The
machine reads neither; the shell around it does.
"""

from __future__ import annotations

import time
from typing import Final, Protocol


class Clock(Protocol):
    """Any object that tells both times, in seconds."""

    def monotonic(self) -> float:
        """Time that never goes back; only differences mean anything."""
        ...

    def time(self) -> float:
        """Unix time."""
        ...


class SystemClock:
    """The machine's own clocks: ``time.monotonic`` and ``time.time``, without a detour."""

    __slots__ = ()
    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)


SYSTEM_CLOCK: Final = SystemClock()
