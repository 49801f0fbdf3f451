"""Rows of the settings table that say something new, judged one by one and together.

Rule: pure. A row is accepted whole, refused with everything that speaks against it, or waits until
a breaker of its name is configured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cbmon.keeping import EVERY, SettingsRow, SettingsState, Texts
from cbmon.settings.book import Book
from cbmon.settings.fields import from_text, read
from cbmon.settings.problems import Problem, as_given


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of edited rows; ``book`` has what was accepted, by name of the row."""

    book: Book
    accepted: Mapping[str, Texts]
    refused: Mapping[str, tuple[Texts, Sequence[Problem]]]
    waiting: frozenset[str]
    """Edited rows of breakers that are not configured."""


def judged(book: Book, state: SettingsState) -> Verdict:
    """Judge what the table says and is not in force yet."""
    draft, edited = book.copy(), _edited(state)
    waiting = {key for key, texts in edited.items() if texts and not is_known(draft, key)}
    left = {key: texts for key, texts in edited.items() if key not in waiting}
    accepted: dict[str, Texts] = {}
    refused: dict[str, tuple[Texts, Sequence[Problem]]] = {}
    for _ in range(2):  # what was wrong beside an old row may be right beside its new one
        refused = {}
        for key in [key for key in left if key not in accepted]:
            found, problems = _read(draft, key, left[key])
            if problems:
                refused[key] = (left[key], problems)
            else:
                accepted[key] = left[key]
                put(draft, key, found)
    return Verdict(book=draft, accepted=accepted, refused=refused, waiting=frozenset(waiting))


def is_known(book: Book, key: str) -> bool:
    """Whether a row is that of all breakers, or of one that is configured."""
    return key == EVERY or key in book


def problems_with(book: Book, key: str, found: Mapping[str, Any]) -> list[Problem]:
    """What speaks against these settings as those of the row ``key``."""
    if key == EVERY:
        return book.problems_with_defaults(found)
    return book.problems_with_override(key, found)


def put(book: Book, key: str, found: Mapping[str, Any]) -> None:
    """Other settings of the row ``key``."""
    if key == EVERY:
        book.set_defaults(found)
    else:
        book.set_override(key, found)


def fields_of(book: Book, key: str) -> Mapping[str, Any]:
    """What is set in the row ``key``."""
    return book.defaults if key == EVERY else book.overrides.get(key, {})


def all_problems(
    book: Book, key: str, given: Mapping[str, Any], found: Mapping[str, Any], unread: list[Problem]
) -> list[Problem]:
    """What could not be read of ``given``, and what speaks against the rest, as it was written."""
    told = {problem.field for problem in unread}
    more = [one for one in problems_with(book, key, found) if one.field not in told]
    return as_given([*unread, *more], given)


def _read(book: Book, key: str, texts: Texts) -> tuple[dict[str, Any], list[Problem]]:
    found, unread = read(texts, from_text)
    return found, all_problems(book, key, texts, found, unread)


def _edited(state: SettingsState) -> dict[str, Texts]:
    """The rows that say something else than what is in force, the defaults first."""
    names = sorted(
        state.rows.keys() | state.in_force.keys(), key=lambda name: (name != EVERY, name)
    )
    empty = SettingsRow(fields={})
    pairs = {name: state.rows.get(name, empty).fields for name in names}
    return {name: texts for name, texts in pairs.items() if texts != state.in_force.get(name, {})}
