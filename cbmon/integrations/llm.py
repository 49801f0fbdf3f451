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


class TokenWatch:
    """Reads a stream of server-sent events or of JSON lines for its first token and for errors."""

    __slots__ = ("_rest", "begun", "failure")

    def __init__(self) -> None:
        self._rest = b""
        self.begun = False
        self.failure: str | None = None

    def feed(self, data: bytes) -> None:
        """The next bytes of the stream, cut anywhere."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > _LONGEST_LINE:  # no line of a stream of tokens
            self._rest, self.begun = b"", True
        for line in lines:
            if not self.begun or b'"error"' in line or b"failed" in line:
                self._read(line)

    def _read(self, line: bytes) -> None:
        text = line.removeprefix(b"data:").strip()
        if not text.startswith(b"{"):
            return
        try:
            event = json.loads(text)
        except ValueError:
            return
        self.failure = self.failure or _error_in(event)
        self.begun = self.begun or _has_token(event)


class FirstByte:
    """For an answer that is no stream of tokens, or that cannot be read: its first byte counts."""

    __slots__ = ("begun", "failure")

    def __init__(self) -> None:
        self.begun = False
        self.failure: str | None = None

    def feed(self, data: bytes) -> None:
        """The next bytes."""
        self.begun = self.begun or bool(data)


def watch_tokens(headers: Mapping[str, str]) -> Watch:
    """What reads an answer with these headers along."""
    kind = headers.get("content-type", "")
    packed = headers.get("content-encoding", "identity") != "identity"
    if packed or not ("event-stream" in kind or "ndjson" in kind):
        return FirstByte()
    return TokenWatch()


LLM_RULES: Final = HttpRules(
    failure_statuses=SERVER_ERRORS | {429},
    retry_after_statuses=frozenset({429, 503, OVERLOADED}),
    watch=watch_tokens,
)
"""5xx and 429 are failures; 429, 503 and 529 may say when to come back."""


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


def _has_token(event: dict[str, Any]) -> bool:
    """Whether an event carries text, a thought or a part of a tool call."""
    kind = event.get("type")
    if isinstance(kind, str):  # Anthropic, and OpenAI's responses
        return kind.endswith("delta") and kind != "message_delta"
    if event.get("response"):  # Ollama, generate
        return True
    if _says_something(event.get("message")):  # Ollama, chat
        return True
    choices = event.get("choices")
    if not isinstance(choices, list):
        return False
    return any(
        isinstance(choice, dict)
        and (bool(choice.get("text")) or _says_something(choice.get("delta")))
        for choice in choices
    )


def _says_something(part: object) -> bool:
    return isinstance(part, dict) and any(value for name, value in part.items() if name != "role")
