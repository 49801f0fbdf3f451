"""HTTP/1 as a prober speaks it: one request, one answer, over a connection that ends with it.

Rule: what Go's client takes is taken (bare line feeds, a status without words, any number of
headers), and what comes is handed on in pieces: no answer is gathered here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final, cast

import httptools

from cbmon.interfaces import Attempt
from cbmon.model import Phase, Reason
from cbmon.probes.failure import ProbeError, words

HEAD_LIMIT: Final = 1024 * 1024
"""Bytes of all heads of one answer, interim answers included."""
_WAITING: Final = 256 * 1024
"""Bytes of a body that wait to be looked at before the target is slowed down."""
_LENIENCIES: Final = {
    "lenient_optional_cr_before_lf": True,
    "lenient_optional_lf_after_cr": True,
    "lenient_spaces_after_chunk_size": True,
    "lenient_chunked_length": True,
    "lenient_transfer_encoding": True,
    "lenient_version": True,
}


@dataclass(slots=True)
class Head:
    """The head of an answer. ``length`` is -1 when only the end tells it."""

    status: int = 0
    version: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    """Names in lower case; bytes that are no UTF-8 are ``surrogateescape``d."""
    length: int = 0
    bodyless: bool = False

    def values(self, name: str) -> list[str]:
        """Every value of a header."""
        wanted = name.lower()
        return [value for key, value in self.headers if key == wanted]

    def first(self, name: str) -> str:
        """The first value of a header, or an empty text."""
        return next(iter(self.values(name)), "")


class Exchange(asyncio.Protocol):
    """One request and its answer. ``method`` decides whether a body follows."""

    def __init__(self, attempt: Attempt, method: str) -> None:
        self._attempt = attempt
        self._method = method
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(**_LENIENCIES)
        self._head = Head()
        self._heard = 0
        self._has_head = self._complete = self._ended = False
        self._trouble: ProbeError | None = None
        self._pieces: deque[bytes] = deque()
        self._waiting = 0
        self._news = asyncio.Event()

    # --- what the prober asks -------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send the request."""
        assert self._transport is not None  # noqa: S101
        self._attempt.begin(Phase.PROCESSING)
        if not self._transport.is_closing():  # why it is, is told to who waits for the head
            self._transport.write(data)

    async def head(self) -> Head:
        """The head of the final answer; ProbeError when none comes."""
        while not self._has_head:
            self._check()
            await self._more()
        return self._head

    async def body(self) -> AsyncIterator[bytes]:
        """The body in pieces; ProbeError when it breaks off."""
        while True:
            while self._pieces:
                piece = self._pieces.popleft()
                self._waiting -= len(piece)
                if self._waiting <= _WAITING // 2 and self._transport is not None:
                    self._transport.resume_reading()
                yield piece
            if self._complete or self._head.bodyless:
                return
            self._check()
            await self._more()

    # --- what the transport tells ---------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """A part of the answer."""
        if self._complete or self._trouble or (self._has_head and self._head.bodyless):
            return
        if not self._heard:
            self._attempt.begin(Phase.TRANSFER)
        self._heard += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._complete = True
        except httptools.HttpParserError as error:
            self._trouble = ProbeError(Reason.PROTOCOL, f"malformed HTTP response: {error}")
        if not self._has_head and self._heard > HEAD_LIMIT:
            self._trouble = ProbeError(Reason.SIZE, f"headers larger than {HEAD_LIMIT} bytes")
        if self._waiting > _WAITING and self._transport is not None:
            self._transport.pause_reading()
        self._news.set()

    def eof_received(self) -> bool:
        """The target says no more."""
        self._end(None)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._end(exc)

    # --- what the parser tells ------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which nobody wants."""
        if not self._has_head:
            key = name.decode(errors="surrogateescape").lower()
            self._head.headers.append((key, value.decode(errors="surrogateescape")))

    def on_headers_complete(self) -> None:
        """The head is there; that of an interim answer is forgotten."""
        head = self._head
        head.status = self._parser.get_status_code()
        if 100 <= head.status < 200 and head.status != 101:
            self._head = Head()
            return
        head.version = f"HTTP/{self._parser.get_http_version()}"
        head.length, head.bodyless = framing(self._method, head)
        self._has_head = True

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._pieces.append(body)
        self._waiting += len(body)

    def on_message_complete(self) -> None:
        """The answer is whole."""
        self._complete = self._has_head

    # --- inside ---------------------------------------------------------------------------

    def _end(self, exc: Exception | None) -> None:
        if self._ended:
            return
        self._ended = True
        until_close = self._head.length < 0 and "chunked" not in self._coding()
        if self._has_head and until_close and exc is None:
            self._complete = True
        elif not self._complete and self._trouble is None:
            self._trouble = self._broken(exc)
        self._news.set()

    def _broken(self, exc: Exception | None) -> ProbeError:
        how = words(exc) if isinstance(exc, OSError) else "unexpected EOF"
        reason = Reason.PROTOCOL if self._heard else Reason.CONNECT
        return ProbeError(reason, how if self._heard else f"no answer: {how}")

    def _coding(self) -> str:
        return ",".join(self._head.values("transfer-encoding")).lower()

    def _check(self) -> None:
        if self._trouble is not None:
            raise self._trouble

    async def _more(self) -> None:
        self._news.clear()
        await self._news.wait()


def framing(method: str, head: Head) -> tuple[int, bool]:
    """The length as Go's client tells it, and whether no body follows."""
    given = head.first("content-length").strip()
    length = int(given) if given.isascii() and given.isdigit() else -1
    chunked = "chunked" in ",".join(head.values("transfer-encoding")).lower()
    if method == "HEAD":
        return (-1 if chunked else length), True
    if head.status in {204, 304} or head.status < 200:
        return 0, True
    return (-1 if chunked else length), False
