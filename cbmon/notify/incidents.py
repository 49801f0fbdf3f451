"""Open incidents, drawn from transitions: pure, no clock, no IO.

Rule: one outage is one incident, from first leaving closed until closed again, however often the
breaker tries in between.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from cbmon.events import Transition
from cbmon.model import UP_STATES

DOWN_STATES: Final = frozenset({"open", "forced_open", "disabled"})
"""The states that are an outage by themselves; half_open is only a look at one."""


class Change(StrEnum):
    """What a transition means for its incident."""

    NONE = "none"
    """No incident is concerned, such as closed → observe."""
    OPENED = "opened"
    UPDATED = "updated"
    """A trial, or its failure: silent."""
    DISABLED = "disabled"
    """It is not tried any more until someone enables it."""
    RECOVERED = "recovered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One outage. ``announced``: it was down, not only half-open."""

    id: str
    component: str
    started_at: float
    announced: bool = False
    trials: int = 0
    reason: str | None = None
    last_error: str | None = None


class Incidents:
    """The incidents that are open now."""

    def __init__(self, running: Iterable[Incident] = ()) -> None:
        self._running = {incident.id: incident for incident in running}
        self._down: dict[str, set[str]] = {}
        for incident in self._running.values():
            self._count(incident)

    @classmethod
    def restored(cls, rows: Iterable[Mapping[str, Any]]) -> Incidents:
        """From the store's open incidents."""
        return cls(
            Incident(
                id=row["id"],
                component=row["component"],
                started_at=row["started_at"],
                # One that was never down has only become half-open so far.
                announced=row["last_state"] in DOWN_STATES or row["moves"] > 1,
                trials=row["trials"],
                reason=row["reason"],
                last_error=row["last_error"],
            )
            for row in rows
        )

    def __iter__(self) -> Iterator[Incident]:
        return iter(self._running.values())

    def __len__(self) -> int:
        return len(self._running)

    @property
    def down(self) -> Collection[str]:
        """The components that have been down in an incident which is open."""
        return self._down.keys()

    def of(self, component: str) -> list[Incident]:
        """The open incidents of a component; one, unless the store and the monitor disagreed."""
        known = self._down.get(component, ())
        return [self._running[name] for name in sorted(known)]

    def follow(self, move: Transition) -> tuple[Change, Incident | None]:
        """Take up a transition: what it means, and the incident after it."""
        if move.incident is None:
            return Change.NONE, None
        known = self._running.get(move.incident)
        incident = _after(known or _begun(move), move)
        if move.to_state in UP_STATES:
            self.end(incident.id)
            was_down = known is not None and known.announced
            return (Change.RECOVERED if was_down else Change.NONE), incident
        change = _change(incident, move)
        followed = replace(incident, announced=incident.announced or change is Change.OPENED)
        self._running[incident.id] = followed
        self._count(followed)
        return change, followed

    def end(self, incident_id: str) -> None:
        """Forget an incident that is over, or whose component nobody watches any more."""
        incident = self._running.pop(incident_id, None)
        if incident is not None and incident_id in self._down.get(incident.component, ()):
            self._down[incident.component].discard(incident_id)
            if not self._down[incident.component]:
                del self._down[incident.component]

    def _count(self, incident: Incident) -> None:
        if incident.announced:
            self._down.setdefault(incident.component, set()).add(incident.id)


def _begun(move: Transition) -> Incident:
    assert move.incident is not None  # noqa: S101 - the caller has looked
    started = move.at if move.incident_started_at is None else move.incident_started_at
    return Incident(id=move.incident, component=move.component, started_at=started)


def _after(incident: Incident, move: Transition) -> Incident:
    return replace(
        incident,
        trials=incident.trials + (move.to_state == "half_open"),
        reason=str(move.reason) if move.reason is not None else incident.reason,
        last_error=move.last_error if move.last_error is not None else incident.last_error,
    )


def _change(incident: Incident, move: Transition) -> Change:
    if not incident.announced and move.to_state in DOWN_STATES:
        return Change.OPENED
    if move.to_state == "disabled":
        return Change.DISABLED
    return Change.UPDATED
