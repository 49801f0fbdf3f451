"""Routes, groups, storms, quiet times and reasons: what the table in test_stories.py leaves out.

Times are seconds since the beginning; the default route has ``group_wait: 10s, group_interval: 5m,
repeat_interval: 4h``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cbmon.config.routes import Matcher, Route
from cbmon.model import Category
from cbmon.notify.calendar import Calendar, TimeInterval
from cbmon.notify.damping import Flapping
from cbmon.notify.messages import Site, entries_of
from cbmon.notify.notifier import Rules
from cbmon.notify.routing import Routing
from cbmon.notify.silences import Window
from cbmon.notify.storms import Storm
from tests.unit.notify.story import BASE, DEPENDENT, LINES, SHOP, Story, check

TREE = Route(
    receiver="ops",
    group_wait=0.0,
    routes=(
        Route(receiver="oncall", group_wait=0.0, matchers=(Matcher.parse("category=export"),)),
        Route(
            receiver="oncall",
            group_wait=0.0,
            matchers=(Matcher.parse('tier="1"'),),
            continue_=True,
        ),
        Route(receiver="shop", group_wait=0.0, matchers=(Matcher.parse("team=shop"),)),
    ),
)
ROUTES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "the root, when nothing matches": ({}, ["ops/slack"]),
    "a matching child instead of the root": ({"labels": {"team": "shop"}}, ["shop/webhook"]),
    "all integrations of a receiver": (
        {"category": Category.EXPORT},
        ["oncall/slack", "oncall/email"],
    ),
    "continue goes on to the next match": (
        {"labels": {"tier": "1", "team": "shop"}},
        ["oncall/slack", "oncall/email", "shop/webhook"],
    ),
    "continue without another match": (
        {"labels": {"tier": "1"}},
        ["oncall/slack", "oncall/email"],
    ),
    "a check's own receivers besides": (
        {"receivers": ("shop",)},
        ["ops/slack", "shop/webhook"],
    ),
    "nobody twice": ({"labels": {"team": "shop"}, "receivers": ("shop",)}, ["shop/webhook"]),
    "an unknown receiver is nobody": ({"receivers": ("gone",)}, ["ops/slack"]),
    "a receiver's own breaker tells nobody": ({"category": Category.RECEIVER}, []),
}


@pytest.mark.parametrize(("fields", "expected"), ROUTES.values(), ids=ROUTES.keys())
def test_news_goes_to(fields: dict[str, Any], expected: list[str]) -> None:
    story = Story(route=TREE, infos=[check("api", **fields)])
    story.run(["0 api open"], until=5.0)
    assert [message.receiver for message in story.messages] == expected


GROUP_BYS: dict[str, tuple[tuple[str, ...], int]] = {
    "nothing: everything together": ((), 1),
    "a label": (("team",), 2),
    "two labels": (("team", "group"), 3),
    "a label that nobody has: each by itself": (("gone",), 4),
    "...: each by itself": (("...",), 4),
}


@pytest.mark.parametrize(("group_by", "count"), GROUP_BYS.values(), ids=GROUP_BYS.keys())
def test_grouped_by(group_by: tuple[str, ...], count: int) -> None:
    infos = [
        check("a", group="x", labels={"team": "red"}),
        check("b", group="y", labels={"team": "red"}),
        check("c", group="x", labels={"team": "blue"}),
        check("d", group="x", labels={"team": "blue"}),
    ]
    story = Story(route=Route(receiver="ops", group_by=group_by), infos=infos)
    story.run([f"0 {name} open" for name in "abcd"])
    assert len(story.messages) == count


def test_an_outage_that_goes_on_is_told_again_every_repeat_interval() -> None:
    story = Story(route=Route(receiver="ops", repeat_interval=3600.0))
    heard = story.run(["0 api open", "8000 api closed"], until=20_000.0)
    assert heard == [
        "10 opened api",
        "3610 reminder api",
        "7210 reminder api",
        "8000 recovered api",
    ]


def test_reminders_survive_restarts_and_are_silenced_too() -> None:
    story = Story(route=Route(receiver="ops", repeat_interval=3600.0))
    steps = ["0 api open", "3000 restart", "3500 silence 600 component=api"]
    assert story.run(steps, until=5000.0) == ["10 opened api", "4100 reminder api"]


def test_a_parent_lists_what_is_down_with_it() -> None:
    story = Story(infos=DEPENDENT)
    story.run(["0 db open", "1 api open", "2 web open", "3 cart open"])
    [message] = story.messages
    assert message.body["dependants"] == ["api", "cart", "web"]


def test_a_receiver_without_resolved_hears_no_ends() -> None:
    story = Story(rules=Rules(no_resolved=frozenset({"ops/slack"})))
    heard = story.run(["0 api open", "50 api closed", "60 db open", "62 db closed"])
    assert heard == ["10 opened api"]
    assert story.hooks.suppressions == ["resolved_off", "resolved_off"]
    assert story.notifier.deadline is None


def test_a_receiver_that_groups_itself_gets_each_outage_at_once() -> None:
    story = Story(
        route=Route(receiver="pager"), infos=SHOP, ungrouped=frozenset({"pager/pagerduty"})
    )
    heard = story.run(["0 api open", "1 db open", "5 db disabled", "9 api closed"], until=90_000)
    assert heard == [
        f"{at} pager/pagerduty {kind}"
        for at, kind in [
            (0, "opened api"),
            (1, "opened db"),
            (5, "disabled db"),
            (9, "recovered api"),
        ]
    ]


def test_two_hundred_in_a_second_are_one_digest() -> None:
    story = Story()
    heard = story.run([f"{n / 200} c{n:03} open" for n in range(200)], until=250.0)
    assert len(heard) == 1
    assert len(entries_of(story.messages[0].body)) == 200
    assert story.hooks.suppressions.count("storm") == 200


def test_two_hundred_without_a_wait_are_few_messages_and_one_digest() -> None:
    story = Story(route=Route(receiver="ops", group_wait=0.0))
    story.run([f"{n / 200} c{n:03} open" for n in range(200)], until=250.0)
    sizes = [len(entries_of(message.body)) for message in story.messages]
    assert sizes == [1] * 10 + [190]


def test_the_end_of_a_storm_is_one_message() -> None:
    story = Story()
    steps = [f"{n / 200} c{n:03} open" for n in range(200)]
    steps += [f"{100 + n / 100} c{n:03} closed" for n in range(200)]
    heard = story.run(steps)
    assert [line.split()[:2] for line in heard] == [["10", "opened"], ["101.99", "recovered"]]
    assert not [row for row in story.rows if not row.startswith("flap:")]


def test_outages_told_one_by_one_that_end_together_end_in_a_digest() -> None:
    story = Story()
    steps = [f"{n * 100} c{n:02} open" for n in range(30)]
    heard = story.run([*steps, *(f"5000 c{n:02} closed" for n in range(30))], until=6000.0)
    assert len(heard) == 30 + 10 + 1
    digest = story.messages[-1]
    assert len(digest.body["absorbs"]) == len(entries_of(digest.body)) == 20


def test_a_storm_at_one_route_leaves_another_alone() -> None:
    infos = [check("shop", labels={"team": "shop"})]
    story = Story(route=replace(TREE, group_wait=10.0), infos=infos)
    heard = story.run([*(f"0 c{n} open" for n in range(50)), "1 shop open"], until=100.0)
    assert [line.split()[:2] for line in heard] == [["1", "shop/webhook"], ["10", "opened"]]


def test_storms_and_flapping_can_be_switched_off() -> None:
    rules = Rules(storm=Storm(messages=0), flapping=Flapping(changes=0))
    story = Story(rules=rules)
    story.run([f"0 c{n} open" for n in range(50)], until=100.0)
    assert len(story.messages) == 50
    steps = [f"{200 + 20 * n} api {'closed' if n % 2 else 'open'}" for n in range(30)]
    story.run(steps)
    assert len(story.messages) == 50 + 30


NIGHT = TimeInterval(times=((0, 480),), location="Europe/Berlin")
WEEKEND = TimeInterval(weekdays=((6, 6), (0, 0)), location="Europe/Berlin")
CALENDAR = Calendar({"night": (NIGHT,), "weekend": (WEEKEND,), "always": (TimeInterval(),)})
QUIET = Route(
    receiver="ops",
    routes=(Route(receiver="ops", matchers=(Matcher.parse("tier=3"),), group_wait=10.0),),
)


def quiet(*, mute: tuple[str, ...] = (), active: tuple[str, ...] = ()) -> Route:
    """A tree whose child, for tier 3, is quiet at times."""
    child = replace(QUIET.routes[0], mute_time_intervals=mute, active_time_intervals=active)
    return replace(QUIET, routes=(child,))


# The clocks went forward on 2026-03-29 and back on 2026-10-25, at 01:00 UTC.
BEFORE_SPRING = 1_774_738_800.0  # 2026-03-29 00:00 in Berlin, UTC+1
BEFORE_AUTUMN = 1_792_879_200.0  # 2026-10-25 00:00 in Berlin, UTC+2
HOUR = 3600
MUTES: dict[str, tuple[Route, float, list[str], list[str]]] = {
    "a muted route tells when the interval ends": (
        quiet(mute=("night",)),
        BEFORE_SPRING - 86_400,
        ["0 api open"],
        [f"{8 * HOUR} opened api"],
    ),
    "eight o'clock comes an hour early when clocks go forward": (
        quiet(mute=("night",)),
        BEFORE_SPRING,
        ["0 api open"],
        [f"{7 * HOUR} opened api"],
    ),
    "eight o'clock comes an hour late when clocks go back": (
        quiet(mute=("night",)),
        BEFORE_AUTUMN,
        ["0 api open"],
        [f"{9 * HOUR} opened api"],
    ),
    "what is over by then is not told": (
        quiet(mute=("night",)),
        BEFORE_SPRING,
        ["0 api open", "600 api closed"],
        [],
    ),
    "an end at night is told in the morning": (
        quiet(mute=("night",)),
        BEFORE_SPRING - 600,
        ["0 api open", "1200 api closed"],
        ["10 opened api", f"{600 + 7 * HOUR} recovered api"],
    ),
    "a weekend is two days": (
        quiet(mute=("weekend",)),
        BEFORE_SPRING - 86_400,
        ["0 api open"],
        [f"{47 * HOUR} opened api"],
    ),
    "active intervals are the other way round": (
        quiet(active=("night",)),
        BEFORE_SPRING - 12 * HOUR,
        ["0 api open"],
        [f"{12 * HOUR} opened api"],
    ),
    "an interval that nobody defined mutes nothing": (
        quiet(mute=("gone",)),
        BEFORE_SPRING,
        ["0 api open"],
        ["10 opened api"],
    ),
    "muted through a restart": (
        quiet(mute=("night",)),
        BEFORE_SPRING,
        ["0 api open", "3600 restart"],
        [f"{7 * HOUR} opened api"],
    ),
}


@pytest.mark.parametrize(("route", "start", "steps", "expected"), MUTES.values(), ids=MUTES.keys())
def test_quiet_times(route: Route, start: float, steps: list[str], expected: list[str]) -> None:
    infos = [check("api", labels={"tier": "3"})]
    story = Story(route=route, rules=Rules(calendar=CALENDAR), infos=infos, start=start)
    assert story.run(steps, until=3 * 86_400)[: len(expected) + 1][: len(expected)] == expected
    assert len([line for line in story.heard if "reminder" not in line]) == len(expected)


def test_a_maintenance_window_holds_what_it_covers() -> None:
    window = Window(name="patching", matchers=(Matcher.parse("group=shop"),), during=("night",))
    rules = Rules(calendar=CALENDAR, windows=(window,))
    story = Story(rules=rules, infos=SHOP, start=BEFORE_SPRING)
    heard = story.run(["0 api open", "0 mail open"], until=8 * HOUR)
    assert heard[0] == "10 opened mail"
    assert f"{7 * HOUR} opened api" in heard
    assert "window" in story.hooks.suppressions


REASONS: dict[str, tuple[list[str], list[str]]] = {
    "trial": (["0 api open", "1 api half_open", "2 api open"], ["trial", "trial"]),
    "dependency": (["0 db open", "1 api open"], ["dependency"]),
    "awaiting_trial": (
        ["0 db open", "1 api open", "50 db closed"],
        ["dependency", "awaiting_trial"],
    ),
    "silenced": (["0 silence 5000 component=api", "0 api open"], ["silenced"]),
    "isolated": (["0 isolate", "0 api open"], ["isolated"]),
    "flapping": (
        [f"{n} api {'closed' if n % 2 else 'open'}" for n in range(7)],
        ["flapping", "flapping"],
    ),
}


@pytest.mark.parametrize(("steps", "expected"), REASONS.values(), ids=REASONS.keys())
def test_every_suppression_has_its_reason(steps: list[str], expected: list[str]) -> None:
    story = Story(infos=DEPENDENT)
    story.run(steps, until=200.0)
    assert story.hooks.suppressions == expected


def test_who_was_told_of_an_outage_hears_its_end_after_routes_changed() -> None:
    story = Story()
    story.run(["0 api open"], until=20.0)
    story.routing = Routing(route=Route(receiver="shop"), lines=LINES)
    assert story.run(["30 reload", "40 api closed"], until=90.0) == [
        "10 opened api",
        "40 recovered api",
    ]
    assert story.hooks.suppressions == ["not_told"]


def test_a_receiver_that_is_gone_is_not_written_to_and_hears_the_rest_when_it_is_back() -> None:
    story = Story()
    story.run(["0 api open", "1 db open"], until=20.0)
    known = story.routing
    story.routing = Routing(route=Route(receiver="shop"), lines={"shop": LINES["shop"]})
    story.run(["30 reload", "40 api closed"], until=90.0)
    assert [one for one in story.heard[2:] if "shop/webhook" not in one] == []
    story.routing = known
    story.run(["100 reload", "110 db closed"], until=200.0)
    assert [one for one in story.heard[2:] if "shop/webhook" not in one] == ["110 recovered db"]


def test_an_outage_of_which_only_a_removed_receiver_knows_is_told_to_another() -> None:
    story = Story(infos=[check("db", labels={"team": "core"}), check("web", receivers=("shop",))])
    story.run(["0 api open", "0 db open", "5 web open"], until=20.0)
    before = len(story.heard)
    renamed = Route(
        receiver="shop", routes=(Route(receiver="pager", matchers=(Matcher.parse("team=core"),)),)
    )
    story.routing = Routing(route=renamed, lines={n: LINES[n] for n in ("shop", "pager")})
    story.run(["30 reload", "60 restart", "100 db half_open", "110 api closed", "120 db closed"])
    assert story.heard[before:] == [
        "30 shop/webhook opened api",
        "30 pager/pagerduty opened db",
        "110 shop/webhook recovered api",
        "120 pager/pagerduty recovered db",
    ]


def test_an_outage_that_waited_for_a_receiver_which_is_removed_is_told_to_another() -> None:
    story = Story()
    story.run(["0 api open"], until=5.0)
    story.routing = Routing(route=Route(receiver="shop"), lines={"shop": LINES["shop"]})
    assert story.run(["6 restart"], until=90.0) == ["10 shop/webhook opened api"]


def test_the_wall_clock_may_go_back() -> None:
    story = Story()
    story.run(["0 api open"], until=5.0)
    story.now = story.start - 7200.0
    story.take(story.notifier.tick(story.now))
    assert story.notifier.deadline is not None
    assert story.notifier.deadline - story.now <= 10.0


def test_making_a_message_again_makes_the_same_message() -> None:
    def first() -> Any:
        story = Story()
        story.run(["0 api open"])
        return story.messages[0]

    assert first() == first()
    assert first().id.startswith("msg_")


def test_every_message_of_a_thread_has_the_next_place_in_its_line() -> None:
    story = Story()
    story.run(["0 api open", "400 api disabled", "900 api closed"])
    assert [(m.kind, m.sequence) for m in story.messages] == [
        ("opened", 1),
        ("disabled", 2),
        ("recovered", 3),
    ]
    assert len({m.id for m in story.messages}) == 3
    assert {m.incident for m in story.messages} == {"i1"}
    assert len(story.notifier.incidents) == 0


def test_a_message_says_what_why_since_when_and_for_how_long() -> None:
    info = check(
        "api",
        group="shop",
        target="https://shop.example.net",
        kind="http",
        labels={"team": "core", "site": "own"},
    )
    story = Story(infos=[info])
    story.run(["0 api open", "20 api half_open", "21 api closed"])
    opened, recovered = (message.body for message in story.messages)
    assert opened["labels"] == {"site": "own", "team": "core"}
    assert (opened["reason"], opened["last_error"]) == ("connect", "refused")
    assert (opened["started_at"], opened["ended_at"]) == (BASE, None)
    assert (opened["target"], opened["state"]) == ("https://shop.example.net", "open")
    assert (recovered["started_at"], recovered["ended_at"]) == (BASE, BASE + 21)
    assert recovered["trials"] == 1
    assert opened["external_url"] == "https://cbmon.example.net"
    assert opened["receiver"] == "ops"


def test_nothing_is_kept_of_what_is_over() -> None:
    story = Story(infos=SHOP)
    story.run(["0 api open", "1 db open", "50 api closed", "60 db closed", "5000 web open"])
    story.run(["5100 web closed"], until=6000.0)
    assert set(story.rows) == {"flap:web"}
    assert story.notifier.deadline is None
    assert Site() == Site(external_url=None)
