"""``tcp``: connect, speak TLS if told to, say something and expect something back.

Rule: a target that only has to accept costs a connection and nothing more.
"""

from __future__ import annotations

import asyncio
from typing import Final

from pydantic import Field

from cbmon.config.fields import Duration, HostPort, Options, Regex
from cbmon.interfaces import Attempt
from cbmon.model import Phase, Reason, Result
from cbmon.probes.dial import Link, Route, Tls, dial
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.expectations import check_certificate, check_duration
from cbmon.probes.failure import ProbeError, shown, words
from cbmon.probes.kind import ProbeType
from cbmon.probes.options import ConnectOptions, TlsOptions

LIMIT: Final = 16 * 1024


class TcpExpect(Options):
    """What makes a connection a good one."""

    matches: Regex | None = Field(
        None,
        description="must match what the target sends, within its first 16 KiB",
        examples=[r"^220 .*SMTP"],
    )
    max_duration: Duration | None = Field(None, description="longest the whole run may take")
    certificate_days: float | None = Field(
        None, description="days that every presented certificate must still be valid", ge=0
    )


class TcpOptions(ConnectOptions):
    """A TCP connection."""

    address: HostPort = Field(
        description="where to connect", examples=["db.example.net:5432", "[::1]:22"]
    )
    tls: TlsOptions | None = Field(
        None, description="speak TLS; `{}` for the defaults", examples=[{"min_version": "TLS1.3"}]
    )
    send: str | None = Field(
        None, description="text to send once connected", examples=["PING\r\n"], min_length=1
    )
    expect: TcpExpect = Field(TcpExpect(), description="what must come back")


class TcpProbe:
    """Connects anew at every run."""

    def __init__(self, options: TcpOptions, environment: ProbeEnvironment) -> None:
        self._options = options
        self._environment = environment
        host, port = options.address
        self._route = Route(
            host=host, port=port, family=options.usable_family, source=options.source_address
        )
        tls = options.tls
        self._context = environment.contexts.share(tls.settings()) if tls else None
        self._name = (tls and tls.server_name) or host
        self._send = options.send.encode() if options.send else None

    async def run(self, attempt: Attempt) -> Result:
        """Connect, converse as far as configured, hang up."""
        expiry = None
        try:
            link = await self._dial(attempt)
            expiry = link.chain.expiry if link.chain else None
            try:
                await self._converse(attempt, link)
            finally:
                link.transport.abort()
            check_certificate(
                link.chain, self._options.expect.certificate_days, self._environment.clock
            )
            check_duration(attempt, self._options.expect.max_duration)
        except ProbeError as error:
            return attempt.failed(error.reason, str(error), certificate_expiry=expiry)
        return attempt.passed(certificate_expiry=expiry)

    async def close(self) -> None:
        """Nothing is held between runs."""

    async def _dial(self, attempt: Attempt) -> Link[_Listener]:
        tls = None
        if self._context is not None:
            tls = Tls(context=await self._context.get(), name=self._name)
        return await dial(attempt, self._environment, self._route, lambda: _Listener(attempt), tls)

    async def _converse(self, attempt: Attempt, link: Link[_Listener]) -> None:
        pattern = self._options.expect.matches
        if self._send is not None:
            link.transport.write(self._send)
            await asyncio.sleep(0)  # a loop may send at the end of its turn only
        if pattern is None:
            return
        attempt.begin(Phase.PROCESSING)
        listener = link.protocol
        listener.listen()
        while not pattern.search(bytes(listener.heard)):
            if len(listener.heard) > LIMIT:
                text = f"no match for {pattern.pattern!r} within 16 KiB"
                raise ProbeError(Reason.SIZE, text)
            if listener.over:
                raise _unmatched(listener, pattern.pattern, link)
            await listener.more()
        attempt.facts["answer"] = shown(bytes(listener.heard))


class _Listener(asyncio.Protocol):
    """Collects what the target says, no more than is looked at."""

    def __init__(self, attempt: Attempt) -> None:
        self.heard = bytearray()
        self.over = False
        self.trouble: OSError | None = None
        self._attempt = attempt
        self._listening = False
        self._news = asyncio.Event()

    def listen(self) -> None:
        """From now on the phases follow what is heard."""
        self._listening = True
        if self.heard:
            self._attempt.begin(Phase.TRANSFER)

    async def more(self) -> None:
        """Wait until something was heard, or nothing will be any more."""
        self._news.clear()
        if not self.over:
            await self._news.wait()

    def data_received(self, data: bytes) -> None:
        if self._listening and not self.heard:
            self._attempt.begin(Phase.TRANSFER)
        self.heard += data
        self._news.set()

    def eof_received(self) -> bool:
        self._end(None)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc if isinstance(exc, OSError) else None)

    def _end(self, trouble: OSError | None) -> None:
        self.over = True
        self.trouble = self.trouble or trouble
        self._news.set()


def _unmatched(listener: _Listener, pattern: str, link: Link[_Listener]) -> ProbeError:
    if listener.trouble is not None:
        reason = Reason.PROTOCOL if listener.heard else Reason.CONNECT
        return ProbeError(reason, f"{link.endpoint} broke off: {words(listener.trouble)}")
    if not listener.heard:
        text = f"{link.endpoint} closed the connection without a word, expected {pattern!r}"
        return ProbeError(Reason.BODY, text)
    return ProbeError(Reason.BODY, f"got {shown(bytes(listener.heard))}, expected {pattern!r}")


TYPE: Final = ProbeType(
    name="tcp",
    options=TcpOptions,
    target=lambda options: str(options.address),
    build=TcpProbe,
)
