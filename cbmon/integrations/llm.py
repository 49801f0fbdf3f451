"""LLM APIs over HTTP: OpenAI and what speaks like it, Anthropic, Ollama.

    http = httpx.Client(transport=BreakerTransport(CircuitBreaker("llm"), rules=LLM_RULES))
    client = OpenAI(http_client=http)

Rules:

* 429 and "overloaded" are failures, and their ``Retry-After`` opens the breaker for just as long.
* A streamed answer is one call, open until the stream ends. Its latency is the time to the first
  token; so ``slow_call_seconds`` is about that. An error in the middle of a stream is a failure,
  unless it is about the request.

:data:`LLM_RULES` goes into the transports of :mod:`cbmon.integrations.httpx` and
:mod:`~cbmon.integrations.httpx2` (which the vendors' own libraries take as their HTTP client) and
into :mod:`cbmon.integrations.requests`. In :mod:`cbmon.integrations.aiohttp` statuses and
``Retry-After`` count, and the latency is that of the headers.

Sources: OpenAI, "Error codes" (429, 500, 503 and ``retry-after``); Anthropic, "Errors" and
"Streaming messages" (429, 529 ``overloaded_error``, ``event: error`` after a 200); Ollama, its
API (``{"error": …}`` as a line of the stream) and FAQ (503 when its queue is full).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from cbmon.integrations.http_rules import SERVER_ERRORS, HttpRules, Watch

__all__ = ["LLM_RULES", "TokenWatch", "watch_tokens"]

OVERLOADED: Final = 529
"""Anthropic's own status."""
_LONGEST_LINE: Final = 1 << 20
_LONGEST_ERROR: Final = 200
_CALLERS_OWN: Final = (
    "invalid_request", "authentication", "permission", "not_found", "billing", "content_filter",
    "too_large", "context_length",
)  # fmt: skip

_FIRST_TOKEN: Final = re.compile(
    rb"""
      "(?:content | text | thinking | reasoning | reasoning_content | response)" \s*:\s* "[^"]
    | "tool_calls" \s*:\s* \[ \s* \{
    | "type" \s*:\s* "(?:content_block_delta | response\.[a-z_.]+\.delta)"
    """,
    re.VERBOSE,
)
"""Text, a thought or a part of a tool call: of OpenAI's chat, completions and responses, of
Anthropic's and of Ollama's streams. Reading all of each event would take ten times as long."""


class TokenWatch:
    """Reads a stream of server-sent events or of JSON lines for its first token and for errors."""

    __slots__ = ("_rest", "begun", "failure")

    def __init__(self) -> None:
        self._rest = b""
        self.begun = False
        self.failure: str | None = None

    def feed(self, data: bytes) -> None:
        """The next bytes of the stream, cut anywhere."""
        if not self._rest and data.endswith(b"\n") and b'"error"' not in data:
            if not self.begun and _FIRST_TOKEN.search(data):
                self.begun = True
            return  # whole lines of an answer: nearly all that ever comes
        seen = self._rest + data
        if not self.begun and _FIRST_TOKEN.search(seen):
            self.begun = True
        if b'"error"' in seen and self.failure is None:
            self.failure = next(filter(None, map(_failure_in, seen.split(b"\n")[:-1])), None)
        self._rest = seen[seen.rfind(b"\n") + 1 :]
        if len(self._rest) > _LONGEST_LINE:  # no line of a stream of tokens
            self._rest, self.begun = b"", True


class FirstByte:
    """For an answer that is no stream of tokens, or that cannot be read: its first byte counts."""

    __slots__ = ("begun", "failure")

    def __init__(self) -> None:
        self.begun = False
        self.failure: str | None = None

    def feed(self, data: bytes) -> None:
        """The next bytes."""
        self.begun = self.begun or bool(data)


_TYPE_LENGTH: Final = len(b"content-type")
_ENCODING_LENGTH: Final = len(b"content-encoding")


def watch_tokens(headers: Mapping[str, str]) -> Watch:
    """What reads an answer with these headers along."""
    kind, encoded = _head(headers)
    streams = b"event-stream" in kind or b"ndjson" in kind
    return TokenWatch() if streams and not encoded else FirstByte()


def _head(headers: Mapping[str, str]) -> tuple[bytes, bool]:
    """Content type, and whether there is an encoding.

    httpx takes most of a microsecond to look one header up, but has them as they came, too.
    """
    raw = getattr(headers, "raw", None)
    if not isinstance(raw, list):
        kind = headers.get("content-type", "").encode("latin-1", "replace")
        return kind, "content-encoding" in headers
    kind, encoded = b"", False
    for name, value in raw:
        if len(name) == _TYPE_LENGTH and name.lower() == b"content-type":
            kind = value
        elif len(name) == _ENCODING_LENGTH and name.lower() == b"content-encoding":
            encoded = True
    return kind, encoded


LLM_RULES: Final = HttpRules(
    failure_statuses=SERVER_ERRORS | {429},
    retry_after_statuses=frozenset({429, 503, OVERLOADED}),
    watch=watch_tokens,
)
"""5xx and 429 are failures; 429, 503 and 529 may say when to come back."""


def _failure_in(line: bytes) -> str | None:
    """What a line of a stream tells of the server's failure."""
    text = line.removeprefix(b"data:").strip()
    if not text.startswith(b"{"):
        return None
    try:
        return _error_in(json.loads(text))
    except ValueError:
        return None


def _error_in(event: dict[str, Any]) -> str | None:
    """The server's failure that an event tells; None if it tells none, or the caller's."""
    error = event.get("error")
    response = event.get("response")
    if not error and event.get("type") == "response.failed" and isinstance(response, dict):
        error = response.get("error") or "response failed"
    if not error:
        return None
    if isinstance(error, dict):
        kind = f"{error.get('type') or ''} {error.get('code') or ''}"
        if any(word in kind for word in _CALLERS_OWN):
            return None
        return f"{kind.strip()}: {error.get('message')}"[:_LONGEST_ERROR]
    return str(error)[:_LONGEST_ERROR]
