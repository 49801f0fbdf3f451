"""What is answered when a request is not let through to its handler.

Rule: 503 with ``Retry-After`` when the wait is known, never cached, unless the route has a
fallback; no detail but the breaker's name and state leaves the process.
"""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Any, Final

from cbmon.breaker import CircuitOpenError, State

HEADER: Final = "X-Circuit-Breaker"
"""Says which breaker answered and why: ``name; open``, ``name; full``, ``name; timeout``."""
_CODES: Final = {
    "open": (503, "circuit_open", "temporarily unavailable: too many calls have failed"),
    "full": (503, "bulkhead_full", "temporarily unavailable: too many requests are running"),
    "timeout": (504, "timeout", "the answer took too long"),
}
_UNSAFE: Final = str.maketrans(dict.fromkeys(map(chr, (*range(32), 127)), "?"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer of one's own. ``body`` is text, bytes, or something JSON-able."""

    body: Any = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """Why a request is answered without its handler, or instead of it.

    ``cause``: ``open`` (the breaker rejects), ``full`` (the bulkhead has no place), ``timeout``
    (the handler was cut off). ``retry_after`` in seconds, None when nobody knows.
    """

    cause: str
    name: str
    state: State
    retry_after: float | None
    method: str
    path: str


Answer = Any
"""A Reply, text, bytes, something JSON-able, or a response of the framework."""
Fallback = Answer | Callable[[Rejection], Answer | Awaitable[Answer]] | None

Rendered = tuple[int, dict[str, str], bytes]
"""Status, headers and body."""


async def answer_for(fallback: Fallback, rejection: Rejection) -> Answer:
    """What a fallback says to a rejection; the plain 503 or 504 without one."""
    if fallback is None:
        return plain(rejection)
    if not callable(fallback):
        return fallback
    value = fallback(rejection)
    return await value if isawaitable(value) else value


def plain(rejection: Rejection) -> Reply:
    """The answer without a fallback: the error in JSON, in the shape of the daemon's API."""
    status, code, message = _CODES[rejection.cause]
    details: dict[str, Any] = {"breaker": rejection.name, "state": rejection.state.value}
    if rejection.retry_after is not None:
        details["retry_after_seconds"] = round(rejection.retry_after, 3)
    error = {"code": code, "message": message, "details": details}
    return Reply(body={"error": error}, status=status)


def rendered(answer: Answer, rejection: Rejection) -> Rendered:
    """An answer as it goes out. A body without a status of its own is a 503 (or 504)."""
    status = _CODES[rejection.cause][0]
    reply = answer if isinstance(answer, Reply) else Reply(body=answer, status=status)
    body, kind = _encoded(reply.body)
    headers = {
        "Content-Type": kind,
        "Cache-Control": "no-store",
        HEADER: f"{_clean(rejection.name)}; {rejection.cause}",
    }
    wait = wait_of(rejection)
    if reply.status == 503 and wait is not None:
        headers["Retry-After"] = wait
    headers.update(reply.headers)
    return reply.status, headers, body


def wait_of(rejection: Rejection) -> str | None:
    """``Retry-After``: whole seconds, at least one; None when only a person can end it."""
    if rejection.cause == "full":
        return "1"
    seconds = rejection.retry_after
    return None if seconds is None else str(max(1, math.ceil(seconds)))


def inner_rejection(error: BaseException, name: str, method: str, path: str) -> Rejection:
    """A handler let the refusal of a breaker or bulkhead that it uses itself reach us."""
    if isinstance(error, CircuitOpenError):
        cause, state, retry_after, name = "open", error.state, error.retry_after, error.name
    else:
        cause, state, retry_after = "full", State.CLOSED, None
    return Rejection(
        cause=cause, name=name, state=state, retry_after=retry_after, method=method, path=path
    )


def _clean(name: str) -> str:
    return name.translate(_UNSAFE).encode("ascii", "replace").decode()


def _encoded(body: Any) -> tuple[bytes, str]:
    if isinstance(body, bytes):
        return body, "application/octet-stream"
    if isinstance(body, str):
        return body.encode(), "text/plain; charset=utf-8"
    return json.dumps(body, separators=(",", ":")).encode(), "application/json"
