"""The messages of the protocol that a check needs: JSON-RPC 2.0, and what is inside.

Rule: pure. What does not have the shape it should have raises ProbeError (``protocol``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cbmon import __version__
from cbmon.model import Reason
from cbmon.probes.failure import ProbeError, shown

VERSION: Final = "2025-06-18"
"""The revision of the protocol that is asked for."""
KNOWN: Final = frozenset({"2024-11-05", "2025-03-26", VERSION, "2025-11-25"})
"""Those whose messages, as far as they are used here, are the same."""
MOST_OTHERS: Final = 1000
"""Messages that may come before the answer to a request: reading them takes time of the loop."""
Message = Mapping[str, Any]


def request(number: int, method: str, params: Message | None = None) -> dict[str, Any]:
    """A request with an id."""
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params or {}}


def initialize() -> dict[str, Any]:
    """Who asks, and what it can do: nothing."""
    return {
        "protocolVersion": VERSION,
        "capabilities": {},
        "clientInfo": {"name": "cbmon", "version": __version__},
    }


def initialized() -> dict[str, Any]:
    """The notification that ends the handshake."""
    return {"jsonrpc": "2.0", "method": "notifications/initialized"}


def is_answer(message: Any, number: int) -> bool:
    """Whether it answers that request; all else that a server may say is passed over."""
    if not isinstance(message, dict) or "method" in message:
        return False
    unreadable = message.get("id") is None and "error" in message
    return message.get("id") == number or unreadable


def chatter() -> ProbeError:
    """For a server that says everything but the answer."""
    text = f"{MOST_OTHERS} messages came, but not the answer"
    return ProbeError(Reason.PROTOCOL, text)


def result(message: Message, method: str) -> Message:
    """What the answer holds; ProbeError (``status``) when it is an error."""
    error = message.get("error")
    if error is not None:
        code = error.get("code") if isinstance(error, dict) else None
        said = error.get("message") if isinstance(error, dict) else error
        raise ProbeError(Reason.STATUS, f"{method} failed with {code}: {shown(str(said))}")
    found = message.get("result")
    if not isinstance(found, dict):
        raise ProbeError(Reason.PROTOCOL, f"the answer to {method} holds no result")
    return found


def tool_names(found: Message) -> list[str]:
    """The names in an answer to ``tools/list``."""
    tools = found.get("tools")
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise ProbeError(Reason.PROTOCOL, "the answer to tools/list holds no tools")
    return [str(tool.get("name", "")) for tool in tools]


def text_of(found: Message) -> str:
    """The text in an answer to ``tools/call``."""
    content = found.get("content")
    if not isinstance(content, list):
        raise ProbeError(Reason.PROTOCOL, "the answer to tools/call holds no content")
    parts = [part.get("text") for part in content if isinstance(part, dict)]
    return "\n".join(part for part in parts if isinstance(part, str))
