"""The seams of the daemon as Protocols, and the attempt that a caller hands to a probe.

Rule: the caller owns the deadline, the stopwatch and the common metrics; the one who is called
only looks, pushes or delivers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, runtime_checkable

from cbmon.events import Action, Transition
from cbmon.keeping import RecordStore, SettingsStore
from cbmon.model import Delivery, Message, MessageState, Phase, Phases, Reason, Result
from cbmon.results.store import ResultStore


class Clock(Protocol):
    """Where time comes from. Both in seconds."""

    def monotonic(self) -> float:
        """Time that never goes back; only differences mean anything."""
        ...

    def time(self) -> float:
        """Unix time, for display and persistence."""
        ...


_PLACE: Final = {phase: place for place, phase in enumerate(Phase)}


class Attempt:
    """One run: its stopwatch, its deadline and what was seen so far.

    The caller makes it, the probe marks phases and facts on it as they happen, so that a run
    cut off at its deadline still shows how far it came. Times are on ``clock``'s monotonic axis.
    """

    __slots__ = (
        "_begun", "_clock", "_phase", "_spent",
        "avoid", "facts", "offered", "started", "taken", "timeout",
    )  # fmt: skip

    def __init__(
        self, clock: Callable[[], float], timeout: float, *, avoid: frozenset[str] = frozenset()
    ) -> None:
        self._clock = clock
        self._phase: Phase | None = None
        self._begun = 0.0
        self._spent = [0.0] * len(_PLACE)
        self.started = clock()
        self.timeout = timeout
        self.facts: dict[str, Any] = {}
        self.avoid = avoid
        """Addresses to which any other one of the same name is preferred."""
        self.offered: tuple[str, ...] = ()
        """The addresses that the first name of the run had."""
        self.taken: str | None = None
        """The one of them that was tried."""

    @property
    def remaining(self) -> float:
        """Seconds left until the deadline, never negative."""
        return max(0.0, self.started + self.timeout - self._clock())

    @property
    def phase(self) -> Phase | None:
        """The phase that is going on."""
        return self._phase

    def begin(self, phase: Phase, at: float | None = None) -> None:
        """End the phase that is going on and begin ``phase``; a phase may be begun again."""
        now = self._clock() if at is None else at
        if self._phase is not None and now > self._begun:
            self._spent[_PLACE[self._phase]] += now - self._begun
        self._phase, self._begun = phase, now

    def end(self, at: float | None = None) -> None:
        """End the phase that is going on, if any."""
        if self._phase is not None:
            self.begin(self._phase, at)
            self._phase = None

    def add(self, phase: Phase, seconds: float) -> None:
        """Add time measured elsewhere to a phase."""
        self._spent[_PLACE[phase]] += seconds

    def spent(self, phase: Phase) -> float:
        """Seconds spent in a phase so far, without the one that is going on."""
        return self._spent[_PLACE[phase]]

    def passed(self, *, certificate_expiry: float | None = None) -> Result:
        """The result of a run that found what it expected."""
        return self._result(None, None, certificate_expiry)

    def failed(
        self, reason: Reason, error: str, *, certificate_expiry: float | None = None
    ) -> Result:
        """The result of a run that did not; ``error`` is for a person and holds no secret."""
        return self._result(reason, error, certificate_expiry)

    def _result(self, reason: Reason | None, error: str | None, expiry: float | None) -> Result:
        now = self._clock()
        self.end(now)
        return Result(
            ok=reason is None,
            duration=now - self.started,
            reason=reason,
            error=error,
            phases=Phases(*self._spent),
            certificate_expiry=expiry,
            facts=self.facts,
        )


class Probe(Protocol):
    """Looks at one target once per call."""

    async def run(self, attempt: Attempt) -> Result:
        """Look, and say what was found. Cancelled at the deadline by the caller."""
        ...

    async def close(self) -> None:
        """Give back what it holds between runs."""
        ...


class Light(Probe, Protocol):
    """A probe whose runs are over soon and use nothing that wants a task around them."""

    light: bool
    """Whether that is so; a probe without it is run in a task."""


@runtime_checkable
class Lasting(Protocol):
    """A probe that has a memory of its own, which is part of its check's snapshot."""

    def snapshot(self) -> dict[str, Any]:
        """What a restart needs, JSON-able."""
        ...

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Take up a snapshot; one that makes no sense leaves the probe as new."""
        ...


class Export(Protocol):
    """Hands the daemon's metrics on."""

    async def run(self, attempt: Attempt, exposition: Exposition) -> Result:
        """Push or write the present metrics once. Cancelled at the deadline by the caller."""
        ...

    async def close(self) -> None:
        """Give back what it holds between runs."""
        ...


class Exposition(Protocol):
    """Renders every exported metric as it is now."""

    def text(self) -> bytes:
        """In the Prometheus text format 0.0.4."""
        ...

    def openmetrics(self) -> bytes:
        """In the OpenMetrics 1.0 text format."""
        ...

    async def render(self, *, openmetrics: bool = False) -> bytes:
        """The same as either, in slices between which the event loop goes on."""
        ...


class Receiver(Protocol):
    """Delivers messages to one place."""

    async def deliver(self, message: Message) -> Delivery:
        """Deliver one message. Cancelled at the deadline by the caller."""
        ...

    async def close(self) -> None:
        """Give back what it holds between deliveries."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What one database transaction makes durable: moves, what people did, and the messages."""

    transitions: Sequence[Transition] = ()
    messages: Sequence[Message] = ()
    snapshots: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Besides those that the transitions carry."""
    actions: Sequence[Action] = ()
    planning: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)
    """What lines know and wait for, by key; None is a row that goes."""


class Store(Protocol):
    """What survives a restart. Every method raises ``StoreError`` and nothing else.

    Writing the same event or message id again changes nothing, so a write whose outcome is
    unknown may be repeated.
    """

    @property
    def settings(self) -> SettingsStore:
        """Settings of breakers that were made at run time."""
        ...

    @property
    def record(self) -> RecordStore:
        """Events of every kind, and the audit log."""
        ...

    @property
    def results(self) -> ResultStore:
        """What runs found, over time."""
        ...

    async def open(self) -> None:
        """Lock, connect and migrate; ``LockedError`` when another daemon has it."""
        ...

    async def close(self) -> None:
        """Write out what is waiting and disconnect."""
        ...

    async def breakers(self) -> dict[str, dict[str, Any]]:
        """The last snapshot of every breaker, by component."""
        ...

    async def commit(self, commit: Commit) -> None:
        """Make it durable, all or nothing, before returning (synchronous=FULL on SQLite)."""
        ...

    async def save_snapshots(self, snapshots: Mapping[str, Mapping[str, Any]]) -> None:
        """Refresh counters between moves; may be lost in a power cut (synchronous=NORMAL)."""
        ...

    async def forget(self, components: Sequence[str]) -> None:
        """Drop the snapshots, and end the incidents, of what is no longer configured."""
        ...

    async def transitions(
        self, *, component: str | None = None, limit: int = 100, before: str | None = None
    ) -> list[dict[str, Any]]:
        """Moves, newest first; ``before`` is the event id to page on from."""
        ...

    async def incidents(
        self, *, open_only: bool = False, limit: int = 100, before: str | None = None
    ) -> list[dict[str, Any]]:
        """Incidents, newest first, each with the ``receivers`` that were told of it and the
        highest ``sequence`` among its messages; ``before`` is the incident id to page on from."""
        ...

    async def planning(self) -> dict[str, dict[str, Any]]:
        """What lines know and wait for, as it was last committed, by key."""
        ...

    async def silences(self, *, ends_after: float | None = None) -> list[dict[str, Any]]:
        """Silences, the newest first; those that end later than that Unix time, or all."""
        ...

    async def save_silence(self, silence: Mapping[str, Any]) -> None:
        """Add a silence, or replace the one of the same ``id``."""
        ...

    async def audit(self, *, limit: int = 100, before: str | None = None) -> list[dict[str, Any]]:
        """What people did, newest first; ``before`` is the event id to page on from."""
        ...

    async def pending(self, receiver: str, *, now: float, limit: int = 100) -> list[Message]:
        """Messages of a receiver to try now: the head of each incident's line, oldest first.

        One that is due in more than two hours counts as due: the wall clock went back.
        """
        ...

    async def next_attempt(self, receiver: str) -> float | None:
        """When the earliest head of a line is to be tried, in Unix seconds; None without any."""
        ...

    async def line(self, receiver: str, incident: str) -> list[Message]:
        """Every message of an incident for a receiver, in order, whatever became of it."""
        ...

    async def lines(self, receiver: str, incidents: Sequence[str]) -> dict[str, list[Message]]:
        """The same for many incidents at once."""
        ...

    async def messages(
        self,
        *,
        receiver: str | None = None,
        state: MessageState | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> list[Message]:
        """Messages, newest first; ``before`` is the message id to page on from."""
        ...

    async def delivered(self, message_id: str, *, at: float) -> None:
        """The receiver has it."""
        ...

    async def postponed(self, message_id: str, *, next_attempt_at: float, error: str) -> None:
        """An attempt failed; try again then."""
        ...

    async def buried(self, message_id: str, *, at: float, error: str) -> None:
        """It cannot be delivered: a dead letter."""
        ...

    async def dropped(self, message_ids: Sequence[str], *, at: float, reason: str) -> None:
        """They are not worth telling any more."""
        ...

    async def resend(self, message_id: str, *, now: float) -> bool:
        """Put a dead letter, and what was dropped behind it, back in line; False if none is."""
        ...

    async def expire(self, *, before: float, at: float, keep: Sequence[str]) -> int:
        """Bury what was made before then for receivers other than ``keep``; how many."""
        ...

    async def backlog(self) -> dict[str, tuple[int, float | None, int]]:
        """By receiver: undelivered messages, when the oldest was made, dead letters."""
        ...

    async def prune(self, *, before: float) -> int:
        """Drop history older than that Unix time; how many rows went."""
        ...
