"""Which reason a failed HTTP push has, and its message for a person.

Rule: the exception decides, never its text; what a server says of a refusal is shown, cut short.
"""

from __future__ import annotations

import os
import ssl
from typing import Final

import aiohttp

from cbmon.errors import ConfigurationError
from cbmon.model import Reason

MAX_SAID: Final = 300

PUSH_ERRORS: Final = (aiohttp.ClientError, ConfigurationError, OSError)
"""What a push may raise and :func:`classified` knows."""

_REASONS: Final[tuple[tuple[type[Exception], Reason], ...]] = (
    (ConfigurationError, Reason.CONFIG),
    (TimeoutError, Reason.TIMEOUT),
    (aiohttp.ClientConnectorDNSError, Reason.DNS),
    (aiohttp.ClientSSLError, Reason.TLS),
    (ssl.SSLError, Reason.TLS),
    (aiohttp.ServerDisconnectedError, Reason.CONNECT),
    (aiohttp.ClientOSError, Reason.CONNECT),
    (aiohttp.ClientError, Reason.PROTOCOL),
    (OSError, Reason.CONNECT),
)


def classified(error: Exception) -> tuple[Reason, str]:
    """The reason behind one of PUSH_ERRORS, and what to tell a person."""
    reason = next(reason for kind, reason in _REASONS if isinstance(error, kind))
    if reason is Reason.TIMEOUT:
        return reason, "no answer within the timeout"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return reason, "the server closed the connection before it answered"
    if isinstance(error, aiohttp.ClientConnectorError):
        return reason, _not_connected(error)
    return reason, str(error) or type(error).__name__


def refused(status: int, said: bytes) -> tuple[Reason, str]:
    """The reason behind an answer other than 2xx, with the first line of what was said."""
    words = said.decode(errors="replace").strip().splitlines()
    told = f": {printable(words[0])}" if words else ""
    message = f"the server answered {status}{told}"
    if status in {401, 403}:
        return Reason.AUTH, message
    if 300 <= status < 400:
        return Reason.REDIRECT, f"{message}; redirects are not followed"
    return Reason.STATUS, message


def _not_connected(error: aiohttp.ClientConnectorError) -> str:
    cause = error.os_error
    detail = cause.strerror or str(cause)
    if isinstance(cause, ssl.SSLCertVerificationError):
        detail = cause.verify_message
    elif not isinstance(error, aiohttp.ClientConnectorDNSError | ssl.SSLError) and cause.errno:
        detail = os.strerror(cause.errno)  # asyncio's own text repeats the address
    return f"cannot connect to {error.host}:{error.port}: {printable(detail)}"


def printable(line: str) -> str:
    """A line for a log, cut short, without control characters."""
    clean = "".join(char if char.isprintable() else " " for char in line)
    return clean if len(clean) <= MAX_SAID else f"{clean[:MAX_SAID]}…"
