"""The protocol over streamable HTTP.

Rule: one request, one connection; an answer may come as JSON or as an event stream. A session that
the server has opened is closed again, so that checks do not fill it up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

from cbmon.interfaces import Attempt
from cbmon.model import Reason
from cbmon.probes.api import Api, Reply, parsed
from cbmon.probes.failure import ProbeError
from cbmon.probes.mcp.messages import (
    MOST_OTHERS,
    Message,
    chatter,
    initialized,
    is_answer,
    request,
    result,
)

ACCEPT: Final = "application/json, text/event-stream"
FAREWELL: Final = 0.5
"""Seconds that closing the session may take."""


class HttpTransport:
    """One session with one server."""

    def __init__(self, api: Api, attempt: Attempt) -> None:
        self._api = api
        self._attempt = attempt
        self._headers: dict[str, str] = {"Accept": ACCEPT}
        self._number = 0

    async def ask(self, method: str, params: Message | None = None) -> Message:
        """The result of a request; ProbeError says why there is none."""
        self._number += 1
        body = request(self._number, method, params)
        async with self._api.ask(
            self._attempt, method="POST", body=body, headers=self._headers
        ) as reply:
            if reply.status != 200:
                raise await reply.refuse()
            session = reply.headers.get("Mcp-Session-Id")
            if session is not None:
                self._headers["Mcp-Session-Id"] = session
            return result(await _answer(reply, self._number, method), method)

    async def settle(self, version: str) -> None:
        """The handshake is over; the revision of the protocol is agreed upon."""
        self._headers["MCP-Protocol-Version"] = version
        async with self._api.ask(
            self._attempt, method="POST", body=initialized(), headers=self._headers
        ) as reply:
            if not 200 <= reply.status <= 299:
                raise await reply.refuse()

    async def end(self) -> None:
        """Close the session, if there is one and the server lets it happen soon."""
        if "Mcp-Session-Id" not in self._headers:
            return
        kept = dict(self._attempt.facts)
        try:
            async with (
                asyncio.timeout(FAREWELL),
                self._api.ask(self._attempt, method="DELETE", headers=self._headers),
            ):
                pass
        except (ProbeError, TimeoutError):
            pass
        finally:
            self._attempt.facts.clear()
            self._attempt.facts.update(kept)


async def _answer(reply: Reply, number: int, method: str) -> Message:
    if "text/event-stream" in reply.headers.get("Content-Type", ""):
        passed_over = 0
        async for event in _events(reply):
            if is_answer(event, number):
                heard: Message = event
                return heard
            passed_over += 1
            if passed_over >= MOST_OTHERS:
                raise chatter()
        raise ProbeError(Reason.PROTOCOL, f"the stream ends without an answer to {method}")
    message = await reply.json()
    if not is_answer(message, number):
        raise ProbeError(Reason.PROTOCOL, f"got something else than an answer to {method}")
    found: Message = message
    return found


async def _events(reply: Reply) -> AsyncIterator[Any]:
    """The messages in an event stream; an event may have several lines of data."""
    data: list[str] = []
    async for line in reply.lines():
        name, _, value = line.partition(":")
        if name == "data":
            data.append(value.removeprefix(" "))
        elif not line and data:
            text, data = "\n".join(data), []
            if text:  # a first event without data only carries an id
                yield parsed(text)
    if data:
        yield parsed("\n".join(data))
