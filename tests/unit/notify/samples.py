"""Messages to render: one outage, its end, a digest of many, and one with everything hostile."""

from __future__ import annotations

from typing import Any

from cbmon.model import Message
from cbmon.notify.messages import combined

BEGAN = 1_767_225_600.0
BODY: dict[str, Any] = {
    "component": "shop-api",
    "category": "check",
    "group": "shop",
    "target": "https://shop.example.net/health",
    "type": "http",
    "labels": {"team": "shop"},
    "tags": ["critical"],
    "depends_on": ["shop-db"],
    "external_url": "https://cbmon.example.net",
    "dashboard_url": None,
    "incident": "i1",
    "episode": "i1",
    "started_at": BEGAN,
    "ended_at": None,
    "over": False,
    "trials": 0,
    "reason": "connect",
    "last_error": "connection refused",
    "state": "open",
    "kind": "opened",
    "text": "5 failures in a row",
    "actor": None,
    "at": BEGAN,
    "retry_after": 60.0,
    "receiver": "oncall",
}
HOSTILE = "<!channel> @everyone [x](http://evil) *b* _i_ `c` ``` </b><script> & \\ \x1b[31m\u202e"
"""What a target might answer to reach those who read of it."""


def message(kind: str = "opened", **body: Any) -> Message:
    return Message(
        id="msg_1",
        receiver="oncall/x",
        incident=str(body.get("incident", "i1")),
        sequence=1,
        kind=kind,
        created_at=BEGAN,
        body=BODY | {"kind": kind} | body,
    )


def recovery(**body: Any) -> Message:
    ended = {"ended_at": BEGAN + 1080.0, "over": True, "state": "closed", "at": BEGAN + 1080.0}
    quiet = {"text": "the trial succeeded", "retry_after": None, "trials": 3}
    return message("recovered", **{**ended, **quiet, **body})


def digest(count: int = 200, **body: Any) -> Message:
    entries = [
        message(component=f"shop-{number}", incident=f"i{number}", episode=f"i{number}", **body)
        for number in range(count)
    ]
    made = combined([dict(one.body) for one in entries], {"group": "shop"}, first=True)
    return Message(
        id="msg_2",
        receiver="oncall/x",
        incident="storm-i0",
        sequence=1,
        kind="opened",
        created_at=BEGAN,
        body=made,
    )


def hostile(**body: Any) -> Message:
    said = {"last_error": HOSTILE * 200, "text": HOSTILE * 200, "component": HOSTILE * 20}
    more = {"target": HOSTILE * 100, "group": HOSTILE, "labels": {"x": HOSTILE * 100}}
    many = {"tags": [HOSTILE] * 50, "depends_on": [HOSTILE] * 50}
    return message(**{**said, **more, **many, **body})


def texts(value: Any) -> list[str]:
    """Every text in a payload."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for item in value.values() for text in texts(item)]
    return [text for item in value for text in texts(item)] if isinstance(value, list) else []
