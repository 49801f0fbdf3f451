"""The record of what people did, as the web asks for it and adds to it.

Rule: to record never waits and never fails. Of what anybody who reaches the port can provoke only
some in a minute are written, and the next one says how many were not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from cbmon.events import Action, Event, new_id
from cbmon.interfaces import Clock
from cbmon.keeping import EventFilter, RecordStore
from cbmon.settings.sheet import Author
from cbmon.store import Journal
from cbmon.web.refusals import Refusal
from cbmon.web.services import ReloadOutcome

MOST_OF_A_FLOOD: Final = 30
"""Of one actor and action in a minute."""
MINUTE: Final = 60.0
KINDS_KEPT: Final = 1000
MOST_SAID: Final = 2000
"""Characters of a refused configuration's problems that go on record."""
JUST_DONE: Final = 0.5
"""Seconds that a question waits for what was done right before it."""


class Recorder:
    """See :class:`cbmon.web.administration.Record`."""

    def __init__(
        self, store: RecordStore, journal: Journal, publish: Callable[[Event], None], clock: Clock
    ) -> None:
        self._store = store
        self._journal = journal
        self._publish = publish
        self._clock = clock
        self._counts: dict[tuple[str, str], tuple[float, int]] = {}

    async def events(
        self, wanted: EventFilter, *, limit: int, before: str | None = None
    ) -> list[dict[str, Any]]:
        """Events of every kind, newest first."""
        await self._journal.flush(JUST_DONE)
        return await self._store.events(wanted, limit=limit, before=before)

    async def audit(
        self, wanted: EventFilter, *, limit: int, before: int | None = None
    ) -> list[dict[str, Any]]:
        """Actions and refusals, newest first."""
        await self._journal.flush(JUST_DONE)
        return await self._store.audit(wanted, limit=limit, before=before)

    async def verify(self) -> dict[str, Any]:
        """Whether the chain is whole."""
        await self._journal.flush(JUST_DONE)
        return await self._store.verify()

    def note(
        self,
        action: str,
        author: Author,
        *,
        component: str = "",
        refused: str | None = None,
        details: Mapping[str, Any] | None = None,
        flood: bool = False,
    ) -> None:
        """Record something that nobody else records."""
        more = dict(details or {})
        if flood:
            unwritten = self._unwritten(author.actor, action)
            if unwritten is None:
                return
            more |= {"unwritten_before": unwritten} if unwritten else {}
        now = self._clock.time()
        self._publish(
            Action(
                id=new_id(now),
                at=now,
                component=component,
                action=action,
                actor=author.actor,
                text=author.reason or "",
                refused=refused,
                request=author.request,
                details=more,
            )
        )

    def reloaded(self, outcome: ReloadOutcome, actor: str, request: str | None = None) -> None:
        """Record a reload, or why it was refused."""
        said = None if outcome.ok else "; ".join(outcome.problems)[:MOST_SAID]
        self.note("reload", Author(actor=actor, request=request), refused=said)

    def turned_away(self, refusal: Refusal) -> None:
        """Record a request that its sender may not make (:data:`cbmon.web.refusals.Hook`)."""
        asked = f"{refusal.method} {refusal.route}"
        self.note(
            "login" if refusal.route == "/login" else "request",
            Author(actor=refusal.actor, request=refusal.request),
            component=refusal.name or "",
            refused=f"{asked}: {refusal.text}",
            details={"status": refusal.status, "code": refusal.code, "client": refusal.client},
            flood=True,
        )

    def _unwritten(self, actor: str, action: str) -> int | None:
        """How many like it went unwritten before; None when this one does, too."""
        key, now = (actor, action), self._clock.monotonic()
        since, count = self._counts.get(key, (now, 0))
        if now - since >= MINUTE:
            self._counts[key] = (now, 1)
            return max(0, count - MOST_OF_A_FLOOD)
        if len(self._counts) >= KINDS_KEPT and key not in self._counts:
            self._counts = {k: v for k, v in self._counts.items() if now - v[0] < MINUTE}
            if len(self._counts) >= KINDS_KEPT:
                return None
        self._counts[key] = (since, count + 1)
        return None if count >= MOST_OF_A_FLOOD else 0
