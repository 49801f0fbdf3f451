"""A message as an alert in Alertmanager's terms: labels, annotations, fingerprint, webhook body.

Rule: the labels of an outage and of its end are the same, so that whoever keeps alerts by their
fingerprint sees one alert that is resolved. Body:
https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from cbmon.model import Message
from cbmon.notify.messages import ENDINGS

ALERT_NAME: Final = "CircuitBreakerOpen"
NEVER: Final = "0001-01-01T00:00:00Z"
"""What Alertmanager writes for the end of something that goes on: Go's zero time."""
_FNV_OFFSET: Final = 14_695_981_039_346_656_037
_FNV_PRIME: Final = 1_099_511_628_211
_MASK: Final = (1 << 64) - 1

Labels = dict[str, str]


def is_over(message: Message) -> bool:
    """Whether the message tells of an end."""
    return message.kind in ENDINGS


def labels_of(body: Mapping[str, Any]) -> Labels:
    """The labels of the alert; cbmon's own win over configured ones of the same name."""
    own = {
        "alertname": ALERT_NAME,
        "component": str(body["component"]),
        "category": str(body["category"]),
        "group": str(body.get("group") or ""),
    }
    labels = {str(name): str(value) for name, value in body.get("labels", {}).items()}
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
    }
    return {name: str(value) for name, value in found.items() if value}


def summary(message: Message) -> str:
    """One line: what is the matter with what."""
    body = message.body
    name, state = body["component"], str(body.get("state", "")).replace("_", " ")
    if message.kind == "withdrawn":
        return f"{name} is no longer watched"
    if not is_over(message):
        return f"{name} is {state}"
    lasted = lasting(body["ended_at"] - body["started_at"]) if body.get("ended_at") else None
    return f"{name} has recovered" + (f" after {lasted}" if lasted else "")


def description(message: Message) -> str:
    """The sentence that the breaker gave, who moved it, and what was late."""
    body = message.body
    parts = [str(body["text"])] if body.get("text") else []
    if body.get("actor"):
        parts.append(f"moved by {body['actor']}")
    if body.get("retry_after"):
        parts.append(f"next trial in {lasting(body['retry_after'])}")
    if body.get("folded"):
        parts.append(f"open since {timestamp(body['started_at'])}, which could not be told before")
    if body.get("late_seconds"):
        parts.append(f"delivered {lasting(body['late_seconds'])} late")
    return "; ".join(parts)


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
    """The body of Alertmanager's webhook, version 4, with this one alert."""
    alert = alert_of(message)
    group = {"alertname": ALERT_NAME, "component": str(message.body["component"])}
    pairs = ", ".join(f'{name}="{_escaped(value)}"' for name, value in group.items())
    return {
        "version": "4",
        "groupKey": f"{{}}:{{{pairs}}}",
        "truncatedAlerts": 0,
        "status": alert["status"],
        "receiver": message.body.get("receiver", message.receiver),
        "groupLabels": group,
        "commonLabels": alert["labels"],
        "commonAnnotations": alert["annotations"],
        "externalURL": message.body.get("external_url") or "",
        "alerts": [alert],
    }


def generator_url(body: Mapping[str, Any]) -> str:
    """Where the component can be looked at; empty without an external_url."""
    base = str(body.get("external_url") or "").rstrip("/")
    return f"{base}/#{quote(str(body['component']), safe='')}" if base else ""


def fingerprint(labels: Mapping[str, str]) -> str:
    """The id that Prometheus gives this label set: FNV-1a over sorted names and values."""
    value = _FNV_OFFSET
    for name in sorted(labels):
        for byte in (*name.encode(), 0xFF, *labels[name].encode(), 0xFF):
            value = ((value ^ byte) * _FNV_PRIME) & _MASK
    return f"{value:016x}"


def timestamp(unix: float) -> str:
    """RFC 3339 in UTC with milliseconds."""
    moment = datetime.fromtimestamp(unix, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def lasting(seconds: float) -> str:
    """A duration for a person: ``45s``, ``12m 5s``, ``3h 20m``, ``2d 4h``."""
    whole = max(0, round(seconds))
    units = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))
    parts: list[str] = []
    for name, size in units:
        count, whole = divmod(whole, size)
        if count:
            parts.append(f"{count}{name}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0s"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
