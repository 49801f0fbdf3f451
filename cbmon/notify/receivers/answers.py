"""What an HTTP answer, or none, means for a delivery.

Rule: what may pass by itself is temporary, everything else permanent. An error text is made here
from the kind of failure and the host: neither the URL, which may hold a token, nor what the server
said ever gets into it.
"""

from __future__ import annotations

import json
import math
import os
import ssl
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

import aiohttp

from cbmon.errors import ConfigurationError
from cbmon.model import Delivery, Reason, Verdict

TRY_AGAIN: Final = frozenset({408, 421, 423, 425, 429})
"""Statuses below 500 that may pass by themselves; RFC 9110, RFC 8470, RFC 6585, RFC 4918."""
LONGEST_WAIT: Final = 1e9
"""Seconds; a longer wait in a body is nonsense."""
FAILURES: Final = (aiohttp.ClientError, ConfigurationError, OSError, ValueError)
"""What a delivery may raise and :func:`from_failure` knows."""

_REASONS: Final[tuple[tuple[type[Exception], Reason], ...]] = (
    (TimeoutError, Reason.TIMEOUT),
    (aiohttp.ClientConnectorDNSError, Reason.DNS),
    (aiohttp.ClientSSLError, Reason.TLS),
    (ssl.SSLError, Reason.TLS),
    (aiohttp.ClientOSError, Reason.CONNECT),
    (aiohttp.ServerDisconnectedError, Reason.CONNECT),
    (aiohttp.ClientError, Reason.PROTOCOL),
    (OSError, Reason.CONNECT),
)


def from_status(status: int, retry_after: str | None, now: float, body: bytes = b"") -> Delivery:
    """The delivery behind an answer's status; ``now`` is Unix time for a date in Retry-After.

    A wait that the body asks for counts too, the longer one of both.
    """
    if 200 <= status < 300:
        return Delivery(verdict=Verdict.DELIVERED)
    if 300 <= status < 400:
        error = f"answered {_phrase(status)}; redirects are not followed: configure the final url"
        return Delivery(verdict=Verdict.PERMANENT, reason=Reason.REDIRECT, error=error)
    error = f"answered {_phrase(status)}"
    if status in TRY_AGAIN or status >= 500:
        return Delivery(
            verdict=Verdict.TEMPORARY,
            reason=Reason.STATUS,
            error=error,
            retry_after=_longer(seconds_of(retry_after, now), seconds_in(body)),
        )
    if status == HTTPStatus.GONE:
        return Delivery(verdict=Verdict.GONE, reason=Reason.STATUS, error=error)
    reason = Reason.AUTH if status in {401, 403} else Reason.STATUS
    return Delivery(verdict=Verdict.PERMANENT, reason=reason, error=error)


def from_failure(error: Exception, where: str) -> Delivery:
    """The delivery behind one of FAILURES: always temporary, nothing was refused."""
    if isinstance(error, ConfigurationError):
        return Delivery(verdict=Verdict.TEMPORARY, reason=Reason.CONFIG, error=str(error))
    reason = next((r for kind, r in _REASONS if isinstance(error, kind)), Reason.PROTOCOL)
    text = f"{where}: {_said(error, reason)}"
    return Delivery(verdict=Verdict.TEMPORARY, reason=reason, error=text)


def seconds_of(retry_after: str | None, now: float) -> float | None:
    """Retry-After as seconds or as a date (RFC 9110, 10.2.3); None if it makes no sense."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.replace(".", "", 1).isdigit():
        seconds = float(text)
        return seconds if math.isfinite(seconds) else None
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, date.timestamp() - now)


def seconds_in(body: bytes) -> float | None:
    """The wait that a JSON body asks for: ``retry_after`` as Discord and Telegram write it."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    inner = said.get("parameters")
    asked = said.get("retry_after", inner.get("retry_after") if isinstance(inner, dict) else None)
    if isinstance(asked, bool) or not isinstance(asked, int | float):
        return None
    return float(asked) if 0 <= asked <= LONGEST_WAIT else None


def _longer(one: float | None, other: float | None) -> float | None:
    return max((wait for wait in (one, other) if wait is not None), default=None)


def _phrase(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _said(error: Exception, reason: Reason) -> str:
    if reason is Reason.TIMEOUT:
        return "no answer in time"
    if reason is Reason.DNS:
        return "the name does not resolve"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLCertVerificationError):
        return "its certificate is not trusted"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "it closed the connection before it answered"
    number = getattr(error, "errno", None)
    if reason is Reason.CONNECT and isinstance(number, int) and number > 0:
        return os.strerror(number).lower()
    return "the connection broke" if reason is Reason.CONNECT else type(error).__name__
