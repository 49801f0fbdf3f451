"""A message as an alert in Alertmanager's terms: labels, annotations, fingerprint, webhook body.

Rule: the labels of an outage and of its end are the same, so that whoever keeps alerts by their
fingerprint sees one alert that is resolved. Body:
https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from cbmon.model import Message
from cbmon.notify.messages import singles
from cbmon.notify.receivers.wording import (
    ALERT_NAME,
    description,
    generator_url,
    is_over,
    runbook_url,
    summary,
    timestamp,
)
from cbmon.notify.severity import SEVERITY, severity_of

NEVER: Final = "0001-01-01T00:00:00Z"
"""What Alertmanager writes for the end of something that goes on: Go's zero time."""
MOST_ALERTS: Final = 500
"""Alerts in one body; the rest is counted in ``truncatedAlerts``."""
_FNV_OFFSET: Final = 14_695_981_039_346_656_037
_FNV_PRIME: Final = 1_099_511_628_211
_MASK: Final = (1 << 64) - 1

Labels = dict[str, str]


def labels_of(body: Mapping[str, Any]) -> Labels:
    """The labels of the alert; cbmon's own win over configured ones of the same name."""
    own = {
        "alertname": ALERT_NAME,
        "component": str(body["component"]),
        "category": str(body["category"]),
        "group": str(body.get("group") or ""),
    }
    labels = {str(name): str(value) for name, value in body.get("labels", {}).items()}
    own[SEVERITY] = severity_of(own["category"], labels)
    return {**labels, **{name: value for name, value in own.items() if value}}


def annotations_of(message: Message) -> Labels:
    """What a person wants to know."""
    body = message.body
    found = {
        "summary": summary(message),
        "description": description(message),
        "reason": body.get("reason"),
        "last_error": body.get("last_error"),
        "target": body.get("target"),
        "incident": body.get("incident"),
        "tags": ", ".join(body.get("tags", ())),
        "depends_on": ", ".join(body.get("depends_on", ())),
        "actor": body.get("actor"),
        "dependants": ", ".join(body.get("dependants", ())),
        "runbook_url": runbook_url(body),
    }
    return {name: str(value) for name, value in found.items() if value}


def alert_of(message: Message) -> dict[str, Any]:
    """One entry of ``alerts``."""
    body, labels = message.body, labels_of(message.body)
    ended = body.get("ended_at") if is_over(message) else None
    return {
        "status": "resolved" if is_over(message) else "firing",
        "labels": labels,
        "annotations": annotations_of(message),
        "startsAt": timestamp(body["started_at"]),
        "endsAt": NEVER if ended is None else timestamp(ended),
        "generatorURL": generator_url(body),
        "fingerprint": fingerprint(labels),
    }


def webhook_body(message: Message) -> dict[str, Any]:
    """The body of Alertmanager's webhook, version 4, with an alert for each outage."""
    if "entries" in message.body:
        return _body_of_many(message)
    alert = alert_of(message)
    group = {"alertname": ALERT_NAME, "component": str(message.body["component"])}
    return {
        "version": "4",
        "groupKey": _group_key(group),
        "truncatedAlerts": 0,
        "status": alert["status"],
        "receiver": message.body.get("receiver", message.receiver),
        "groupLabels": group,
        "commonLabels": alert["labels"],
        "commonAnnotations": alert["annotations"],
        "externalURL": message.body.get("external_url") or "",
        "alerts": [alert],
    }


def _body_of_many(message: Message) -> dict[str, Any]:
    told = singles(message)
    alerts = [alert_of(one) for one in told[:MOST_ALERTS]]
    group = {"alertname": ALERT_NAME, **message.body.get("group_labels", {})}
    return {
        "version": "4",
        "groupKey": _group_key(group),
        "truncatedAlerts": len(told) - len(alerts),
        "status": "resolved" if is_over(message) else "firing",
        "receiver": message.body.get("receiver", message.receiver),
        "groupLabels": group,
        "commonLabels": _common([alert["labels"] for alert in alerts]),
        "commonAnnotations": _common([alert["annotations"] for alert in alerts]),
        "externalURL": message.body.get("external_url") or "",
        "alerts": alerts,
    }


def _group_key(group: Mapping[str, str]) -> str:
    pairs = ", ".join(f'{name}="{_escaped(value)}"' for name, value in group.items())
    return f"{{}}:{{{pairs}}}"


def _common(mappings: Sequence[Mapping[str, str]]) -> Labels:
    shared = set(mappings[0].items()).intersection(*(each.items() for each in mappings[1:]))
    return dict(sorted(shared))


def fingerprint(labels: Mapping[str, str]) -> str:
    """The id that Prometheus gives this label set: FNV-1a over sorted names and values."""
    value = _FNV_OFFSET
    for name in sorted(labels):
        for byte in (*name.encode(), 0xFF, *labels[name].encode(errors="replace"), 0xFF):
            value = ((value ^ byte) * _FNV_PRIME) & _MASK
    return f"{value:016x}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
