"""The shell around the machine: clock, lock, listeners, and who is inside a call.

Rules:

* No lock is held while the protected call, a predicate or a listener runs.
* The lock is re-entrant: a finaliser that the collector runs inside the section may come back.
* Events are told in order, one at a time, by whoever finds them waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import RLock
from typing import TYPE_CHECKING, Any

from cbmon.breaker.counts import Counts, count
from cbmon.breaker.events import KINDS, BreakerEvent
from cbmon.breaker.machine import Machine

if TYPE_CHECKING:
    from asyncio import Timeout

    from cbmon.breaker.clock import Clock
    from cbmon.breaker.histogram import Histogram

Listener = Callable[[Any], object]


class Core:
    """One machine with what it needs to live in a program."""

    __slots__ = (
        "clock", "fallback", "histogram", "listener_errors", "listeners", "lock", "machine",
        "monotonic", "owners", "telling",
    )  # fmt: skip

    def __init__(self, machine: Machine, clock: Clock, fallback: Callable[[Any], Any] | None):
        self.machine = machine
        self.clock = clock
        self.monotonic = clock.monotonic
        self.fallback = fallback
        self.lock = RLock()
        self.owners: dict[object, Any] = {}
        self.listeners: tuple[tuple[Listener, frozenset[str]], ...] = ()
        self.listener_errors = 0
        self.telling = False
        self.histogram: Histogram | None = None

    def advance(self) -> Machine:
        """Bring the machine to the clock's time; hold the lock."""
        machine = self.machine
        machine.advance(self.monotonic(), self.clock.time())
        return machine

    def do(self, action: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        """Let a command act on the machine at the clock's time, and tell what came of it."""
        try:
            with self.lock:
                action(self.advance(), *args, **kwargs)
        finally:
            self.tell()

    def enter(self, *, streaming: bool = False) -> int:
        """A permit for a guarded call, or 0; ``streaming`` calls have no owner while they wait."""
        with self.lock:
            machine = self.advance()
            permit = machine.acquire()
            if permit and streaming:
                machine.out += 1
        self.tell()
        return permit

    def leave_stream(self) -> None:
        """A streaming call is over."""
        with self.lock:
            self.machine.out = max(0, self.machine.out - 1)

    def begin(self) -> float | None:
        """When the call began, if anybody wants to know how long it takes."""
        if self.histogram is None and not self.machine.policy.measures:
            return None
        return self.monotonic()

    def end(self, begun: float | None) -> float | None:
        """When it ended, likewise."""
        return None if begun is None else self.monotonic()

    def timeout(self) -> Timeout | None:
        """The scope of ``call_timeout``, on the event loop's clock."""
        limit = self.machine.policy.call_timeout
        if limit is None:
            return None
        import asyncio  # noqa: PLC0415 - costs more than the whole library; it is loaded by now

        return asyncio.timeout(limit)

    def record(
        self,
        permit: int,
        begun: float | None,
        *,
        failed: bool,
        reason: str | None = None,
        error: str | None = None,
        ended: float | None = None,
    ) -> None:
        """The outcome of a guarded call that began at ``begun`` and ends now, or did before."""
        with self.lock:
            machine = self.advance()
            duration = None
            if begun is not None:
                duration = max(0.0, (machine.now if ended is None else ended) - begun)
                if self.histogram is not None:
                    self.histogram.observe(duration)
            machine.record(permit, failed=failed, duration=duration, reason=reason, error=error)
        self.tell()

    def release(self, permit: int, *, ignored: bool = False) -> None:
        """The guarded call ended without a verdict."""
        with self.lock:
            self.advance().release(permit, ignored=ignored)
        self.tell()

    def release_unused(self, permit: int) -> None:
        """The permit was not needed after all; nobody is told."""
        with self.lock:
            self.advance().give_back(permit)

    def tell(self) -> None:
        """Tell what is waiting, outside the lock; does nothing while somebody else does."""
        machine = self.machine
        while machine.events:
            with self.lock:
                if self.telling or not machine.events:
                    return
                batch, machine.events = machine.events, None
                self.telling = True
            try:
                for event in batch:
                    self._tell(event)
            finally:
                self.telling = False

    def _tell(self, event: BreakerEvent) -> None:
        for listener, kinds in self.listeners:
            if event.kind in kinds:
                try:
                    listener(event)
                except Exception:  # noqa: BLE001 - the bus: a listener harms nobody else
                    self.listener_errors += 1
                    _log(self.machine.name, event.kind)

    def listen(self, listener: Listener, kinds: Iterable[str] | None) -> None:
        """Add a listener for some kinds, or for all."""
        wanted = KINDS if kinds is None else frozenset(kinds)
        if unknown := wanted - KINDS:
            raise ValueError(f"kinds: {sorted(unknown)} are not allowed; expected {sorted(KINDS)}")
        with self.lock:
            self.listeners = (*self.listeners, (listener, wanted))
            self.machine.heard |= wanted
            self.machine.refresh()

    def counts(self) -> Counts:
        """The numbers of this moment."""
        with self.lock:
            machine = self.advance()
            histogram = self.histogram and self.histogram.copy()
            return count(machine, len(self.owners), histogram)


def _log(name: str, kind: str) -> None:
    import logging  # noqa: PLC0415 - costs a third of the library's import, for the rare case

    logging.getLogger("cbmon.breaker").exception("listener failed breaker=%s kind=%s", name, kind)
