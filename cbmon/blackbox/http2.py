"""Answers in HTTP/2, by h2, with the face of :class:`cbmon.blackbox.parsing.Parser`.

Rule: h2 says what the bytes mean. One stream, which is the first; what a target says besides its
answer has a limit, as each of it wants an answer itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    InformationalResponseReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import H2Error
from h2.settings import SettingCodes

from cbmon.blackbox.asking import Ask
from cbmon.blackbox.parsing import MOST_INTERIM, Head

LARGEST_HEAD: Final = 1024 * 1024
MOST_BESIDES: Final = 10_000
"""Frames without anything of the body."""
_STREAM: Final = 1
_NEVER_SENT: Final = frozenset(
    {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te", "host"}
)


class Http2:
    """One answer to one request; ``on_body`` gets the pieces of its body."""

    def __init__(self, method: str, on_body: Callable[[bytes], None]) -> None:
        self.head = Head()
        self.has_head = self.complete = False
        self._method = method
        self._on_body = on_body
        self._http = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self._http.local_settings[SettingCodes.MAX_HEADER_LIST_SIZE] = LARGEST_HEAD
        self._http.local_settings[SettingCodes.ENABLE_PUSH] = 0
        self._http.initiate_connection()
        self._unsent = b""
        self._interim = self._besides = 0

    def request(self, ask: Ask) -> None:
        """Ask; what of the body finds no room yet follows later."""
        pairs = [
            (":method", ask.method),
            (":scheme", ask.place.scheme),
            (":authority", ask.host),
            (":path", ask.place.path),
            *((name.lower(), value) for name, value in ask.headers.items()),
        ]
        self._unsent = ask.body or b""
        if not ask.chunked and (self._unsent or ask.method in {"POST", "PUT", "PATCH"}):
            pairs.append(("content-length", str(len(self._unsent))))
        headers = [
            (name.encode(), value.encode(errors="surrogateescape"))
            for name, value in pairs
            if name not in _NEVER_SENT
        ]
        self._http.send_headers(_STREAM, headers, end_stream=not self._unsent)
        self._push()

    def outgoing(self) -> bytes:
        """What is to be sent now."""
        data: bytes = self._http.data_to_send()
        return data

    def feed(self, data: bytes) -> None:
        """A part of what the target says; ValueError for what is no answer."""
        try:
            for event in self._http.receive_data(data):
                self._take(event)
            self._push()
        except H2Error as error:
            raise ValueError(str(error).lower() or type(error).__name__) from error

    def end(self) -> bool:
        """Nothing more comes; whether the answer is whole."""
        return self.complete

    def _take(self, event: Event) -> None:
        if isinstance(event, DataReceived):
            self._take_data(event)
            return
        self._count()
        if isinstance(event, InformationalResponseReceived):
            self._interim += 1
            if self._interim > MOST_INTERIM:
                raise ValueError("too many 1xx informational responses")
        elif isinstance(event, ResponseReceived):
            self._begin(event)
        elif isinstance(event, StreamEnded):
            self.complete = True
        elif isinstance(event, StreamReset | ConnectionTerminated) and not self.complete:
            code = event.error_code
            name = getattr(code, "name", str(code)).lower().replace("_", " ")
            raise ValueError(f"the target broke the stream off: {name}")

    def _take_data(self, event: DataReceived) -> None:
        data = event.data or b""
        if data:
            self._on_body(data)
        else:
            self._count()
        if event.flow_controlled_length:
            self._http.acknowledge_received_data(event.flow_controlled_length, _STREAM)

    def _count(self) -> None:
        self._besides += 1
        if self._besides > MOST_BESIDES:
            raise ValueError("too many frames beside the answer")

    def _begin(self, event: ResponseReceived) -> None:
        found: list[Any] = [*(event.headers or ())]
        pairs = [(_text(name), _text(value)) for name, value in found]
        head = self.head = Head(version="HTTP/2.0")
        head.status = int(next(value for name, value in pairs if name == ":status"))
        head.headers = [(name, value) for name, value in pairs if not name.startswith(":")]
        told = head.first("content-length")
        ended = event.stream_ended is not None
        head.bodyless = ended or self._method == "HEAD"
        if told.isascii() and told.isdigit():
            head.length = int(told[:18])
        else:
            head.length = 0 if ended and self._method != "HEAD" else -1
        self.has_head = True
        self.complete = head.bodyless

    def _push(self) -> None:
        """Send as much of the request's body as the target has room for."""
        while self._unsent:
            room = min(
                self._http.local_flow_control_window(_STREAM), self._http.max_outbound_frame_size
            )
            if room <= 0:
                return
            piece, self._unsent = self._unsent[:room], self._unsent[room:]
            self._http.send_data(_STREAM, piece, end_stream=not self._unsent)


def _text(data: bytes) -> str:
    return data.decode(errors="surrogateescape")
