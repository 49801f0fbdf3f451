"""Settings at run time: read from the database, judged, brought into force, told and recorded.

Rule: one change at a time, durable with its record before any breaker feels it. A row that
someone edited to something impossible is refused and told; what held before holds on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final

from cbmon.component import HELD, Component
from cbmon.config import Config
from cbmon.config.places import places_of
from cbmon.config.words import nearest
from cbmon.errors import CbmonError, StoreError
from cbmon.events import Action, SettingsChanged, new_id
from cbmon.interfaces import Clock
from cbmon.keeping import EVERY, SettingsRow, SettingsState, SettingsStore, Texts
from cbmon.logs import fields as logged
from cbmon.monitor import Monitor
from cbmon.reload import active
from cbmon.settings import (
    Base,
    Book,
    Difference,
    Effective,
    Problem,
    SettingsError,
    as_json,
    from_json,
    from_text,
    rows,
    to_text,
)
from cbmon.settings.fields import read
from cbmon.settings.sheet import (
    Allowance,
    Author,
    Sheet,
    StaleError,
    TooManyChangesError,
    UnseenError,
)

log = logging.getLogger(__name__)

SLICE: Final = 200
"""Breakers that get another policy before the loop may do something else."""
TRIES: Final = 3
MOST_SAID: Final = 2000
"""Characters of what is wrong with a request that go on record; its answer has all of it."""
BY_HAND: Final = Author(actor="database", reason="its row was edited")
AT_START: Final = Author(actor="start", reason="the settings in the database")
_NO_SOURCES: Final[Mapping[str, str]] = {}
"""One for all: thousands of breakers have none."""
BY_RELOAD: Final = Author(actor="reload", reason="configuration")


def bases_of(config: Config) -> dict[str, Base]:
    """What a configuration's YAML says of each breaker."""
    shared: dict[tuple[int, float], Base] = {}  # thousands of checks have few of them
    found: dict[str, Base] = {}
    for item in active(config):
        key = id(item.policy), item.interval
        if key not in shared:
            shared[key] = Base(policy=item.policy, interval=item.interval)
        found[item.name] = shared[key]
    return found


@dataclass(slots=True)
class _Seen:
    """The table as it was last looked at."""

    version: int = -1
    rows: Mapping[str, SettingsRow] = field(default_factory=dict)
    wrong: Mapping[str, tuple[Texts, Sequence[Problem]]] = field(default_factory=dict)
    """Rows that were refused, with what speaks against them."""
    waiting: frozenset[str] = frozenset()
    """Rows of breakers that are not configured."""


class Tuning:
    """The daemon's run-time settings; what the web asks is :class:`cbmon.web.…Settings`."""

    def __init__(self, store: SettingsStore, monitor: Monitor, clock: Clock) -> None:
        self._store = store
        self._monitor = monitor
        self._clock = clock
        self._book = Book()
        self._seen = _Seen()
        self._allowance = Allowance()
        self._lock = asyncio.Lock()
        self._silent = False
        self._listening: asyncio.Task[None] | None = None

    # --- with the configuration ----------------------------------------------------------

    async def start(self, config: Config) -> None:
        """Take up what was in force, then what was edited since; raises StoreError."""
        self._book.rebase(bases_of(config))
        state = await self._store.load()
        for name, texts in state.in_force.items():
            found, problems = read(texts, from_text)
            if problems:
                log.error("settings are not readable", extra=logged(component=name))
                continue
            rows.put(self._book, name, found)
        for problem in self._book.problems_with_bases(bases_of(config)):
            component = problem.breaker or EVERY
            log.error("settings do not go with the configuration", extra=logged(problem=problem))
            if str(problem) not in await self._store.refusals(component, AT_START.actor):
                self._refused("change_settings", component, AT_START, str(problem))
        await self._absorb(state, at_start=True)
        self._listening = asyncio.get_running_loop().create_task(self._listen(), name="settings")

    async def stop(self) -> None:
        """Listen to the database no more."""
        task, self._listening = self._listening, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def problems_with(self, config: Config) -> list[str]:
        """Why a configuration does not go with the settings in force; empty when it does."""
        found = self._book.problems_with_bases(bases_of(config))
        if not found:
            return []
        names = {problem.breaker for problem in found if problem.breaker is not None}
        places = await asyncio.to_thread(places_of, config.source, names)
        hint = "; the settings in the database are part of it: see cbmon config diff"
        unknown = f"{config.source}:1:1"
        return [f"{places.get(one.breaker, unknown)}: {one}{hint}" for one in found]

    def rebase(self, config: Config) -> None:
        """Another configuration is in force; its components are settled one by one.

        Rows that it may make right, or that waited for their breaker, are judged at the next look.
        """
        self._book.rebase(bases_of(config))
        if self._seen.wrong or self._seen.waiting:
            self._seen.version = -1

    def settle(self, component: Component, author: Author = BY_RELOAD) -> None:
        """Give a component's breaker the policy that holds for it."""
        found = self._book.of(component.name)
        sources = {name: str(source) for name, source in found.sources.items()}
        component.sources = sources or _NO_SOURCES
        if component.breaker.policy == found.policy:
            return
        held = component.breaker.state in HELD
        component.breaker.reconfigure(found.policy, actor=author.actor, reason=author.reason)
        if held:
            # A shorter wait has another end, perhaps one that is past.
            self._monitor.reschedule(component, component.interval)
            if component.breaker.state not in HELD:
                self._monitor.start(component)

    # --- what the web asks ---------------------------------------------------------------

    def sheet(self, name: str | None) -> Sheet:
        """What is set for one breaker or for all."""
        found = None if name is None else self._book.of(name)
        row = self._seen.rows.get(EVERY if name is None else name, SettingsRow(fields={}))
        wrong = self._seen.wrong.get(EVERY if name is None else name)
        return Sheet(
            name=name,
            fields=self._book.defaults if found is None else found.override,
            effective=found,
            changed_at=row.changed_at,
            changed_by=row.changed_by,
            refused=() if wrong is None else tuple(wrong[1]),
            waiting=tuple(sorted(self._seen.waiting)) if name is None else (),
        )

    def differences(self) -> Sequence[Difference]:
        """Every value in force that is not YAML's."""
        return self._book.differences()

    def check(self, name: str | None, given: Mapping[str, Any]) -> Effective | None:
        """What would hold if just this were set."""
        found = self._read(name, given)
        if name is None:
            return None
        draft = self._book.copy()
        draft.set_override(name, found)
        return draft.of(name)

    async def put(
        self, name: str | None, given: Mapping[str, Any], author: Author, *, tag: str | None
    ) -> Sheet:
        """Set just this."""
        async with self._lock:
            action = "change_defaults" if name is None else "change_settings"
            return await self._told(action, name, author, self._put(name, given, author, tag))

    async def remove(self, name: str | None, author: Author, *, tag: str | None) -> Sheet:
        """Set nothing."""
        async with self._lock:
            action = "remove_settings"
            return await self._told(action, name, author, self._put(name, None, author, tag))

    async def look(self) -> None:
        """Notice what was edited in the database; asked for every second, and when it says so."""
        async with self._lock:
            try:
                await self._look()
            except StoreError as error:
                if not self._silent:
                    log.warning("settings cannot be read", extra=logged(error=str(error)))
                self._silent = True
            else:
                self._silent = False

    async def _listen(self) -> None:
        async with aclosing(self._store.notices()) as notices:
            async for _ in notices:
                await self.look()

    # --- changing ------------------------------------------------------------------------

    async def _told(self, action: str, name: str | None, author: Author, work: Any) -> Sheet:
        """Do it; a refusal is recorded."""
        try:
            done: Sheet = await work
        except (KeyError, StoreError, TooManyChangesError):
            raise  # of the last, as of every flood, the web records some
        except CbmonError as error:
            said = str(error)[:MOST_SAID]
            self._refused(action, EVERY if name is None else name, author, said)
            raise
        return done

    async def _put(
        self, name: str | None, given: Mapping[str, Any] | None, author: Author, tag: str | None
    ) -> Sheet:
        await self._look()
        for _ in range(TRIES):
            sheet = self.sheet(name)
            found = self._read(name, given or {})
            _check_tag(sheet, tag)
            if tag is None and given is not None:
                _check_seen(sheet, found)
            if wait := self._allowance.take(author.actor, self._clock.monotonic()):
                raise TooManyChangesError(wait)
            if await self._write(sheet, found, author, removed=given is None):
                return self.sheet(name)
            await self._look()
        raise StaleError("the settings are being edited in the database; try again")

    async def _write(
        self, sheet: Sheet, found: Mapping[str, Any], author: Author, *, removed: bool
    ) -> bool:
        """Make it durable, then real; False if someone else was faster."""
        key = EVERY if sheet.name is None else sheet.name
        changes = _changes(sheet.fields, found)
        action = self._action(_verb(key, removed=removed), key, author, details=changes)
        texts = {field: to_text(value) for field, value in found.items()}
        row = texts if texts or key == EVERY else None
        version = await self._store.change(key, row, action=action, expected=self._seen.version)
        if version is None:
            return False
        known = {**self._seen.rows, key: SettingsRow(fields=texts, **_stamp(action))}
        if row is None:
            del known[key]
        wrong = {name: why for name, why in self._seen.wrong.items() if name != key}
        self._seen = _Seen(version, known, wrong, self._seen.waiting)
        draft = self._book.copy()
        rows.put(draft, key, found)
        await self._into_force(draft, {key: changes}, author)
        return True

    async def _look(self) -> None:
        if await self._store.version() != self._seen.version:
            await self._absorb(await self._store.load())

    async def _absorb(self, state: SettingsState, *, at_start: bool = False) -> None:
        """Take up what rows say that is not in force yet."""
        found = rows.judged(self._book, state)
        changes = {
            key: _changes(rows.fields_of(self._book, key), rows.fields_of(found.book, key))
            for key in found.accepted
        }
        actions = [self._action(_verb(k), k, BY_HAND, details=c) for k, c in changes.items()]
        if found.accepted:
            accepted = {key: texts or None for key, texts in found.accepted.items()}
            await self._store.accept(accepted, actions)
        for key, (texts, problems) in found.refused.items():
            known = self._seen.wrong.get(key)
            if known is None or known[0] != texts:
                await self._refuse_row(key, "; ".join(map(str, problems)), at_start=at_start)
        for key in sorted(found.waiting - self._seen.waiting):
            log.warning(
                "settings wait for a breaker that is not configured",
                extra=logged(component=key, nearest=nearest(key, self._book) or ""),
            )
        waiting = {key for key in state.rows if not rows.is_known(found.book, key)}
        self._seen = _Seen(state.version, state.rows, found.refused, frozenset(waiting))
        await self._into_force(found.book, changes, BY_HAND)

    async def _refuse_row(self, key: str, why: str, *, at_start: bool) -> None:
        """Tell it; on record once, however often the daemon starts over the same row."""
        if at_start and (await self._store.refusals(key, BY_HAND.actor))[:1] == (why,):
            log.warning("a row of settings is still refused", extra=logged(component=key, why=why))
        else:
            self._refused(_verb(key), key, BY_HAND, why)

    async def _into_force(
        self, book: Book, changes: Mapping[str, Mapping[str, Any]], author: Author
    ) -> None:
        book.rebase(self._book.bases)  # a reload may have come meanwhile
        self._book = book
        for key, change in changes.items():
            now = self._clock.time()
            self._monitor.publish(
                SettingsChanged(
                    id=new_id(now),
                    at=now,
                    component=key,
                    actor=author.actor,
                    text=author.reason or "",
                    request=author.request,
                    changes=change,
                )
            )
        names: Iterable[str] = book if EVERY in changes else changes
        for number, name in enumerate(list(names)):
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)
            try:
                component = self._monitor.component(name)
            except KeyError:
                continue  # not configured, or gone meanwhile
            self.settle(component, author)

    # --- small things --------------------------------------------------------------------

    def _read(self, name: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
        key = EVERY if name is None else name
        if name is not None and name not in self._book:
            raise KeyError(name)
        if name == EVERY:
            expected = "another name: * stands for all breakers in the database"
            raise SettingsError([Problem(field="name", value=name, expected=expected)])
        found, unread = read(given, from_json)
        if problems := rows.all_problems(self._book, key, given, found, unread):
            raise SettingsError(problems)
        return found

    def _action(self, action: str, component: str, author: Author, **more: Any) -> Action:
        now = self._clock.time()
        return Action(
            id=new_id(now),
            at=now,
            component=component,
            action=action,
            actor=author.actor,
            text=author.reason or "",
            request=author.request,
            **more,
        )

    def _refused(self, action: str, component: str, author: Author, why: str) -> None:
        self._monitor.publish(self._action(action, component, author, refused=why))


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """field → [before, after]; a field that is not set is None there."""
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return {name: [as_json(before.get(name)), as_json(after.get(name))] for name in names}


def _check_tag(sheet: Sheet, tag: str | None) -> None:
    if tag is None or tag.strip() == "*":
        return
    if sheet.tag not in {part.strip() for part in tag.split(",")}:
        raise StaleError("the settings are not those that this change was made from")


def _check_seen(sheet: Sheet, found: Mapping[str, Any]) -> None:
    if lost := tuple(name for name in sheet.fields if name not in found):
        raise UnseenError(lost)


def _verb(key: str, *, removed: bool = False) -> str:
    if removed:
        return "remove_settings"
    return "change_defaults" if key == EVERY else "change_settings"


def _stamp(action: Action) -> dict[str, Any]:
    return {"changed_at": action.at, "changed_by": action.actor}
