"""The tree of routes and its matchers.

Rule: Alertmanager's vocabulary, and every route complete.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon.config import Matcher, Route


def notifications(*lines: str) -> str:
    receivers = "".join(f"    - {{name: {name}, email: {{to: [a@b]}}}}\n" for name in "abc")
    return (
        "notifications:\n  route:\n"
        + "".join(f"    {line}\n" for line in lines)
        + "  receivers:\n"
        + receivers
    )


def test_a_child_takes_from_its_parent_what_it_does_not_say(load: Any) -> None:
    text = notifications(
        "receiver: a",
        "group_by: [team]",
        "group_wait: 0",
        "routes:",
        "  - {matchers: [team=x], continue: true, group_interval: 1m, routes: [{receiver: b}]}",
        "  - {receiver: c, repeat_interval: 1d}",
    )
    root: Route = load(text).notifications.route
    first, second = root.routes

    assert (root.receiver, root.group_by, root.group_wait) == ("a", ("team",), 0)
    assert (first.receiver, first.group_by, first.group_wait) == ("a", ("team",), 0)
    assert (first.group_interval, first.continue_) == (60, True)
    assert [str(matcher) for matcher in first.matchers] == ['team="x"']
    assert (first.routes[0].receiver, first.routes[0].group_interval) == ("b", 60)
    assert (first.routes[0].matchers, first.routes[0].continue_) == ((), False)
    assert (second.receiver, second.repeat_interval, second.group_interval) == ("c", 86_400, 300)


def test_one_receiver_needs_no_route(load: Any) -> None:
    one = load("notifications: {receivers: [{name: a, email: {to: [a@b]}}]}").notifications
    named = load(
        "notifications: {route: {group_wait: 1s}, receivers: [{name: a, email: {to: [a@b]}}]}"
    ).notifications

    assert one.route == Route(receiver="a")
    assert (named.route.receiver, named.route.group_wait) == ("a", 1)


@pytest.mark.parametrize(
    ("label", "operator", "value", "text"),
    [
        ("team", "=", "shop", 'team="shop"'),
        ("team", "=", "shop", "team = shop"),
        ("team", "!=", "", 'team!=""'),
        ("team", "=", "", "team="),
        ("site", "=~", "fra.*|ams", 'site=~"fra.*|ams"'),
        ("site", "!~", "f", "site!~f"),
        ("a", "=", 'q"u\\o\nte', r'a="q\"u\\o\nte"'),
    ],
)
def test_a_matcher_is_a_label_an_operator_and_a_value(
    label: str, operator: str, value: str, text: str
) -> None:
    matcher = Matcher.parse(text)

    assert (matcher.label, matcher.operator, matcher.value) == (label, operator, value)
    assert Matcher.parse(str(matcher)) == matcher


@pytest.mark.parametrize(
    "text", ["", "team", "=x", 'team="x', "te-am=x", "team==x y", "a=b c", 5, 'a=~"("']
)
def test_what_is_no_matcher_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"expected a matcher|RE2"):
        Matcher.parse(text)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (True, "team=shop"),
        (False, "team=sho"),
        (True, "team!=web"),
        (True, "team=~sh.p"),
        (False, "team=~sho"),
        (False, "team!~sh.*"),
        (True, "none="),
        (True, "none!=x"),
        (True, 'none=~"x?"'),
    ],
)
def test_a_pattern_matches_the_whole_value_and_an_absent_label_is_empty(
    expected: bool, text: str
) -> None:
    assert Matcher.parse(text).matches({"team": "shop"}) is expected


@given(st.text())
def test_every_value_can_be_written_and_read_back(value: str) -> None:
    assert Matcher.parse(str(Matcher("a", "=", value))).value == value
