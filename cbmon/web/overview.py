"""What the overview shows of how many: chosen, put in order and cut into pages.

Rule: one cheap look at every component, a full card only for those that are shown; so five
thousand cost a few milliseconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import urlencode

from cbmon.breaker import State
from cbmon.model import BreakerInfo
from cbmon.web import api, views
from cbmon.web.services import ComponentView
from cbmon.web.words import STATES

PAGE: Final = 100
"""Components on one page."""
ATTENTION: Final = "attention"
"""The choice beside the states: everything that is not well."""
FAILING: Final = "Failing"
URGENCY_FAILING: Final = 3
CHOICES: Final = (ATTENTION, *(state.value for state in State))
PARAMETERS: Final = ("q", "state", "category", "group", "tag", "page")


class Look(NamedTuple):
    """A component, its state, and whether its last run failed."""

    view: ComponentView
    state: State
    failing: bool

    @property
    def info(self) -> BreakerInfo:
        """What it is."""
        return self.view.info

    @property
    def quiet(self) -> bool:
        """Nothing about it asks for attention."""
        return self.state in views.HEALTHY and not self.failing

    @property
    def urgency(self) -> tuple[int, str]:
        """What needs attention comes first, then by name."""
        if self.state is State.CLOSED and self.failing:
            return URGENCY_FAILING, self.info.name
        return STATES[self.state].urgency, self.info.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the query asks to see; empty is everything."""

    q: str = ""
    state: str = ""
    category: str = ""
    group: str = ""
    tag: str = ""
    page: int = 1

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Wish:
        """From a query whose names are known and whose state is one of CHOICES."""
        page = query.get("page", "")
        number = int(page[:6]) if page.isascii() and page.isdigit() else 1
        return cls(
            q=query.get("q", "").strip(),
            state=query.get("state", ""),
            category=query.get("category", ""),
            group=query.get("group", ""),
            tag=query.get("tag", ""),
            page=max(1, number),
        )

    def fields(self) -> dict[str, str]:
        """What narrows it, by name."""
        names = ("q", "state", "category", "group", "tag")
        return {name: value for name in names if (value := getattr(self, name))}

    def url(self, page: int | None = None, **other: str) -> str:
        """The address of this wish with some fields changed."""
        fields: dict[str, str | int] = {**self.fields(), **other}
        if page is not None and page > 1:
            fields["page"] = page
        query = urlencode({name: value for name, value in fields.items() if value})
        return f"/?{query}" if query else "/"

    def fits(self, look: Look) -> bool:
        """Whether a component is asked for."""
        info = look.info
        if self.state and not (
            not look.quiet if self.state == ATTENTION else look.state == self.state
        ):
            return False
        if self.category and info.category != self.category:
            return False
        if self.group and info.group != self.group:
            return False
        if self.tag and self.tag not in info.tags:
            return False
        return not self.q or api.matches(look.view, {"q": self.q})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """One page of what was found."""

    looks: Sequence[Look]
    found: int
    page: int
    pages: int

    @property
    def first(self) -> int:
        """The number of its first one, from 1."""
        return (self.page - 1) * PAGE + 1


def look_at(components: Iterable[ComponentView]) -> list[Look]:
    """Every component once, in the order of attention."""
    found = []
    for view in components:
        last = view.last
        found.append(Look(view, view.breaker.state, last is not None and not last.ok))
    found.sort(key=lambda look: look.urgency)
    return found


def sheet(looks: Sequence[Look], wish: Wish) -> Sheet:
    """The page that is wished for, or the last one when there are fewer."""
    found = [look for look in looks if wish.fits(look)]
    pages = max(1, -(-len(found) // PAGE))
    page = min(wish.page, pages)
    shown = found[(page - 1) * PAGE : page * PAGE]
    return Sheet(looks=shown, found=len(found), page=page, pages=pages)


def attention(looks: Iterable[Look]) -> dict[str, list[str]]:
    """What needs attention, by what it is in a word."""
    found: dict[str, list[str]] = {}
    for look in looks:
        if not look.quiet:
            label = FAILING if look.state in views.HEALTHY else STATES[look.state].label
            found.setdefault(label, []).append(look.info.name)
    return found


def choices(looks: Iterable[Look]) -> dict[str, list[tuple[str, int]]]:
    """What there is to choose from, each with how many have it: categories, groups, tags."""
    categories: Counter[str] = Counter()
    groups: Counter[str] = Counter()
    tags: Counter[str] = Counter()
    for look in looks:
        info = look.info
        categories[str(info.category)] += 1
        if info.group:
            groups[info.group] += 1
        tags.update(info.tags)
    return {
        "category": _offered(categories, alone=False),
        "group": _offered(groups),
        "tag": _offered(tags),
    }


def _offered(counted: Counter[str], *, alone: bool = True) -> list[tuple[str, int]]:
    return sorted(counted.items()) if alone or len(counted) > 1 else []
