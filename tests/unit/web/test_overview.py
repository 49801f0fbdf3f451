"""The overview of many: what is wrong first, narrowed, in pages, and fast."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from cbmon.breaker import CircuitBreaker
from cbmon.model import BreakerInfo, Category, Reason, Result
from cbmon.testing import ManualClock
from cbmon.web import overview
from cbmon.web.cards import card
from cbmon.web.moves import Moves
from cbmon.web.overview import PAGE, Wish

BAD = Result(ok=False, duration=0.1, reason=Reason.CONNECT, error="refused")


@dataclass
class View:
    info: BreakerInfo
    breaker: CircuitBreaker
    last: Result | None = None
    interval: float = 30.0
    timeout: float = 5.0
    last_run_at: float | None = None
    last_success_at: float | None = None
    sources: dict[str, str] = field(default_factory=dict)


CLOCK = ManualClock()


def view(name: str, state: str = "closed", last: Result | None = None, **info: Any) -> View:
    given = {"category": Category.CHECK, **info}
    breaker = CircuitBreaker(name, clock=CLOCK, initial_state=state)
    return View(BreakerInfo(name=name, **given), breaker, last)


def names(sheet: overview.Sheet) -> list[str]:
    return [look.info.name for look in sheet.looks]


def found(views: list[View], **wish: Any) -> list[str]:
    return names(overview.sheet(overview.look_at(views), Wish(**wish)))


def test_what_is_wrong_comes_first_then_by_name() -> None:
    views = [
        view("b"),
        view("a"),
        view("failing", last=BAD),
        view("off", "disabled"),
        view("half", "half_open"),
        view("down", "open"),
    ]
    assert found(views) == ["down", "half", "failing", "off", "a", "b"]


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ({"state": "open"}, ["down"]),
        ({"state": "attention"}, ["down", "failing"]),
        ({"group": "shop"}, ["down", "fine"]),
        ({"tag": "pci"}, ["fine"]),
        ({"category": "export"}, ["gateway"]),
        ({"q": "SHOP"}, ["down", "fine"]),
        ({"q": "shop", "state": "closed"}, ["fine"]),
        ({"q": "nothing"}, []),
    ],
)
def test_every_filter_narrows(wish: dict[str, str], expected: list[str]) -> None:
    views = [
        view("fine", group="shop", tags=("pci",)),
        view("down", "open", group="shop"),
        view("failing", last=BAD),
        view("gateway", category=Category.EXPORT),
    ]
    assert found(views, **wish) == expected


def test_pages_hold_everything_once_and_a_page_too_far_is_the_last() -> None:
    views = [view(f"c{n:04}") for n in range(2 * PAGE + 1)]
    looks = overview.look_at(views)
    pages = [overview.sheet(looks, Wish(page=n)) for n in (1, 2, 3)]
    assert [name for page in pages for name in names(page)] == [v.info.name for v in views]
    assert [page.pages for page in pages] == [3, 3, 3]
    assert names(overview.sheet(looks, Wish(page=99))) == names(pages[2])
    assert pages[2].first == 2 * PAGE + 1


@pytest.mark.parametrize(
    ("text", "page"), [("2", 2), ("0", 1), ("-1", 1), ("x", 1), ("²", 1), ("", 1)]
)
def test_a_page_that_is_no_number_is_the_first(text: str, page: int) -> None:
    assert Wish.of({"page": text}).page == page


def test_the_address_of_a_wish_gives_it_back() -> None:
    wish = Wish(q="a b&c", state="open", group="shop", tag="x/y")
    assert wish.url(2) == "/?q=a+b%26c&state=open&group=shop&tag=x%2Fy&page=2"
    assert Wish().url() == "/"
    assert wish.url(state="") == "/?q=a+b%26c&group=shop&tag=x%2Fy"


def test_choices_are_counted() -> None:
    views = [view("a", group="g", tags=("x", "y")), view("b", group="g", tags=("x",)), view("c")]
    offered = overview.choices(overview.look_at(views))
    assert offered == {"category": [], "group": [("g", 2)], "tag": [("x", 2), ("y", 1)]}


def test_five_thousand_are_chosen_and_ordered_in_a_blink() -> None:
    views = [view(f"c{n:04}", group=f"g{n % 50}", tags=("x",)) for n in range(5_000)]
    best = min(_seconds(views) for _ in range(3))
    assert best < 0.25, f"{best:.3f} s"


def _seconds(views: list[View]) -> float:
    began = time.perf_counter()
    looks = overview.look_at(views)
    overview.sheet(looks, Wish(q="c49"))
    overview.choices(looks)
    overview.attention(looks)
    return time.perf_counter() - began


def test_history_that_was_cut_off_is_not_drawn_as_healthy() -> None:
    moves = Moves(complete_since=9_940.0)
    drawn = card(view("a"), now=10_000.0, next_run_in=None, moves=moves, started_at=0.0)
    assert sum(part.width for part in drawn.parts) == pytest.approx(100 * 60 / 3600, abs=0.01)
