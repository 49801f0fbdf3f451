"""Who flaps: components that go up and down too often to tell each time. Pure.

Rule: flapping begins with the n-th change within a span and is over when nothing changed for a
while; both are told, nothing in between is. Changes are beginnings and ends of outages; trials do
not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cbmon.notify.board import Rows

FLAP_ROW: Final = "flap:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flapping:
    """When a component flaps; ``within`` and ``settle`` in seconds. No changes: it never does."""

    changes: int = 5
    within: float = 600.0
    settle: float = 300.0


@dataclass(frozen=True, slots=True)
class _Record:
    changes: tuple[float, ...] = ()
    flaps: bool = False


class Damper:
    """Counts the changes of each component."""

    def __init__(
        self, rules: Flapping, rows: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        self.rules = rules
        self._records = {
            key.removeprefix(FLAP_ROW): _Record(tuple(row["changes"]), bool(row["flaps"]))
            for key, row in sorted((rows or {}).items(), key=lambda pair: pair[0])
            if key.startswith(FLAP_ROW)
        }

    def flaps(self, component: str) -> bool:
        """Whether it flaps now."""
        return component in self._records and self._records[component].flaps

    def change(self, component: str, now: float) -> Rows:
        """Its outage began or ended; the rows that changed."""
        if self.rules.changes <= 0:
            return {}
        known = self._records.pop(component, _Record())
        first = now - self.rules.within
        recent = (*(at for at in known.changes if first < at <= now), now)
        recent = recent[-self.rules.changes :]
        flaps = known.flaps or len(recent) >= self.rules.changes
        self._records[component] = _Record(recent, flaps)
        return self._forgotten(now) | {_row(component): {"changes": recent, "flaps": flaps}}

    @property
    def next_settling(self) -> float | None:
        """When the first flapping component will have settled, if it does not change again."""
        last = (record.changes[-1] for record in self._records.values() if record.flaps)
        return min((at + self.rules.settle for at in last), default=None)

    def settled(self, now: float) -> tuple[list[str], Rows]:
        """Who has come to rest, and the rows that changed."""
        calm = [
            name
            for name, record in self._records.items()
            if record.flaps and record.changes[-1] + self.rules.settle <= now
        ]
        for name in calm:
            del self._records[name]
        return calm, {_row(name): None for name in calm}

    def _forgotten(self, now: float) -> Rows:
        """Records too old to matter go with the next write; the oldest are first."""
        old: list[str] = []
        for name, record in self._records.items():
            if record.flaps:
                continue
            if record.changes[-1] > now - self.rules.within:
                break
            old.append(name)
        for name in old:
            del self._records[name]
        return {_row(name): None for name in old}


def _row(component: str) -> str:
    return f"{FLAP_ROW}{component}"
