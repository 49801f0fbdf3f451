"""Settings and the record of actions in memory, for a web without a monitor and a store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cbmon.keeping import EventFilter
from cbmon.settings import Base, Book, Difference, Effective, SettingsError, from_json
from cbmon.settings.fields import read
from cbmon.settings.sheet import Author, Sheet, StaleError


class FakeSettings:
    """A book of settings that brings what it takes into force at once."""

    def __init__(self, components: Mapping[str, Any]) -> None:
        self._components = components
        self._book = Book()
        self._yaml: dict[str, Base] = {}
        self.changed_by: dict[str | None, str] = {}

    def _known(self) -> Book:
        for name, component in self._components.items():
            self._yaml.setdefault(name, Base(policy=component.breaker.policy, interval=30.0))
        self._book.rebase(self._yaml)
        return self._book

    def sheet(self, name: str | None) -> Sheet:
        book = self._known()
        effective = None if name is None else book.of(name)
        return Sheet(
            name=name,
            fields=book.defaults if effective is None else effective.override,
            effective=effective,
            changed_at=1_767_225_600.0 if name in self.changed_by else None,
            changed_by=self.changed_by.get(name),
        )

    def differences(self) -> Sequence[Difference]:
        return self._known().differences()

    def check(self, name: str | None, given: Mapping[str, Any]) -> Effective | None:
        found, problems = read(given, from_json)
        book = self._known().copy()
        if name is None:
            problems += book.problems_with_defaults(found)
        else:
            problems += book.problems_with_override(name, found)
        if problems:
            raise SettingsError(problems)
        if name is None:
            return None
        book.set_override(name, found)
        return book.of(name)

    async def put(
        self, name: str | None, given: Mapping[str, Any], author: Author, *, tag: str | None
    ) -> Sheet:
        if tag is not None and tag != self.sheet(name).tag:
            raise StaleError("seen too long ago")
        self.check(name, given)
        found, _ = read(given, from_json)
        if name is None:
            self._book.set_defaults(found)
        else:
            self._book.set_override(name, found)
        self.changed_by[name] = author.actor
        for each, component in self._components.items():
            held = self._book.of(each)
            component.sources = {one: str(source) for one, source in held.sources.items()}
            component.breaker.reconfigure(held.policy, actor=author.actor)
        return self.sheet(name)

    async def remove(self, name: str | None, author: Author, *, tag: str | None) -> Sheet:
        return await self.put(name, {}, author, tag=tag)


@dataclass
class FakeRecord:
    """What was done, oldest first."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    moves: Callable[..., Awaitable[list[dict[str, Any]]]] | None = None

    async def events(
        self, wanted: EventFilter, *, limit: int, before: str | None = None
    ) -> list[dict[str, Any]]:
        if self.moves is None:
            return []
        return await self.moves(component=wanted.component, limit=limit, before=before)

    async def audit(
        self, wanted: EventFilter, *, limit: int, before: int | None = None
    ) -> list[dict[str, Any]]:
        newest = [row for row in reversed(self.rows) if before is None or row["seq"] < before]
        return [
            row
            for row in newest
            if wanted.component in {None, row["component"]}
            if wanted.actor in {None, row["actor"]}
            if wanted.refused in {None, row["refused"] is not None}
        ][:limit]

    async def verify(self) -> dict[str, Any]:
        return {
            "ok": True,
            "rows": len(self.rows),
            "first_seq": 1,
            "head": "",
            "broken": None,
        }

    def note(self, action: str, author: Author, **more: Any) -> None:
        self.rows.append(
            {
                "seq": len(self.rows) + 1,
                "id": f"{len(self.rows):08}",
                "at": 1_767_225_600.0,
                "action": action,
                "actor": author.actor,
                "component": more.get("component", ""),
                "text": author.reason or "",
                "refused": more.get("refused"),
            }
        )
