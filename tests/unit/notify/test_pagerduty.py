"""What PagerDuty gets: one incident per thread, within its limits, with the right severity."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from cbmon.notify.receivers.pagerduty import (
    KEY_LIMIT,
    SUMMARY_LIMIT,
    TYPE,
    PagerdutyOptions,
    dedup_key,
    events_of,
)
from tests.unit.notify.samples import digest, hostile, message, recovery

ACTIONS = {"trigger", "acknowledge", "resolve"}


def events(told: Any, **severities: Any) -> list[dict[str, Any]]:
    return list(events_of(told, severities))


def test_an_outage_triggers_with_what_a_person_wants_to_know() -> None:
    [event] = events(message())
    assert event == {
        "event_action": "trigger",
        "dedup_key": "cbmon-i1",
        "payload": {
            "summary": "shop-api is open",
            "source": "https://shop.example.net/health",
            "severity": "critical",
            "timestamp": "2026-01-01T00:00:00.000Z",
            "component": "shop-api",
            "group": "shop",
            "class": "connect",
            "custom_details": {
                "description": "5 failures in a row; next trial in 1m",
                "Reason": "connect",
                "Target": "https://shop.example.net/health",
                "Since": "2026-01-01T00:00:00.000Z",
                "Group": "shop",
                "Depends on": "shop-db",
                "Tags": "critical",
                "Labels": "team=shop",
                "last_error": "connection refused",
            },
        },
        "client": "cbmon",
        "client_url": "https://cbmon.example.net/components/shop-api",
        "links": [
            {"href": "https://cbmon.example.net/components/shop-api", "text": "Open in cbmon"},
            {
                "href": "https://cbmon.example.net/runbooks/CircuitBreakerOpen",
                "text": "Runbook",
            },
        ],
    }


def test_its_end_resolves_what_it_triggered() -> None:
    [begun], [ended] = events(message()), events(recovery())
    assert ended == {"event_action": "resolve", "dedup_key": begun["dedup_key"]}


def test_an_outage_that_was_over_before_it_was_told_leaves_a_trace() -> None:
    assert [one["event_action"] for one in events(recovery(folded=True))] == ["trigger", "resolve"]


def test_a_component_that_someone_disabled_is_acknowledged() -> None:
    by_hand = message("disabled", state="disabled", actor="alice")
    by_itself = message("disabled", state="disabled")
    assert [one["event_action"] for one in events(by_hand)] == ["trigger", "acknowledge"]
    assert [one["event_action"] for one in events(by_itself)] == ["trigger"]


def test_a_storm_is_one_incident_and_resolves_what_it_took_over() -> None:
    storm = digest()
    absorbing = {**storm.body, "absorbs": ["i1", "i2"]}
    found = events(type(storm)(**{**_fields(storm), "body": absorbing}))
    assert [(one["event_action"], one["dedup_key"]) for one in found] == [
        ("trigger", "cbmon-storm-i0"),
        ("resolve", "cbmon-i1"),
        ("resolve", "cbmon-i2"),
    ]


def _fields(told: Any) -> dict[str, Any]:
    return {name: getattr(told, name) for name in told.__slots__}


@pytest.mark.parametrize(
    ("labels", "severities", "expected"),
    [
        ({}, {}, "critical"),
        ({"severity": "warning"}, {}, "warning"),
        ({"severity": "page"}, {}, "critical"),
        ({"severity": "low"}, {}, "warning"),
        ({"severity": "info"}, {}, "info"),
        ({"severity": "sev2"}, {}, "error"),
        ({"severity": "sev2"}, {"sev2": "warning"}, "warning"),
        ({"severity": "critical"}, {"critical": "error"}, "error"),
    ],
)
def test_the_severity_is(labels: dict[str, str], severities: dict[str, str], expected: str) -> None:
    [event] = events(message(labels=labels), **severities)
    assert event["payload"]["severity"] == expected


def test_an_export_is_a_warning_and_the_worst_of_many_counts() -> None:
    [event] = events(message(category="export"))
    assert event["payload"]["severity"] == "warning"
    mixed = digest(3)
    mixed.body["entries"][0]["category"] = "export"
    [event] = events(mixed)
    assert event["payload"]["severity"] == "critical"


def test_the_longest_event_stays_within_the_limits() -> None:
    for told in (hostile(), digest(500)):
        [event] = events(told)
        assert len(event["payload"]["summary"]) <= SUMMARY_LIMIT
        assert len(json.dumps(event)) < 512 * 1024
    assert len(dedup_key("x" * 1000)) <= KEY_LIMIT
    assert dedup_key("x" * 1000) != dedup_key("x" * 1001)


def test_the_routing_key_is_never_shown() -> None:
    options = PagerdutyOptions.model_validate({"routing_key": "SECRET"})
    assert TYPE.render is not None
    for shown in (repr(options), options.model_dump_json(), TYPE.render(options, message())):
        assert "SECRET" not in shown
    with pytest.raises(ValidationError, match="severities"):
        PagerdutyOptions.model_validate({"routing_key": "x", "severities": {"a": "fatal"}})
