"""What a request asks for in its query and its body, read strictly.

Rule: an unknown or unreadable parameter is a 400 that says what would do; nothing is guessed.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any, Final, TypeVar

from aiohttp import web

from cbmon.web.errors import ApiError, bad_request
from cbmon.web.keys import LIMITS

PAGE: Final = 100
LARGEST_PAGE: Final = 1000
LONGEST_REASON: Final = 500
ONE_LINE: Final = r"^[^\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]*$"
"""Text without control characters, line breaks and reversals: a terminal shows it as it is. In the
words of both Python and ECMAScript."""
_ONE_LINE: Final = re.compile(ONE_LINE)
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
T = TypeVar("T")


def parameters(request: web.Request, known: Sequence[str]) -> Mapping[str, str]:
    """The query as a mapping; raises ApiError for a name that is not known or given twice."""
    query = request.query
    for name in query:
        if name not in known:
            raise bad_request(
                f"unknown parameter {name!r}{_nearest(name, known)}", known=list(known)
            )
        if len(query.getall(name)) > 1:
            raise bad_request(f"parameter {name!r} is given more than once", parameter=name)
    return query


def limit(query: Mapping[str, str]) -> int:
    """How many entries a page has."""
    text = query.get("limit")
    if text is None:
        return PAGE
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= LARGEST_PAGE:
        raise bad_request(
            f"limit: expected a whole number from 1 to {LARGEST_PAGE}, got {text[:40]!r}",
            parameter="limit",
        )
    return int(text)


def one_of(query: Mapping[str, str], name: str, choices: Sequence[str]) -> str | None:
    """A parameter out of a closed set, or None."""
    value = query.get(name)
    if value is not None and value not in choices:
        raise bad_request(
            f"{name}: expected one of {', '.join(choices)}, got {value[:40]!r}", parameter=name
        )
    return value


def moment(query: Mapping[str, str], name: str) -> float | None:
    """A time as RFC 3339 or in Unix seconds; without a zone it is UTC."""
    text = query.get(name)
    if text is None:
        return None
    try:
        if text.replace(".", "", 1).isdecimal() and text.isascii():
            return float(text[:24])
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise bad_request(
            f"{name}: expected a time such as 2026-01-02T03:04:05Z or Unix seconds, "
            f"got {text[:40]!r}",
            parameter=name,
        ) from None


def page(
    items: Sequence[T], key: Callable[[T], str], query: Mapping[str, str]
) -> tuple[Sequence[T], str | None]:
    """The part of ``items``, sorted by ``key``, that a cursor stands at, and the next cursor."""
    size, cursor = limit(query), query.get("cursor")
    rest = sorted(items, key=key)
    if cursor is not None:
        after = _from_cursor(cursor)
        rest = [item for item in rest if key(item) > after]
    shown = rest[:size]
    return shown, to_cursor(key(shown[-1])) if len(rest) > size else None


def is_one_line(text: str) -> bool:
    """Whether a person can be shown this as it is."""
    return _ONE_LINE.fullmatch(text) is not None and not _SURROGATE.search(text)


def to_cursor(key: str) -> str:
    """An opaque place in a list."""
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def _from_cursor(cursor: str) -> str:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode(errors="replace")
    except (ValueError, binascii.Error):
        raise bad_request(
            "cursor: expected the next_cursor of an earlier answer", parameter="cursor"
        ) from None


def cursor_key(query: Mapping[str, str]) -> str | None:
    """The key that a cursor stands for, or None without one."""
    cursor = query.get("cursor")
    return None if cursor is None else _from_cursor(cursor)


async def json_object(request: web.Request) -> dict[str, Any]:
    """The JSON object of a request that has to have one; its fields are the caller's to judge."""
    return _parsed(await read(request))


def from_json(raw: bytes) -> Any:
    """What a body of JSON says; raises ApiError, also where it says two things of one name."""
    try:
        return json.loads(raw, object_pairs_hook=_once_each)
    except (ValueError, RecursionError):
        raise bad_request("the body is not JSON") from None


def _once_each(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise bad_request(f"the body has {name[:40]!a} more than once", field=name[:40])
        found[name] = value
    return found


def _parsed(raw: bytes) -> dict[str, Any]:
    if not raw:
        raise bad_request("there is no body; expected a JSON object")
    data = from_json(raw)
    if not isinstance(data, dict):
        raise bad_request(f"the body: expected a JSON object, got {_kind(data)}")
    return data


async def body(request: web.Request, known: Mapping[str, type]) -> dict[str, Any]:
    """The JSON object of a request, or nothing for none; fields of the known types only."""
    raw = await read(request)
    data = _parsed(raw) if raw else {}
    for name, value in data.items():
        if name not in known:
            raise bad_request(
                f"unknown field {name[:40]!r}{_nearest(name, list(known))}", known=list(known)
            )
        _check_type(name, value, known[name])
    return data


def seconds(data: Mapping[str, Any], name: str) -> float | None:
    """A duration in seconds, more than 0, at most a year."""
    value = data.get(name)
    if value is None:
        return None
    if not math.isfinite(value) or not 0 < value <= 366 * 86_400:
        raise bad_request(
            f"{name}: expected seconds, more than 0 and at most a year, got {value!r}", field=name
        )
    return float(value)


def reason(data: Mapping[str, Any]) -> str | None:
    """Why something is done: one line for the next person."""
    text = data.get("reason")
    _check_type("reason", text, str)
    if text is None:
        return None
    if len(text) > LONGEST_REASON:
        raise bad_request(
            f"reason: expected at most {LONGEST_REASON} characters, got {len(text)}",
            field="reason",
        )
    if not is_one_line(text):
        raise bad_request(
            f"reason: expected one line of printable text, got {text!a}", field="reason"
        )
    return text or None


async def read(request: web.Request) -> bytes:
    """The whole body, if it comes in time and is not too large; raises ApiError."""
    allowed = request.app[LIMITS].body
    try:
        async with asyncio.timeout(allowed):
            return await request.read()
    except TimeoutError:
        raise ApiError(408, "timeout", f"the body was not complete within {allowed:g} s") from None
    except web.RequestPayloadError as error:
        raise bad_request(f"the body cannot be read: {error}") from error


def _check_type(name: str, value: Any, expected: type) -> None:
    number = expected is float and isinstance(value, int) and not isinstance(value, bool)
    if value is None or number or type(value) is expected:
        return
    words = {float: "a number", str: "text", bool: "true or false", list: "a list"}
    raise bad_request(f"{name}: expected {words[expected]}, got {_kind(value)}", field=name)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    return "nothing" if value is None else names.get(type(value), "a number")


def _nearest(name: str, known: Sequence[str]) -> str:
    nearest = get_close_matches(name, known, n=1)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""
