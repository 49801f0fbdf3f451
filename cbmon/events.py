"""Facts of the daemon, as they go to the sinks (log, metrics, journal, live stream).

Rule: frozen, complete and JSON-able through :func:`as_json`; a sink needs nothing else. Times
are Unix seconds. The engine's own events live in :mod:`cbmon.breaker`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from cbmon.model import BreakerInfo, Category, Reason, SkipCause


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened. ``id`` sorts by time and is unique over restarts."""

    kind: ClassVar[str] = ""

    id: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition(Event):
    """A breaker moved. ``cause`` is the trigger's name; ``actor`` is set for a person's move.

    ``reason`` and ``last_error`` are those of the last failed run before the move. ``incident``
    names the outage this belongs to: set from first leaving closed until closed again, the
    closing move included. ``snapshot`` is the breaker's state after the move.
    """

    kind: ClassVar[str] = "transition"

    component: str
    category: Category
    from_state: str
    to_state: str
    cause: str
    text: str = ""
    """One sentence for a person: why it moved."""
    reason: Reason | None = None
    last_error: str | None = None
    actor: str | None = None
    incident: str | None = None
    incident_started_at: float | None = None
    retry_after: float | None = None
    """Seconds until the first trial, when it has a deadline."""
    failure_count: int = 0
    cycles: int = 0
    trips: int = 0
    info: BreakerInfo
    snapshot: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipStreak(Event):
    """Planned runs are being skipped from now on; told once per streak."""

    kind: ClassVar[str] = "skipped"

    component: str
    category: Category
    cause: SkipCause
    until: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFailed(Event):
    """A run of a check or export that failed."""

    kind: ClassVar[str] = "failed"

    component: str
    category: Category
    reason: Reason
    error: str
    duration: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Action(Event):
    """An operator's action, carried out or refused; the audit log is made of these.

    ``component`` is empty where it concerns none, ``*`` for the defaults of all breakers.
    ``request`` is the id of the HTTP request, ``details`` what else to know: JSON-able, no secret.
    """

    kind: ClassVar[str] = "action"

    component: str
    action: str
    actor: str
    text: str = ""
    refused: str | None = None
    request: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsChanged(Event):
    """Run-time settings came into force. ``changes`` is field → [before, after], None for unset.

    It is on record already, as an :class:`Action`, in the transaction that changed them.
    """

    kind: ClassVar[str] = "settings_changed"

    component: str
    actor: str
    text: str = ""
    request: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded(Event):
    """A configuration came into force, or was refused with its ``problems``."""

    kind: ClassVar[str] = "reload"

    ok: bool
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def as_json(event: Event) -> dict[str, Any]:
    """The event as a JSON-able dict with its ``kind``; a transition without its snapshot."""
    data = {"kind": event.kind, **asdict(event)}
    data.pop("snapshot", None)
    return data


_last_stamp = 0
_process = os.urandom(4).hex()


def new_id(at: float) -> str:
    """An id for an event at Unix time ``at``: unique over restarts, sorts in order of making.

    16 hex digits of microseconds, never going back within a process even if the clock does,
    then eight that are drawn once per process.
    """
    global _last_stamp  # noqa: PLW0603 - one sequence per process is the point
    _last_stamp = max(_last_stamp + 1, int(at * 1_000_000))
    return f"{_last_stamp:016x}-{_process}"
