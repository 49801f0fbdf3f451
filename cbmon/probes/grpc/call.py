"""One unary call over HTTP/2.

Rule: h2 says what the bytes mean and this file moves them. All that the target sends together has
a limit, and the call ends with whatever ends first: its stream, the connection, the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import H2Error

from cbmon.interfaces import Attempt
from cbmon.model import Phase, Reason
from cbmon.probes.failure import ProbeError, words

LIMIT: Final = 128 * 1024
"""Bytes that all together may have: a health answer has some hundred, and parsing takes time."""
_SETTINGS: Final = 4
Headers = Sequence[tuple[str, str]]


class Answer:
    """What came back: the head, the trailers and the data between them."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.data = bytearray()


class Call(asyncio.Protocol):
    """Sends one request when connected, and waits for its answer."""

    def __init__(self, attempt: Attempt, headers: Headers, body: bytes) -> None:
        self._attempt = attempt
        self._request = (headers, body)
        self._http = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._answer = Answer()
        self._over: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._heard = 0
        self._head = b""
        self._transport: asyncio.Transport | None = None

    async def answer(self) -> Answer:
        """The whole answer; ProbeError says why there is none."""
        return await self._over

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask at once."""
        self._transport = cast("asyncio.Transport", transport)
        headers, body = self._request
        self._http.initiate_connection()
        self._http.send_headers(1, headers)
        self._http.send_data(1, body, end_stream=True)
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Understand what came, and answer what HTTP/2 wants answered."""
        if not self._heard:
            self._attempt.begin(Phase.TRANSFER)
        self._heard += len(data)
        if self._heard > LIMIT:
            self._fail(ProbeError(Reason.SIZE, f"the answer is larger than {LIMIT} bytes"))
            return
        if not self._speaks_http2(data):
            self._fail(ProbeError(Reason.PROTOCOL, "the target does not speak HTTP/2"))
            return
        try:
            for event in self._http.receive_data(data):
                self._take(event)
            self._flush()
        except (H2Error, UnicodeDecodeError) as error:
            text = f"the target does not speak HTTP/2: {str(error).lower() or type(error).__name__}"
            self._fail(ProbeError(Reason.PROTOCOL, text))

    def connection_lost(self, exc: Exception | None) -> None:
        """Without an answer so far there will be none."""
        how = words(exc) if isinstance(exc, OSError) else "connection closed"
        reason = Reason.PROTOCOL if self._heard else Reason.CONNECT
        self._fail(ProbeError(reason, f"the target gave no answer: {how}"))

    def _take(self, event: Event) -> None:
        if isinstance(event, ResponseReceived | TrailersReceived):
            pairs = cast("Headers", event.headers or ())
            self._answer.headers.update(pairs)
        elif isinstance(event, DataReceived):
            self._answer.data += event.data or b""
            if event.flow_controlled_length and event.stream_id:
                self._http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded) and not self._over.done():
            self._over.set_result(self._answer)
        elif isinstance(event, StreamReset | ConnectionTerminated):
            code = event.error_code
            name = getattr(code, "name", str(code)).lower().replace("_", " ")
            self._fail(ProbeError(Reason.PROTOCOL, f"the target broke the call off: {name}"))

    def _speaks_http2(self, data: bytes) -> bool:
        """A server's first frame is its settings; h2 waits for the end of what only looks so."""
        self._head += data[: 4 - len(self._head)]
        return len(self._head) < 4 or self._head[3] == _SETTINGS

    def _flush(self) -> None:
        data = self._http.data_to_send()
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _fail(self, error: ProbeError) -> None:
        if not self._over.done():
            self._over.set_exception(error)
            self._over.exception()  # there may be nobody left who waits for it
        if self._transport is not None:
            self._transport.abort()
