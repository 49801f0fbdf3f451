"""HTTP as a prober speaks it: one request, one answer, over a connection that ends with it.

Rule: what comes is handed on in pieces, or only counted: no answer is gathered here. It is HTTP/2
when TLS has agreed on that, which is only offered where h2 is installed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, cast

from cbmon.blackbox.asking import Ask
from cbmon.blackbox.parsing import Head, Parser
from cbmon.interfaces import Attempt
from cbmon.model import Phase, Reason
from cbmon.probes.failure import ProbeError, words

if TYPE_CHECKING:
    import ssl

    from cbmon.blackbox.http2 import Http2

HAS_HTTP2: Final = find_spec("h2") is not None
HEAD_LIMIT: Final = 256 * 1024
"""Bytes of all heads of one answer, interim answers included."""
_WAITING: Final = 16 * 1024
"""Bytes of a body that wait to be looked at before the target is slowed down."""


class Exchange(asyncio.Protocol):
    """One request and its answer. ``method`` decides whether a body follows."""

    def __init__(self, attempt: Attempt, method: str) -> None:
        self._attempt = attempt
        self._method = method
        self._transport: asyncio.Transport | None = None
        self._http2: Http2 | None = None
        self._parser: Parser | Http2 = Parser(method, self._keep)
        self._heard = 0
        self._ended = False
        self._trouble: ProbeError | None = None
        self._pieces: deque[bytes] = deque()
        self._waiting = 0
        self._count: Callable[[bytes], None] | None = None
        self._news = asyncio.Event()

    # --- what the prober asks -------------------------------------------------------------

    def ask(self, ask: Ask, target: str | None = None) -> None:
        """Send the request; ``target`` stands for the path when a proxy is asked."""
        self._attempt.begin(Phase.PROCESSING)
        if self._http2 is None:
            self._write(ask.data(target))
        else:
            self._http2.request(ask)
            self._write(self._http2.outgoing())

    def send(self, data: bytes) -> None:
        """Send a request that is made already."""
        self._attempt.begin(Phase.PROCESSING)
        self._write(data)

    async def head(self) -> Head:
        """The head of the final answer; ProbeError when none comes."""
        while not self._parser.has_head:
            self._check()
            await self._more()
        return self._parser.head

    async def counted(self, count: Callable[[bytes], None]) -> None:
        """Hand every piece to ``count`` as it comes, of which none waits or is kept.

        ProbeError when the body breaks off, or when ``count`` raises it.
        """
        self._count = count
        while self._pieces:
            count(self._pieces.popleft())
        self._waiting = 0
        self._resume()
        while not self._parser.complete:
            self._check()
            await self._more()
        self._check()

    async def body(self) -> AsyncIterator[bytes]:
        """The body in pieces; ProbeError when it breaks off."""
        while True:
            while self._pieces:
                piece = self._pieces.popleft()
                self._waiting -= len(piece)
                if self._waiting <= _WAITING // 2:
                    self._resume()
                yield piece
            if self._parser.complete:
                return
            self._check()
            await self._more()

    # --- what the transport tells ---------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        self._transport = cast("asyncio.Transport", transport)
        tls = cast("ssl.SSLObject | None", transport.get_extra_info("ssl_object"))
        if tls is not None and tls.selected_alpn_protocol() == "h2":
            from cbmon.blackbox.http2 import Http2  # noqa: PLC0415 - optional

            self._parser = self._http2 = Http2(self._method, self._keep)
            self._write(self._http2.outgoing())

    def data_received(self, data: bytes) -> None:
        """A part of the answer."""
        if self._parser.complete or self._trouble:
            return
        if not self._heard and self._http2 is None:
            self._attempt.begin(Phase.TRANSFER)
        self._heard += len(data)
        had_head = self._parser.has_head
        try:
            self._parser.feed(data)
        except ValueError as error:
            self._trouble = ProbeError(Reason.PROTOCOL, f"malformed HTTP response: {error}")
        except ProbeError as error:
            self._trouble = error
        if self._http2 is not None:
            self._write(self._http2.outgoing())
            if self._parser.has_head and not had_head:
                self._attempt.begin(Phase.TRANSFER)
        if not self._parser.has_head and self._heard > HEAD_LIMIT:
            self._trouble = ProbeError(Reason.SIZE, f"headers larger than {HEAD_LIMIT} bytes")
        if self._trouble or self._waiting > _WAITING:
            self._pause()
        self._news.set()

    def eof_received(self) -> bool:
        """The target says no more."""
        self._end(None)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._end(exc)

    # --- inside ---------------------------------------------------------------------------

    def _end(self, exc: Exception | None) -> None:
        if self._ended:
            return
        self._ended = True
        if exc is None:
            self._parser.end()
        if not self._parser.complete and self._trouble is None:
            self._trouble = self._broken(exc)
        self._news.set()

    def _broken(self, exc: Exception | None) -> ProbeError:
        how = words(exc) if isinstance(exc, OSError) else "unexpected EOF"
        reason = Reason.PROTOCOL if self._heard else Reason.CONNECT
        return ProbeError(reason, how if self._heard else f"no answer: {how}")

    def _keep(self, piece: bytes) -> None:
        if self._count is not None:
            self._count(piece)
        else:
            self._pieces.append(piece)
            self._waiting += len(piece)

    def _write(self, data: bytes) -> None:
        assert self._transport is not None  # noqa: S101
        if data and not self._transport.is_closing():  # why it is, is told to who waits
            self._transport.write(data)

    def _pause(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _check(self) -> None:
        if self._trouble is not None:
            raise self._trouble

    async def _more(self) -> None:
        self._news.clear()
        await self._news.wait()
