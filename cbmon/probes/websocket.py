"""``websocket``: shake hands, say something if told to, and expect a message.

Rule: a target that accepts the handshake is good unless a message is expected; of what it sends no
more is looked at than the limit, and it gets half a second to say goodbye.
"""

from __future__ import annotations

from typing import Final

import aiohttp
from pydantic import Field
from yarl import URL

from cbmon.config.fields import Duration, Options, Regex, WebSocketUrl
from cbmon.interfaces import Attempt
from cbmon.model import Phase, Reason, Result
from cbmon.probes.api import Api, ApiOptions
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.expectations import check_certificate, check_duration
from cbmon.probes.failure import ProbeError, shown
from cbmon.probes.http.client import Hop, HttpClient, trouble
from cbmon.probes.http.redacted import redacted
from cbmon.probes.kind import ProbeType
from cbmon.probes.outcome import outcome

LIMIT: Final = 1024 * 1024
"""Bytes of all messages together that are looked at."""
FAREWELL: Final = 0.5
_REFUSALS: Final = frozenset({401, 403, 407})


class WebSocketExpect(Options):
    """What makes a conversation a good one."""

    matches: Regex | None = Field(None, description="pattern that a message must match")
    subprotocol: str | None = Field(
        None, description="subprotocol that the target must choose", min_length=1
    )
    max_duration: Duration | None = Field(None, description="longest the whole run may take")
    certificate_days: float | None = Field(
        None, description="days that every presented certificate must still be valid", ge=0
    )


class WebSocketOptions(ApiOptions):
    """A WebSocket."""

    url: WebSocketUrl = Field(
        description="where to shake hands", examples=["wss://shop.example.net/live"]
    )
    subprotocols: tuple[str, ...] = Field((), description="subprotocols to offer")
    send: str | None = Field(None, description="text message to send once connected", min_length=1)
    expect: WebSocketExpect = Field(
        WebSocketExpect(), description="what makes the conversation a good one"
    )


class WebSocketProbe:
    """Connects anew at every run."""

    def __init__(self, options: WebSocketOptions, environment: ProbeEnvironment) -> None:
        self._options = options
        self._environment = environment
        self._api = Api(options, environment)
        self._url = URL(options.url)

    async def run(self, attempt: Attempt) -> Result:
        """Shake hands, converse as far as configured, say goodbye."""
        return await outcome(attempt, self._visit(attempt))

    async def close(self) -> None:
        """Nothing is held between runs."""

    async def _visit(self, attempt: Attempt) -> None:
        hop, headers = await self._api.prepared(attempt, self._url)
        socket = await self._shake_hands(hop, headers)
        expect = self._options.expect
        try:
            await self._converse(attempt, hop, socket)
            attempt.end()
            chain = hop.link.chain if hop.link else None
            check_certificate(chain, expect.certificate_days, self._environment.clock)
            check_duration(attempt, expect.max_duration)
            await socket.close()
        finally:
            socket._response.close()  # noqa: SLF001 - nothing else ends it at once

    async def _shake_hands(
        self, hop: Hop, headers: dict[str, str]
    ) -> aiohttp.ClientWebSocketResponse:
        try:
            return await self._environment.shared(HttpClient).converse(
                hop,
                self._url,
                headers,
                protocols=self._options.subprotocols,
                largest=LIMIT,
                patience=FAREWELL,
            )
        except aiohttp.WSServerHandshakeError as error:
            hop.attempt.facts["status"] = error.status
            if error.status != 101:
                refused = self._options.has_credentials and error.status in _REFUSALS
                text = f"got status {error.status}, expected 101"
                reason = Reason.AUTH if refused else Reason.STATUS
                raise ProbeError(reason, text) from error
            text = f"the handshake is wrong: {error.message.lower()}"
            raise ProbeError(Reason.PROTOCOL, text) from error

    async def _converse(
        self, attempt: Attempt, hop: Hop, socket: aiohttp.ClientWebSocketResponse
    ) -> None:
        expect = self._options.expect
        attempt.facts["subprotocol"] = socket.protocol
        if expect.subprotocol not in {None, socket.protocol}:
            got = shown(socket.protocol) if socket.protocol else "no subprotocol"
            raise ProbeError(Reason.HEADER, f"got {got}, expected {expect.subprotocol}")
        try:
            if self._options.send is not None:
                await socket.send_str(self._options.send)
            if expect.matches is not None:
                attempt.begin(Phase.PROCESSING)
                await _listen(attempt, socket, expect.matches)
        except (aiohttp.ClientError, OSError) as error:
            raise trouble(error, hop) from error


async def _listen(
    attempt: Attempt, socket: aiohttp.ClientWebSocketResponse, pattern: Regex
) -> None:
    heard, last = 0, None
    while True:
        message = await socket.receive()
        if message.type not in {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}:
            raise _over(message, last, pattern)
        attempt.begin(Phase.TRANSFER)
        last = message.data
        heard += len(last)
        if pattern.search(last):
            attempt.facts["message"] = shown(last)
            return
        if heard > LIMIT:
            raise ProbeError(Reason.SIZE, f"no match for {pattern.pattern!r} within 1 MiB")


def _over(message: aiohttp.WSMessage, last: str | bytes | None, pattern: Regex) -> ProbeError:
    """Why no more messages come."""
    error = message.data if isinstance(message.data, Exception) else None
    if isinstance(error, aiohttp.WebSocketError):
        reason = Reason.SIZE if error.code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG else None
        text = f"the target broke the protocol of WebSockets: {str(error).lower()}"
        return ProbeError(reason or Reason.PROTOCOL, text)
    if message.type is aiohttp.WSMsgType.CLOSE:
        got = f"the target closed with code {message.data}"
    elif error is not None:
        return ProbeError(Reason.PROTOCOL, "the target broke off")
    else:
        got = "the target hung up"
    heard = "without a message" if last is None else f"after {shown(last)}"
    return ProbeError(Reason.BODY, f"{got} {heard}, expected a match for {pattern.pattern!r}")


TYPE: Final = ProbeType(
    name="websocket",
    options=WebSocketOptions,
    target=lambda options: redacted(options.url),
    build=WebSocketProbe,
)
