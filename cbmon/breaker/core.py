"""The shell around the machine: clock, lock, listeners, and who is inside a call.

Rules:

* No lock is held while the protected call, a predicate or a listener runs.
* The lock is re-entrant: a finaliser that the collector runs inside the section may come back.
* Inside the section the lanes are closed: :meth:`Core.advance` closes them, ``refresh`` at its
  end opens them again.
* Events are told in order, one at a time, by whoever finds them waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from cbmon.breaker.arguments import check_called, several
from cbmon.breaker.counts import Counts, count
from cbmon.breaker.forking import process, shared_lock
from cbmon.breaker.gate import hold, refresh, reshape
from cbmon.breaker.machine import Machine

if TYPE_CHECKING:
    from asyncio import Timeout

    from cbmon.breaker.clock import Clock
    from cbmon.breaker.events import BreakerEvent
    from cbmon.breaker.histogram import Histogram

T = TypeVar("T")
Listener = Callable[[Any], object]

_NONE: Final[tuple[tuple[Listener, frozenset[str]], ...]] = ()
_SHARED: Final[dict[frozenset[str], frozenset[str]]] = {}
"""Sets of kinds by themselves: there are few, and each takes 216 bytes."""


class Core:
    """One machine with what it needs to live in a program.

    ``machine.inside`` and ``owners`` hold the tasks and threads that are inside a call: the
    first one there is in the slot, which is cheaper than the dict. The dict's values are the
    blocks of ``with`` statements, None for other calls; what is in the slot is a block while
    ``machine.block`` has its permit.
    """

    __slots__ = (
        "born", "clock", "fallback", "histogram", "listener_errors", "listeners", "lock", "machine",
        "monotonic", "owners", "telling",
    )  # fmt: skip

    def __init__(
        self, machine: Machine, clock: Clock, fallback: Callable[[Any], Any] | None
    ) -> None:
        self.machine = machine
        self.clock = clock
        self.monotonic = clock.monotonic
        self.fallback = fallback
        self.lock = shared_lock()
        self.born = process.token
        self.owners: dict[object, Any] = {}
        self.listeners: tuple[tuple[Listener, frozenset[str]], ...] = _NONE
        self.listener_errors = 0
        self.telling = False
        self.histogram: Histogram | None = None

    # --- in the section --------------------------------------------------------------------

    def advance(self) -> Machine:
        """Bring the machine to the clock's time; hold the lock, and refresh before letting go."""
        machine = self.machine
        if self.born is not process.token:
            self.come_along()
        machine.advance(self.monotonic(), self.clock.time())
        return machine

    def come_along(self) -> None:
        """This process is a child of the one in which calls were under way: they are not ours."""
        with self.lock:
            if self.born is not process.token:
                self.born = process.token
                self.telling = False
                self.owners.clear()
                hold(self.machine)
                self.machine.begin_in_child()
                refresh(self.machine)

    def do(self, action: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        """Let a command act on the machine at the clock's time, and tell what came of it."""
        try:
            with self.lock:
                machine = self.advance()
                try:
                    action(machine, *args, **kwargs)
                finally:
                    refresh(machine)
        finally:
            self.tell()

    def enter(self, me: object, block: Any = None) -> int:
        """A permit for a guarded call of ``me``, who is registered with it; or 0."""
        try:
            with self.lock:
                machine = self.advance()
                permit = machine.acquire(alone=self.is_empty())
                if permit:
                    self.owners[me] = block  # at once, see Machine.acquire
                refresh(machine)
            self.tell()
        except BaseException:
            self.abandon(me)
            raise
        return permit

    def is_empty(self) -> bool:
        """Whether nobody is inside a call and no permit is out."""
        return not self.owners and self.machine.inside is None and not self.machine.out

    def abandon(self, me: object) -> None:
        """Whatever became of the call of ``me``, it is over: whoever stays registered would pass
        uncounted for ever. For what an interrupt, a broken clock or a lack of stack leaves."""
        if self.machine.inside is me:
            self.machine.inside = None
            self.machine.block = 0
        elif me in self.owners:
            del self.owners[me]

    def record(
        self,
        me: object,
        permit: int,
        begun: float | None,
        *,
        failed: bool,
        reason: str | None = None,
        error: str | None = None,
        ended: float | None = None,
    ) -> None:
        """The outcome of a guarded call of ``me`` that began at ``begun`` and ends now, or did."""
        with self.lock:
            machine = self.advance()
            self._leave(me)
            duration = None
            if begun is not None:
                duration = max(0.0, (machine.now if ended is None else ended) - begun)
            self.count_outcome(permit, duration, failed=failed, reason=reason, error=error)
            refresh(machine)
        self.tell()

    def count_outcome(
        self,
        permit: int,
        duration: float | None,
        *,
        failed: bool,
        reason: str | None,
        error: str | None,
    ) -> None:
        """Tell the machine, and the histogram if it counts; hold the lock."""
        counted = self.machine.record(
            permit, failed=failed, duration=duration, reason=reason, error=error
        )
        if counted and duration is not None and self.histogram is not None:
            self.histogram.observe(duration)

    def release(self, me: object, permit: int, *, ignored: bool = False) -> None:
        """The guarded call of ``me`` ended without a verdict."""
        with self.lock:
            machine = self.advance()
            self._leave(me)
            machine.release(permit, ignored=ignored)
            refresh(machine)
        self.tell()

    def release_unused(self, me: object, permit: int) -> None:
        """The permit was not needed after all; nobody is told."""
        with self.lock:
            machine = self.advance()
            self._leave(me)
            machine.give_back(permit)
            refresh(machine)

    def _leave(self, me: object) -> None:
        if self.machine.inside is me:
            self.machine.inside = None
            self.machine.block = 0
        else:
            self.owners.pop(me, None)

    def look(self, view: Callable[[Machine, Counts], T]) -> T:
        """What ``view`` makes of the machine and the numbers of this moment."""
        with self.lock:
            machine = self.advance()
            histogram = None if self.histogram is None else self.histogram.copy()
            seen = view(machine, count(machine, *self._passing(), histogram))
            refresh(machine)
        self.tell()
        return seen

    def _passing(self) -> tuple[int, int]:
        """Successes and calls inside the guard at one moment.

        A lane that read its generation before it was closed may still move a call across.
        """
        machine = self.machine
        while True:
            before = machine.successes
            running = len(self.owners) + (machine.inside is not None)
            if machine.successes == before:
                return before, running

    # --- around it -------------------------------------------------------------------------

    def begin(self) -> float | None:
        """When the call began, if anybody wants to know how long it takes."""
        return self.monotonic() if self.machine.timed else None

    def end(self, begun: float | None) -> float | None:
        """When it ended, likewise."""
        return None if begun is None else self.monotonic()

    def timeout(self) -> Timeout | None:
        """The scope of ``call_timeout``, on the event loop's clock."""
        limit = self.machine.policy.call_timeout
        if limit is None:
            return None
        import asyncio  # costs more than the whole library; it is loaded by now

        try:
            return asyncio.timeout(limit)
        except RuntimeError:
            raise RuntimeError(
                f"no running event loop: call_timeout of circuit breaker {self.machine.name!r} "
                "needs asyncio; elsewhere leave it out and use that library's own timeout"
            ) from None

    # --- listeners -------------------------------------------------------------------------

    def tell(self) -> None:
        """Tell what is waiting, outside the lock; does nothing while somebody else does."""
        machine = self.machine
        while machine.events:
            batch: list[BreakerEvent] | None = None
            try:
                with self.lock:
                    if self.telling or not machine.events:
                        return
                    batch, machine.events, self.telling = machine.events, None, True  # at once
                while batch:
                    self._tell(batch.pop(0))
            finally:
                # first this: an interrupt may lose events, never listeners
                self.telling = self.telling and batch is None
                if batch:
                    self._put_back(batch)

    def _put_back(self, untold: list[BreakerEvent]) -> None:
        """What an interrupt left over is told next time."""
        with self.lock:
            self.machine.events = [*untold, *(self.machine.events or ())]

    def _tell(self, event: BreakerEvent) -> None:
        for listener, kinds in self.listeners:
            if event.kind in kinds:
                try:
                    listener(event)
                except Exception as error:  # noqa: BLE001 - the bus: it harms nobody else
                    self.listener_errors += 1
                    _log(self.machine.name, event.kind, error)

    def listen(self, listener: Listener, kinds: Iterable[str] | None) -> None:
        """Add a listener for some kinds, or for all."""
        check_called(listener, "listener", "listener(event)")
        from cbmon.breaker.events import KINDS  # here, so that events are there when one is told

        asked = KINDS if kinds is None else frozenset(several(kinds, "kinds", "kinds of event"))
        if unknown := asked - KINDS:
            raise ValueError(f"kinds: {sorted(unknown)} are not allowed; expected {sorted(KINDS)}")
        wanted = _shared(asked)
        with self.lock:
            self._hear((*self.listeners, (listener, wanted)))

    def unlisten(self, listener: Listener) -> None:
        """Take a listener away, however often it was added."""
        with self.lock:
            left = tuple(pair for pair in self.listeners if pair[0] != listener)
            if len(left) == len(self.listeners):
                raise ValueError(f"listener: {listener!r} does not listen to {self.machine.name!r}")
            self._hear(left)

    def _hear(self, listeners: tuple[tuple[Listener, frozenset[str]], ...]) -> None:
        machine = self.machine
        hold(machine)
        self.listeners = listeners
        machine.heard = _shared(frozenset().union(*(kinds for _, kinds in listeners)))
        reshape(machine)
        refresh(machine)


def _shared(kinds: frozenset[str]) -> frozenset[str]:
    return _SHARED.setdefault(kinds, kinds)


def _log(name: str, kind: str, error: Exception) -> None:
    import logging  # costs a third of the library's import, for a rare case

    log = logging.getLogger("cbmon.breaker")
    log.error("listener failed breaker=%s kind=%s", name, kind, exc_info=error)
