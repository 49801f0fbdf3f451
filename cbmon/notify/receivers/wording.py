"""A message in words: what every receiver that people read says in the same way.

Rule: plain text without markup. What comes from a target is escaped by the receiver, for its own
channel, after it was cut to length.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from cbmon.model import Message
from cbmon.notify.messages import ENDINGS, UNCHANGED, singles

ALERT_NAME: Final = "CircuitBreakerOpen"
"""The alert that the shipped rules raise for the same; its runbook is theirs."""
NAMES: Final = 3
DEPENDANTS: Final = 20
LISTED: Final = 9
"""Outages that one message lists one by one; Slack shows ten fields."""
SHORT: Final = 120
_PLACE: Final = "{component}"


def is_over(message: Message) -> bool:
    """Whether the message tells of an end, of all that it tells of."""
    return message.kind in ENDINGS or bool(message.body.get("over"))


def summary(message: Message) -> str:
    """One line: what is the matter with what."""
    if "entries" in message.body:
        return _summary_of_many(message)
    body = message.body
    name, state = body["component"], str(body.get("state", "")).replace("_", " ")
    said = _SUMMARIES.get(message.kind)
    if said is not None:
        return said.format(name=name, state=state)
    if not is_over(message):
        return f"{name} is {state}"
    lasted = lasting(body["ended_at"] - body["started_at"]) if body.get("ended_at") else None
    return f"{name} has recovered" + (f" after {lasted}" if lasted else "")


_SUMMARIES: Final = {
    "withdrawn": "{name} is no longer watched",
    "flapping": "{name} is flapping, now {state}",
    "settled": "{name} has settled in {state}",
    "reminder": "{name} is still {state}",
    UNCHANGED: "{name} is still {state}",
    "isolated": "cbmon is cut off: none of its reference targets answers",
    "reconnected": "cbmon is connected again",
}


def _summary_of_many(message: Message) -> str:
    told = singles(message)
    over = sum(is_over(one) for one in told)
    down = len(told) - over
    where = ", ".join(f"{k}={v}" for k, v in message.body.get("group_labels", {}).items() if v)
    names = [str(one.body["component"]) for one in told]
    shown = ", ".join(names[:NAMES]) + (f" and {len(names) - NAMES} more" if names[NAMES:] else "")
    still = "still " if message.kind == "reminder" else ""
    counts = [f"{down} {still}down"] if down else []
    counts += [f"{over} recovered"] if over else []
    return f"{where + ': ' if where else ''}{', '.join(counts)}: {shown}"


def description(message: Message) -> str:
    """The sentence that the breaker gave, who moved it, what is down with it, what was late."""
    body = message.body
    parts = [str(body["text"])] if body.get("text") else []
    if body.get("actor"):
        parts.append(f"moved by {body['actor']}")
    if body.get("retry_after"):
        parts.append(f"next trial in {lasting(body['retry_after'])}")
    if names := body.get("dependants"):
        more = f" and {len(names) - DEPENDANTS} more" if len(names) > DEPENDANTS else ""
        parts.append(f"down with it: {', '.join(names[:DEPENDANTS])}{more}")
    if body.get("folded"):
        # Not "was not told": a crash may have hit between its arrival and the note of it.
        since = timestamp(body["started_at"])
        parts.append(f"open since {since}, of which no message is known to have arrived")
    if body.get("instead_of"):
        parts.append(f"told here because {body['instead_of']} has not taken it")
    if body.get("late_seconds"):
        parts.append(f"delivered {lasting(body['late_seconds'])} late")
    return "; ".join(parts)


def generator_url(body: Mapping[str, Any]) -> str:
    """Where the component can be looked at; empty without an external_url."""
    base = str(body.get("external_url") or "").rstrip("/")
    if not base or "entries" in body or body["component"] == "cbmon":
        return f"{base}/" if base else ""
    return f"{base}/components/{_quoted(body)}"


def runbook_url(body: Mapping[str, Any]) -> str:
    """What to do about it; empty without an external_url."""
    base = str(body.get("external_url") or "").rstrip("/")
    return f"{base}/runbooks/{ALERT_NAME}" if base else ""


def dashboard_url(body: Mapping[str, Any]) -> str:
    """Where its history can be seen; empty when no dashboard is configured."""
    base = str(body.get("dashboard_url") or "")
    if "entries" in body and _PLACE in base:
        return ""
    return base.replace(_PLACE, _quoted(body))


def _quoted(body: Mapping[str, Any]) -> str:
    return quote(str(body["component"]), safe="", errors="replace")


def links(message: Message) -> list[tuple[str, str]]:
    """What a person wants to open next, as pairs of words and address."""
    body = message.body
    found = [
        ("Open in cbmon", generator_url(body)),
        ("Runbook", "" if is_over(message) else runbook_url(body)),
        ("Dashboard", dashboard_url(body)),
    ]
    return [(words, url) for words, url in found if url]


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
    if "entries" in body:
        return _facts_of_many(message)
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


def _facts_of_many(message: Message) -> list[tuple[str, str]]:
    """A line for each, news first; those that do not fit are counted."""
    told = singles(message)
    lines = [(str(one.body["component"]), _in_short(one)) for one in told[:LISTED]]
    left = len(told) - LISTED
    return [*lines, ("And", f"{left} more")] if left > 0 else lines


def _in_short(message: Message) -> str:
    body = message.body
    since, ended = timestamp(body["started_at"]), body.get("ended_at")
    if is_over(message):
        lasted = f" after {lasting(ended - body['started_at'])}" if ended else ""
        return f"recovered{lasted}" + (f", open since {since}" if body.get("folded") else "")
    state = str(body.get("state", "")).replace("_", " ")
    still = "still " if message.kind == UNCHANGED else ""
    why = f": {clipped(str(body['last_error']), SHORT)}" if body.get("last_error") else ""
    with_it = f"; {len(body['dependants'])} depend on it" if body.get("dependants") else ""
    return f"{still}{state} since {since}{why}{with_it}"


def clipped(text: str, limit: int) -> str:
    """At most ``limit`` code points, the last one ``…`` if something was cut; no control chars."""
    clean = "".join(char if char.isprintable() or char == "\n" else " " for char in text)
    return clean if len(clean) <= limit else f"{clean[: max(0, limit - 1)]}…"


def clipped_pieces(pieces: Iterable[str], limit: int) -> str:
    """Pieces that must not be cut, such as escapes, together at most ``limit`` characters."""
    found = list(pieces)
    if sum(map(len, found)) <= limit:
        return "".join(found)
    kept: list[str] = []
    room = limit - 1
    for piece in found:
        room -= len(piece)
        if room < 0:
            break
        kept.append(piece)
    return "".join(kept) + "…"


def clipped_bytes(text: str, limit: int) -> str:
    """At most ``limit`` bytes of UTF-8, the last character ``…`` if something was cut."""
    if len(text.encode()) <= limit:
        return text
    return text.encode()[: limit - len("…".encode())].decode(errors="ignore") + "…"
