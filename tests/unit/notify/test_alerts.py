"""The body of Alertmanager's webhook: what a receiver written for it finds in ours."""

from __future__ import annotations

from typing import Any

import pytest

from cbmon.model import Message
from cbmon.notify.receivers.alerts import fingerprint, webhook_body
from cbmon.notify.receivers.wording import lasting, timestamp

BODY = {
    "component": "shop-api",
    "category": "check",
    "group": "shop",
    "target": "https://shop.example.net/health",
    "type": "http",
    "labels": {"team": "shop", "component": "not this"},
    "tags": ["critical"],
    "depends_on": ["shop-db"],
    "external_url": "https://cbmon.example.net/",
    "incident": "i1",
    "started_at": 1_767_225_600.0,
    "ended_at": None,
    "trials": 0,
    "reason": "connect",
    "last_error": "connection refused",
    "state": "open",
    "text": "5 failures in a row",
    "actor": None,
    "retry_after": 60.0,
    "receiver": "oncall",
}


def message(kind: str = "opened", **body: Any) -> Message:
    return Message(
        id="m1",
        receiver="oncall/webhook",
        incident="i1",
        sequence=1,
        kind=kind,
        created_at=0.0,
        body=BODY | body,
    )


def test_an_outage_is_one_firing_alert() -> None:
    labels = {
        "alertname": "CircuitBreakerOpen",
        "category": "check",
        "component": "shop-api",
        "group": "shop",
        "severity": "critical",
        "team": "shop",
    }
    annotations = {
        "summary": "shop-api is open",
        "description": "5 failures in a row; next trial in 1m",
        "reason": "connect",
        "last_error": "connection refused",
        "target": "https://shop.example.net/health",
        "incident": "i1",
        "tags": "critical",
        "depends_on": "shop-db",
        "runbook_url": "https://cbmon.example.net/runbooks/CircuitBreakerOpen",
    }
    assert webhook_body(message()) == {
        "version": "4",
        "groupKey": '{}:{alertname="CircuitBreakerOpen", component="shop-api"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "oncall",
        "groupLabels": {"alertname": "CircuitBreakerOpen", "component": "shop-api"},
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": "https://cbmon.example.net/",
        "alerts": [
            {
                "status": "firing",
                "labels": labels,
                "annotations": annotations,
                "startsAt": "2026-01-01T00:00:00.000Z",
                "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": "https://cbmon.example.net/components/shop-api",
                "fingerprint": fingerprint(labels),
            }
        ],
    }


def test_its_end_is_the_same_alert_resolved() -> None:
    firing = webhook_body(message())
    over = webhook_body(message("recovered", ended_at=1_767_226_800.0, state="closed"))
    assert over["status"] == over["alerts"][0]["status"] == "resolved"
    assert over["alerts"][0]["endsAt"] == "2026-01-01T00:20:00.000Z"
    for same in ("labels", "startsAt", "fingerprint"):
        assert over["alerts"][0][same] == firing["alerts"][0][same]
    assert over["groupKey"] == firing["groupKey"]
    assert over["commonAnnotations"]["summary"] == "shop-api has recovered after 20m"


@pytest.mark.parametrize(
    ("kind", "fields", "summary"),
    [
        ("opened", {"state": "forced_open"}, "shop-api is forced open"),
        ("disabled", {"state": "disabled"}, "shop-api is disabled"),
        ("withdrawn", {"state": "closed", "ended_at": 1.0}, "shop-api is no longer watched"),
    ],
)
def test_the_summary_says_what_is_the_matter(
    kind: str, fields: dict[str, Any], summary: str
) -> None:
    assert webhook_body(message(kind, **fields))["commonAnnotations"]["summary"] == summary


def test_a_late_and_folded_message_says_so() -> None:
    body = webhook_body(
        message(
            "recovered",
            ended_at=1_767_226_800.0,
            folded=True,
            late_seconds=7500,
            retry_after=None,
            actor="anna",
        )
    )
    assert body["commonAnnotations"]["description"] == (
        "5 failures in a row; moved by anna; "
        "open since 2026-01-01T00:00:00.000Z, of which no message is known to have arrived; "
        "delivered 2h 5m late"
    )


def test_the_fingerprint_is_the_one_that_prometheus_computes() -> None:
    # github.com/prometheus/common/model: the empty set is FNV-1a's offset basis.
    assert fingerprint({}) == "cbf29ce484222325"
    assert fingerprint({"a": "b"}) != fingerprint({"ab": ""})
    assert fingerprint({"a": "1", "b": "2"}) == fingerprint({"b": "2", "a": "1"})


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0s"),
        (45, "45s"),
        (725, "12m 5s"),
        (3600, "1h"),
        (12_000, "3h 20m"),
        (187_200, "2d 4h"),
    ],
)
def test_a_duration_reads_like(seconds: float, text: str) -> None:
    assert lasting(seconds) == text


def test_times_are_utc_with_milliseconds() -> None:
    assert timestamp(1_767_225_600.678) == "2026-01-01T00:00:00.678Z"
