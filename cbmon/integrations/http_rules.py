"""What an HTTP answer says of its server, for every HTTP client alike.

Rule: 5xx is a failure and 4xx is not: the request was wrong, the server is well. That is how Envoy
counts (outlier detection, "consecutive 5xx") and what RFC 9110 section 15.5 and 15.6 say. 429 is
an answer unless :class:`HttpRules` says otherwise: the server is well, and this caller too fast.

``Retry-After`` is read as RFC 9110 section 10.2.3 has it: seconds, or a date.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Final, Protocol

from cbmon.breaker.arguments import refuse_type, several
from cbmon.integrations.verdicts import ANSWERED, STATUS, Verdict

SERVER_ERRORS: Final = frozenset(range(500, 600))
TOO_MANY_REQUESTS: Final = 429
SERVICE_UNAVAILABLE: Final = 503
DAY: Final = 86_400.0


class Watch(Protocol):
    """Reads an answer's body along with its reader."""

    failure: str | None
    """What went wrong on the server's side, by the body's own words."""
    begun: bool
    """Whether what the caller waits for has begun to come; set where nobody measures that."""

    def feed(self, data: bytes) -> None:
        """The next bytes as they came over the wire."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRules:
    """Which statuses count, and whether a server may say when to come back.

    A wait that a server asks for opens the breaker at once for just as long, whatever the
    threshold, because the next call is known to fail.
    """

    failure_statuses: frozenset[int] = SERVER_ERRORS
    """Statuses that are failures; ``SERVER_ERRORS | {429}`` adds "too many requests"."""
    retry_after_statuses: frozenset[int] = frozenset()
    """Failure statuses whose ``Retry-After`` sets how long the breaker stays open."""
    longest_retry_after: float = 3600.0
    """Seconds; a longer wait is cut to this. Greater than 0."""
    watch: Callable[[Mapping[str, str]], Watch | None] | None = None
    """Makes, from an answer's headers, what reads its body along; None for nothing."""

    def __post_init__(self) -> None:
        for name in ("failure_statuses", "retry_after_statuses"):
            statuses = several(getattr(self, name), name, "statuses")
            if wrong := [each for each in statuses if not isinstance(each, int)]:
                refuse_type(name, wrong[0], "a status as a number")
            object.__setattr__(self, name, frozenset(statuses))
        if not (isfinite(self.longest_retry_after) and 0 < self.longest_retry_after <= DAY):
            raise ValueError(
                f"longest_retry_after: got {self.longest_retry_after!r}, expected seconds in "
                f"(0, {DAY:.0f}]"
            )

    def verdict(self, status: int) -> Verdict:
        """What a status says of the server."""
        return STATUS if status in self.failure_statuses else ANSWERED

    def wait(self, status: int, headers: Mapping[str, str], wall: float) -> float | None:
        """Seconds that the server asks to be left alone; None if it does not, or may not."""
        if status not in self.retry_after_statuses:
            return None
        seconds = retry_after(headers, wall)
        return None if seconds is None or seconds <= 0 else min(seconds, self.longest_retry_after)


DEFAULT_RULES: Final = HttpRules()
"""5xx fails, everything else is an answer, ``Retry-After`` is left alone."""


def retry_after(headers: Mapping[str, str], wall: float) -> float | None:
    """The wait that an answer asks for, in seconds; None without one that can be read.

    ``retry-after-ms`` is what Azure and OpenAI send beside it, and finer. ``headers`` must not
    care about case.
    """
    fine = _number(headers.get("retry-after-ms"))
    if fine is not None:
        return fine / 1000.0
    text = headers.get("retry-after")
    if text is None:
        return None
    seconds = _number(text)
    return seconds if seconds is not None else _until(text, wall)


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else None
    except ValueError:
        return None
    return value if value is not None and isfinite(value) and value >= 0 else None


def _until(text: str, wall: float) -> float | None:
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - wall)
    except (ValueError, OverflowError):
        return None
