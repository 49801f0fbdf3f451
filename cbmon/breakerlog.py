"""Log lines of a program's breakers: every move with its cause, and that calls are rejected.

Rule: moves are worded by :func:`cbmon.breaker.narration.log_transitions`. The first rejection of an
outage is a WARNING; after that one line per ``every`` seconds says how many there were.
"""

from __future__ import annotations

import logging
import threading

from cbmon.breaker import State, TransitionEvent
from cbmon.breaker.clock import Clock, SystemClock
from cbmon.breaker.events import BreakerEvent
from cbmon.breaker.narration import log_transitions

_LOG = logging.getLogger("cbmon.breaker")
_SHUT = frozenset({State.OPEN, State.FORCED_OPEN, State.DISABLED})


class BreakerLog:
    """A listener that writes log lines; give it to a breaker or a registry as ``listeners=[…]``.

    They go to the logger ``cbmon.breaker``; ``every`` is in seconds.

        >>> from cbmon import BreakerRegistry
        >>> users = BreakerRegistry(listeners=[BreakerLog()])
    """

    kinds = ("transition", "rejected")

    def __init__(self, *, every: float = 60.0, clock: Clock | None = None) -> None:
        self._every = every
        self._now = (SystemClock() if clock is None else clock).monotonic
        self._lock = threading.Lock()
        self._rejected: dict[str, tuple[float, int]] = {}

    def __call__(self, event: BreakerEvent) -> None:
        """Write what an event means."""
        if isinstance(event, TransitionEvent):
            if event.from_state in _SHUT:
                with self._lock:
                    self._rejected.pop(event.name, None)
            log_transitions(event)
        elif event.kind == "rejected":
            self._rejection(event.name)

    def _rejection(self, name: str) -> None:
        now = self._now()
        with self._lock:
            last, more = self._rejected.get(name, (None, 0))
            if last is not None and now - last < self._every:
                self._rejected[name] = (last, more + 1)
                return
            self._rejected[name] = (now, 0)
        _LOG.warning("calls are rejected name=%s more=%d", name, more)
