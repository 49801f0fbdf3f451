"""Severity: the label of a check, or what follows from what is down; routes and silences see it."""

from __future__ import annotations

import pytest

from cbmon.config.routes import Matcher, Route
from cbmon.model import BreakerInfo, Category
from cbmon.notify.routing import Routing
from cbmon.notify.severity import severity_of
from tests.unit.notify.story import LINES, Story


@pytest.mark.parametrize(
    ("category", "labels", "expected"),
    [
        (Category.CHECK, {}, "critical"),
        (Category.EXPORT, {}, "warning"),
        ("daemon", {}, "critical"),
        (Category.CHECK, {"severity": "info"}, "info"),
        (Category.EXPORT, {"severity": "critical"}, "critical"),
        (Category.CHECK, {"severity": ""}, "critical"),
    ],
)
def test_the_severity_is(category: str, labels: dict[str, str], expected: str) -> None:
    assert severity_of(category, labels) == expected


def info(name: str, category: Category = Category.CHECK, **labels: str) -> BreakerInfo:
    return BreakerInfo(name=name, category=category, labels=labels)


def test_routes_match_it() -> None:
    warnings = Route(receiver="shop", matchers=(Matcher.parse('severity="warning"'),))
    routing = Routing(route=Route(receiver="ops", routes=(warnings,)), lines=LINES)
    assert routing.recipients(info("api")) == ("ops/slack",)
    assert routing.recipients(info("gateway", Category.EXPORT)) == ("shop/webhook",)
    assert routing.recipients(info("api", severity="warning")) == ("shop/webhook",)


def test_silences_match_it() -> None:
    story = Story(infos=[info("api", severity="warning")])
    steps = ["0 silence 900 severity=warning", "1 api open", "2 db open"]
    assert story.run(steps, until=60.0) == ["12 opened db"]
