"""A message in words: what every receiver that people read says in the same way.

Rule: plain text without markup. What comes from a target is escaped by the receiver, for its own
channel, after it was cut to length.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from cbmon.model import Message
from cbmon.notify.messages import ENDINGS


def is_over(message: Message) -> bool:
    """Whether the message tells of an end."""
    return message.kind in ENDINGS


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
        # Not "was not told": a crash may have hit between its arrival and the note of it.
        since = timestamp(body["started_at"])
        parts.append(f"open since {since}, of which no message is known to have arrived")
    if body.get("late_seconds"):
        parts.append(f"delivered {lasting(body['late_seconds'])} late")
    return "; ".join(parts)


def generator_url(body: Mapping[str, Any]) -> str:
    """Where the component can be looked at; empty without an external_url."""
    base = str(body.get("external_url") or "").rstrip("/")
    return f"{base}/#{quote(str(body['component']), safe='')}" if base else ""


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


def facts(message: Message) -> list[tuple[str, str]]:
    """What a person on call wants to see, as pairs of name and value, the important ones first."""
    body = message.body
    started, ended = body["started_at"], body.get("ended_at")
    found = [
        ("Reason", body.get("reason")),
        ("Target", body.get("target")),
        ("Since", timestamp(started)),
        ("Until", timestamp(ended) if ended else None),
        ("Trials", str(body["trials"]) if body.get("trials") else None),
        ("Group", body.get("group")),
        ("Depends on", ", ".join(body.get("depends_on", ()))),
        ("Tags", ", ".join(body.get("tags", ()))),
        ("Labels", ", ".join(f"{k}={v}" for k, v in sorted(body.get("labels", {}).items()))),
    ]
    return [(name, str(value)) for name, value in found if value]


def clipped(text: str, limit: int) -> str:
    """At most ``limit`` code points, the last one ``…`` if something was cut; no control chars."""
    clean = "".join(char if char.isprintable() or char == "\n" else " " for char in text)
    return clean if len(clean) <= limit else f"{clean[: max(0, limit - 1)]}…"
