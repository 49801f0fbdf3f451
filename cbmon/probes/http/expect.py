"""The judgement of an answer.

Rule: pure; the first expectation that is not met decides, from the cheap and telling (status) to
the dear (body).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import lru_cache

from multidict import CIMultiDictProxy

from cbmon.model import Reason
from cbmon.probes.failure import ProbeError, seconds, shown
from cbmon.probes.http.options import BodyExpect, HeaderExpect, HttpExpect, StatusRange
from cbmon.probes.http.redacted import HIDDEN, is_credential

_REFUSALS = frozenset({401, 403, 407})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back. ``body`` is None when nothing had to look at it."""

    status: int
    headers: CIMultiDictProxy[str]
    tls: bool
    authenticated: bool
    """Whether credentials were sent."""
    body: bytes | None = None


def judge_head(expect: HttpExpect, answer: Answer, now: float) -> None:
    """ProbeError unless status, TLS and headers are as expected at the Unix time ``now``."""
    _status(expect, answer)
    if expect.tls is not None and expect.tls != answer.tls:
        got, wanted = ("TLS", "none") if answer.tls else ("no TLS", "TLS")
        raise ProbeError(Reason.TLS, f"the answer came with {got}, expected {wanted}")
    _headers(expect.headers, answer.headers)
    if expect.last_modified_age is not None:
        _age(answer.headers.get("Last-Modified"), expect.last_modified_age, now)


def accepted(expect: HttpExpect) -> frozenset[int]:
    """Statuses that make a head good whatever else it says; empty where more is looked at.

    Without 401 and its like, which say something of the credentials too.
    """
    if expect.tls is not None or needs_headers(expect):
        return frozenset()
    return _within(expect.status)


@lru_cache(256)
def _within(ranges: tuple[StatusRange, ...]) -> frozenset[int]:
    """All statuses in some ranges; few checks have ranges of their own."""
    return frozenset(n for first, last in ranges for n in range(first, last + 1)) - _REFUSALS


def judge_body(expect: HttpExpect, body: bytes) -> None:
    """ProbeError unless the body is as expected."""
    _patterns(expect.body, body)
    if expect.json_paths:
        _json(expect, body)


def needs_headers(expect: HttpExpect) -> bool:
    """Whether the judgement looks at headers."""
    headers = expect.headers
    return bool(headers.matches or headers.not_matches or expect.last_modified_age is not None)


def needs_body(expect: HttpExpect) -> bool:
    """Whether the body has to be kept to be looked at."""
    return bool(expect.json_paths or expect.body.matches or expect.body.not_matches)


def needs_end(expect: HttpExpect) -> bool:
    """Whether there is something to judge once all has come."""
    return expect.certificate_days is not None or expect.max_duration is not None


def _status(expect: HttpExpect, answer: Answer) -> None:
    if any(first <= answer.status <= last for first, last in expect.status):
        return
    text = f"got status {answer.status}, expected {_listed([str(one) for one in expect.status])}"
    refused = answer.authenticated and answer.status in _REFUSALS
    raise ProbeError(Reason.AUTH if refused else Reason.STATUS, text)


def _headers(expect: HeaderExpect, headers: CIMultiDictProxy[str]) -> None:
    if not expect.matches and not expect.not_matches:
        return
    optional = {name.lower() for name in expect.allow_missing}
    for name, pattern in expect.matches.items():
        values = headers.getall(name, [])
        if not values and name.lower() in optional:
            continue
        if not values:
            raise ProbeError(Reason.HEADER, f"there is no header {name}")
        if not any(pattern.search(_clean(value)) for value in values):
            got = _told(name, values[0])
            text = f"header {name} is {got}, expected a match for {pattern.pattern!r}"
            raise ProbeError(Reason.HEADER, text)
    for name, pattern in expect.not_matches.items():
        for value in headers.getall(name, []):
            if pattern.search(_clean(value)):
                got = _told(name, value)
                text = f"header {name} is {got}, expected no match for {pattern.pattern!r}"
                raise ProbeError(Reason.HEADER, text)


def _told(name: str, value: str) -> str:
    return HIDDEN if is_credential(name) else shown(value)


def _clean(value: str) -> bytes:
    return value.encode(errors="surrogateescape")


def _age(value: str | None, longest: float, now: float) -> None:
    if value is None:
        raise ProbeError(Reason.HEADER, "there is no header Last-Modified")
    try:
        age = now - parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError) as error:
        text = f"header Last-Modified is {shown(value)}, expected a date"
        raise ProbeError(Reason.HEADER, text) from error
    if age > longest:
        text = f"last modified {seconds(age)} ago, expected at most {seconds(longest)}"
        raise ProbeError(Reason.HEADER, text)


def _patterns(expect: BodyExpect, body: bytes) -> None:
    for pattern in expect.matches:
        if not pattern.search(body):
            text = f"the body {_beginning(body)} does not match {pattern.pattern!r}"
            raise ProbeError(Reason.BODY, text)
    for pattern in expect.not_matches:
        match = pattern.search(body)
        if match:
            text = f"the body holds {shown(match[0])}, expected no match for {pattern.pattern!r}"
            raise ProbeError(Reason.BODY, text)


def _json(expect: HttpExpect, body: bytes) -> None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        text = f"the body {_beginning(body)} is not JSON"
        raise ProbeError(Reason.BODY, text) from error
    for path, conditions in expect.json_paths.items():
        trouble = conditions.trouble(path.find(document))
        if trouble:
            raise ProbeError(Reason.BODY, f"at {path}: {trouble}")


def _beginning(body: bytes) -> str:
    return f"({len(body)} bytes, beginning with {shown(body[:60])})" if body else "(empty)"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
