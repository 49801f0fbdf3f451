"""What the store keeps for operators besides history: run-time settings and the record of actions.

Rule: seams only, as in :mod:`cbmon.interfaces`. Every method raises ``StoreError`` and nothing
else. Times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from cbmon.events import Action, RunFailed

EVERY: Final = "*"
"""In the place of a breaker's name: the defaults for all."""

Texts = Mapping[str, str]
"""Settings as the columns of a row hold them; a column that is NULL is not in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsRow:
    """A row of ``breaker_settings``."""

    fields: Texts
    changed_at: float | None = None
    changed_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsState:
    """The table as it is, and what of it is in force. ``version`` grows with every change."""

    version: int = 0
    rows: Mapping[str, SettingsRow] = field(default_factory=dict)
    in_force: Mapping[str, Texts] = field(default_factory=dict)
    """What was accepted last of each row, a wrong edit since then not counted."""


class SettingsStore(Protocol):
    """The table of settings that people may edit."""

    async def version(self) -> int:
        """Grows with every change of the table, whoever makes it; cheap to ask."""
        ...

    def notices(self) -> AsyncGenerator[None, None]:
        """One item whenever the table may have been edited, sooner than a poll would find out;
        ends at once where the database tells nothing."""
        ...

    async def load(self) -> SettingsState:
        """Everything."""
        ...

    async def change(
        self, component: str, fields: Texts | None, *, action: Action, expected: int
    ) -> int | None:
        """Write or (None) delete a row and record the action, in one transaction.

        The new version; None, and nothing changed, if the version is not ``expected`` any more.
        """
        ...

    async def accept(self, fields: Mapping[str, Texts | None], actions: Sequence[Action]) -> None:
        """These edits of the table are in force now; recorded in the same transaction."""
        ...

    async def refusals(self, component: str, actor: str) -> tuple[str, ...]:
        """What was recorded against this row under that actor since it was last accepted, the
        newest first: what a start need not record again."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events; None is no limit. ``since`` and ``until`` are Unix seconds, both included."""

    component: str | None = None
    kinds: frozenset[str] | None = None
    actor: str | None = None
    action: str | None = None
    refused: bool | None = None
    since: float | None = None
    until: float | None = None


class RecordStore(Protocol):
    """What happened: runs that failed, moves, actions; and the proof that no action was edited."""

    async def events(
        self, wanted: EventFilter, *, limit: int, before: str | None = None
    ) -> list[dict[str, Any]]:
        """Events of every kind, newest first; ``before`` is the event id to page on from."""
        ...

    async def audit(
        self, wanted: EventFilter, *, limit: int, before: int | None = None
    ) -> list[dict[str, Any]]:
        """Actions and refusals, newest first; ``before`` is the ``seq`` to page on from."""
        ...

    async def verify(self) -> dict[str, Any]:
        """Whether the chain of actions is whole: ``ok``, ``rows``, ``head`` and, where it is not,
        ``broken`` with the first wrong row's ``seq``, ``id`` and why."""
        ...

    async def add_failures(self, failures: Sequence[RunFailed]) -> None:
        """Runs that failed; may be lost in a power cut."""
        ...
