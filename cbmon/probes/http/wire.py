"""HTTP/1.1 straight on the connection: one request, one answer, parsed by httptools (llhttp).

Rule: the same requests and the same judgements as by aiohttp, which is the general path, for a
third of its cost. What a target sends is counted while it comes; what nobody has taken yet is at
most a little, then reading stops.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from cbmon.model import Phase, Reason
from cbmon.probes.dial import dial
from cbmon.probes.failure import ProbeError, shown
from cbmon.probes.http.body import BREATH, Body, swallow
from cbmon.probes.http.client import HEAD_LIMIT, Hop, broken, connected, cut_short, too_large
from cbmon.probes.http.request import Request
from cbmon.probes.steps import Bell

if TYPE_CHECKING:
    import httptools
else:
    try:
        import httptools
    except ImportError:  # then there is the general path only
        httptools = None

AVAILABLE: Final = httptools is not None
_UNTAKEN: Final = 256 * 1024
"""Bytes of a body that may wait to be taken."""
_WITHOUT_LENGTH: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods whose requests without a body say nothing of its length."""


def serves(hop: Hop, url: URL) -> bool:
    """Whether a request can go this way."""
    return AVAILABLE and (hop.proxy is None or hop.tls is not None) and url.raw_user is None


def written(request: Request) -> bytes:
    """A request as it goes over the wire."""
    headers: dict[str, str] = {"Host": request.host or request.url.host_port_subcomponent or ""}
    headers |= request.headers
    if not any(name.lower() == "accept" for name in headers):
        headers["Accept"] = "*/*"
    body = request.body or b""
    if body or request.method not in _WITHOUT_LENGTH:
        headers["Content-Length"] = str(len(body))
    headers["Connection"] = "close"
    lines = [f"{request.method} {request.url.raw_path_qs} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def ask(hop: Hop, request: bytes, method: str) -> Exchange:
    """Send a request over a new connection; the answer with its head read.

    ProbeError says why there is none.
    """
    exchange = Exchange(hop, request, bodiless=method == "HEAD")
    try:
        if hop.proxy is not None:
            hop.link = await connected(hop, exchange)
        else:
            hop.link = await dial(
                hop.attempt, hop.environment, hop.route, lambda: exchange, hop.tls
            )
        await exchange.head()
    except BaseException:
        exchange.close()
        raise
    return exchange


class Exchange(asyncio.Protocol):
    """One request on its connection, and the answer to it (:class:`~.reply.Reply`)."""

    __slots__ = (
        "_bell", "_bodiless", "_complete", "_error", "_fields", "_head", "_headed", "_hop",
        "_malformed", "_over", "_parser", "_paused", "_pieces", "_request", "_transport",
        "_untaken", "status", "version",
    )  # fmt: skip

    def __init__(self, hop: Hop, request: bytes, *, bodiless: bool) -> None:
        self._hop = hop
        self._request = request
        self._bodiless = bodiless
        self._transport: asyncio.Transport | None = None
        parser = httptools.HttpResponseParser(self)
        self._parser: httptools.HttpResponseParser | None = parser
        parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )
        self._fields: list[tuple[bytes, bytes]] = []
        self._pieces: list[bytes] = []
        self._untaken = self._head = 0
        self._headed = self._complete = self._paused = False
        self._malformed = ""
        self._over = False
        self._error: OSError | None = None
        self._bell = Bell()
        self.status = 0
        self.version = ""

    # --- for the probe -------------------------------------------------------------------

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """The headers, decoded."""
        fields = ((name, value.rstrip(b" \t")) for name, value in self._fields)
        return CIMultiDictProxy(
            CIMultiDict([(_text(name), _text(value)) for name, value in fields])
        )

    async def head(self) -> None:
        """Wait for the head of the answer; ProbeError when none comes."""
        while not self._headed:
            if self._over or self._head:  # else nothing has come that could be wrong
                self._check()
            await self._bell

    @property
    def whole(self) -> int | None:
        """Bytes of the body, if all of it is there already; until it is taken."""
        return self._untaken if self._complete else None

    async def receive(self, body: Body) -> None:
        """Read to the end."""
        breath = BREATH
        while True:
            pieces, self._pieces, self._untaken = self._pieces, [], 0
            for piece in pieces:
                breath = await swallow(body, piece, breath)
            if not self._pieces:
                if self._complete:
                    break
                self._check()
                self._resume()
                await self._bell
        body.end()

    def close(self) -> None:
        """Drop the connection."""
        self._parser = None  # it holds this: no run may leave a cycle to the collector
        if self._transport is not None:
            self._transport.abort()

    # --- from the connection -------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask at once."""
        opened: Any = transport  # cast() would be one more call of each run
        self._transport = opened
        self._hop.attempt.begin(Phase.PROCESSING)
        if not opened.is_closing():
            opened.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Something of the answer."""
        hop = self._hop
        if not hop.heard:
            hop.attempt.begin(Phase.TRANSFER)
        hop.heard += len(data)
        if self._complete or self._malformed or self._parser is None:
            return
        untaken = self._untaken
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._complete = self._headed
        except httptools.HttpParserError as error:
            if not self._complete:
                self._malformed = str(error) or "malformed"
        if self._headed and self._untaken > untaken:
            self._head = 0
        else:  # a head, or trailers and the like, which could go on for ever
            self._head += len(data)
        if self._untaken > _UNTAKEN and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        if self._headed or self._malformed or self._head > HEAD_LIMIT:
            self._bell.ring()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Nothing more will come; a body without a length ends here."""
        self._over = True
        self._error = exc if isinstance(exc, OSError) else None
        if self._headed and exc is None and not self._is_framed():
            self._complete = True
        self._bell.ring()

    # --- from the parser -----------------------------------------------------------------

    def on_message_begin(self) -> None:
        """An answer begins; those before it were interim ones."""
        if not self._headed:
            self._fields.clear()

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header line."""
        if self._headed:  # a trailer, or what comes after the answer
            return
        self._fields.append((name, value))
        if b"\0" in value:
            self._malformed = "invalid header"

    def on_headers_complete(self) -> None:
        """A head is over."""
        parser = self._parser
        if parser is None:
            return
        status = parser.get_status_code()
        if self._headed or (100 <= status < 200 and status != 101):
            return
        self._headed = not self._malformed
        self.status = status
        self.version = parser.get_http_version()
        self._complete = self._bodiless

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        if not self._complete:
            self._pieces.append(data)
            self._untaken += len(data)

    def on_message_complete(self) -> None:
        """An answer is over."""
        self._complete = self._headed

    # --- inside --------------------------------------------------------------------------

    def _resume(self) -> None:
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def _is_framed(self) -> bool:
        """Whether the head says where the body ends; else it ends with the connection."""
        codings = [value for name, value in self._fields if name.lower() == b"transfer-encoding"]
        if codings:
            return codings[-1].rstrip(b" \t").lower().endswith(b"chunked")
        return any(name.lower() == b"content-length" for name, _ in self._fields)

    def _check(self) -> None:
        """ProbeError if nothing more can come."""
        hop = self._hop
        if self._malformed:
            text = f"{hop.where} does not speak HTTP: {shown(self._malformed)}"
            raise ProbeError(Reason.PROTOCOL, text)
        if self._head > HEAD_LIMIT:
            raise too_large(headed=self._headed)
        if self._over and self._headed and self._error is None:
            raise cut_short(hop.where)
        if self._over:
            raise broken(hop.where, self._error, heard=hop.heard > 0)


def _text(data: bytes) -> str:
    return data.decode(errors="surrogateescape")
