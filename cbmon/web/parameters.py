"""Query parameters, headers and fields of bodies, each described once.

Rule: what a route names in its ``query``, ``headers`` and ``body`` is here.
"""

from __future__ import annotations

from typing import Any, Final

from cbmon.web import result_schema, schemas, setting_schema
from cbmon.web.query import LARGEST_PAGE, LONGEST_REASON, ONE_LINE, PAGE

Schema = dict[str, Any]
LINE: Final[Schema] = {"type": "string", "pattern": ONE_LINE}
_SAFE: Final = "[A-Za-z0-9_-]"
CURSOR: Final[Schema] = {
    "type": "string",
    "pattern": f"^({_SAFE}{{4}})*({_SAFE}{{2,3}})?$",
}

QUERY: Final[dict[str, tuple[Schema, str]]] = {
    "state": (schemas.STATE, "only breakers in this state"),
    "category": (schemas.CATEGORY, "only breakers that guard this kind of thing"),
    "target": (schemas.TEXT, "what to look at"),
    "module": (schemas.TEXT, "the module that says how; http_2xx without one"),
    "hostname": (schemas.TEXT, "Host header and name in TLS, instead of the target's"),
    "debug": (schemas.TEXT, "true: what happened, metrics and module as text"),
    "id": (schemas.TEXT, "the number of an earlier probe"),
    "tag": (schemas.TEXT, "only those that have this tag"),
    "q": (schemas.TEXT, "only those with this text in name, target, group or a tag"),
    "component": (schemas.TEXT, "only what concerns this check or export; * is all of them"),
    "active": (schemas.YES_OR_NO, "true: only those in service; false: only disabled ones"),
    "actor": (schemas.TEXT, "only what this person or program did"),
    "action": (schemas.TEXT, "only this action, such as open or change_settings"),
    "refused": (schemas.YES_OR_NO, "true: only what was refused; false: only what was done"),
    "since": (schemas.MOMENT, "not before that: RFC 3339, or Unix seconds"),
    "until": (schemas.MOMENT, "not after that: RFC 3339, or Unix seconds"),
    "reason": ({**LINE, "maxLength": LONGEST_REASON}, "why, for the record"),
    "resolution": (
        result_schema.RESOLUTION,
        "single runs, or sums of five minutes, hours or days; chosen by the range without it",
    ),
    "dry_run": (schemas.YES_OR_NO, "true: say what would hold, change nothing"),
    "receiver": (schemas.TEXT, "only messages for this receiver line, such as oncall/slack"),
    "outcome": (schemas.OUTCOME, "only messages with which this happened"),
    "expired": ({"type": "string", "enum": ["true", "false"]}, "true: those that are over too"),
    "limit": (
        {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": PAGE},
        "entries per page",
    ),
    "application": (schemas.TEXT, "the name that the application reports under"),
    "process": (schemas.TEXT, "the name of its process, if it has one"),
    "wait": (
        {"type": "number", "minimum": 0, "maximum": 60, "default": 0},
        "seconds to wait until there is an order",
    ),
    "rid": (
        {**LINE, "maxLength": 100},
        "id of the run, to keep runs apart that go on at the same time",
    ),
    "cursor": (CURSOR, "the next_cursor of the page before"),
    "kind": (schemas.TEXT, "only events of this kind, such as transition, or of kinds a,b"),
    "next": (schemas.TEXT, "the page to go on to after the login"),
    "show": ({"type": "string", "enum": ["state", "uptime"]}, "what a badge says"),
    "over": ({"type": "string", "enum": ["24h", "7d", "30d"]}, "the time of an uptime"),
    "label": (schemas.TEXT, "the left side of a badge"),
}
BODY: Final[dict[str, tuple[Schema, str]]] = {
    "reason": (setting_schema.REASON, "why, for the record and for colleagues"),
    "for_seconds": (
        {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 366 * 86_400},
        "wait just that before the first trial",
    ),
    "name": (schemas.TEXT, "the user's name; with a token it may be left out"),
    "password": (schemas.TEXT, "the password, or the token"),
    "next": (schemas.TEXT, "the page to go on to"),
    "csrf_token": (schemas.TEXT, "what the page of this login was given"),
    "matchers": (
        {"type": "array", "items": schemas.TEXT, "minItems": 1, "maxItems": 20},
        'what it covers, such as team="shop"; all must hold',
    ),
    "receiver": (schemas.TEXT, "the receiver's name"),
    "dry_run": ({"type": ["boolean", "null"]}, "show the message, send nothing"),
    "hold": ({"type": ["boolean", "null"]}, "keep the state until someone releases it"),
    "reset_counters": (
        {"type": ["boolean", "null"]},
        "begin anew (the default), or go on in half-open with the cycles kept",
    ),
}
HEADERS: Final[dict[str, tuple[Schema, str]]] = {
    "If-Match": (schemas.TEXT, "the ETag of the settings that this change was made from"),
    "Last-Event-ID": (
        {"type": "string", "pattern": "^[0-9A-Za-z-]{1,64}$"},
        "the id of the last event that was seen; the stream goes on after it",
    ),
}
