"""A conversation over one connection: lines and bytes, TLS from the start or in the middle.

Rule: no more is ever held than the limit, and what a target said before TLS began counts for
nothing after it.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from cbmon.interfaces import Attempt
from cbmon.model import Phase, Reason
from cbmon.probes.certificates import Chain
from cbmon.probes.dial import Link, ProtocolT, Route, Tls, dial, secure
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.failure import ProbeError, shown, words

LIMIT: Final = 64 * 1024


class Conversation:
    """Says and hears. ProbeError when the target ends, breaks off or talks too much.

    ``limit`` is in bytes, for all that the target says together. The phase is ``processing``
    while an answer is waited for and ``transfer`` once it has begun.
    """

    def __init__(self, attempt: Attempt, *, limit: int = LIMIT) -> None:
        self.heard = bytearray()
        """What was said and not yet taken."""
        self._attempt = attempt
        self._limit = limit
        self._link: Link[_Ear] | None = None

    async def begin(
        self, environment: ProbeEnvironment, route: Route, tls: Tls | None = None
    ) -> None:
        """Connect; whoever begins must end it."""
        self._link = await dial(self._attempt, environment, route, self._ear, tls)

    async def begin_tls(self, environment: ProbeEnvironment, tls: Tls) -> None:
        """Go on over TLS; what is left from before is a breach of every such protocol."""
        self._link = await self.hand_over(environment, self._ear(), tls)

    async def hand_over(
        self, environment: ProbeEnvironment, protocol: ProtocolT, tls: Tls
    ) -> Link[ProtocolT]:
        """The connection over TLS with another protocol on it, and the end of this conversation."""
        if self.heard:
            text = f"{self.where} went on in the clear where TLS had to begin: {self.said}"
            raise ProbeError(Reason.PROTOCOL, text)
        ear = self._open.protocol
        if ear.over or self._open.transport.is_closing():
            raise self._ended(ear)
        return await secure(self._attempt, environment, self._open, protocol, tls)

    def end(self) -> None:
        """Hang up, at once."""
        if self._link is not None:
            self._link.transport.abort()

    async def say(self, data: bytes) -> None:
        """Send; the answer is waited for from now on."""
        if not self._open.transport.is_closing():  # what it said before is still to be heard
            self._open.transport.write(data)
        self._open.protocol.fresh = not self.heard
        await asyncio.sleep(0)  # a loop may send at the end of its turn only

    async def line(self) -> bytes:
        """The next line, without its end."""
        self._listen()
        while (end := self.heard.find(b"\n")) < 0:
            await self.more()
        found = bytes(self.heard[: end + 1])
        del self.heard[: end + 1]
        return found.rstrip(b"\r\n")

    async def exactly(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        self._listen()
        while len(self.heard) < size:
            await self.more()
        return self.take(size)

    def take(self, size: int) -> bytes:
        """Bytes that are there already."""
        found = bytes(self.heard[:size])
        del self.heard[:size]
        return found

    async def more(self) -> None:
        """Wait until there is more; ProbeError when there will not be."""
        self._listen()
        ear = self._open.protocol
        before = ear.total
        while ear.total == before:
            if ear.over:
                raise self._ended(ear)
            await ear.wait()
        if ear.total > self._limit:
            text = f"{self.where} said more than {self._limit // 1024} KiB"
            raise ProbeError(Reason.SIZE, text)

    @property
    def chain(self) -> Chain | None:
        """What the target presented, over TLS."""
        return self._link.chain if self._link else None

    @property
    def expiry(self) -> float | None:
        """When the first certificate expires, in Unix seconds."""
        return self.chain.expiry if self.chain else None

    @property
    def where(self) -> str:
        """The other end, for messages."""
        return str(self._link.endpoint) if self._link else "the target"

    @property
    def said(self) -> str:
        """What was said and not yet taken, for messages."""
        return shown(bytes(self.heard))

    @property
    def is_over(self) -> bool:
        """Whether the target has hung up in good order."""
        return self._open.protocol.over and self._open.protocol.trouble is None

    @property
    def _open(self) -> Link[_Ear]:
        assert self._link is not None, "the conversation has not begun"  # noqa: S101
        return self._link

    def _listen(self) -> None:
        """The phase of waiting begins, or that of hearing when the answer has begun already."""
        waiting = self._open.protocol.fresh and not self.heard
        phase = Phase.PROCESSING if waiting else Phase.TRANSFER
        if self._attempt.phase is not phase:
            self._attempt.begin(phase)

    def _ear(self) -> _Ear:
        return _Ear(self._attempt, self.heard, self._limit)

    def _ended(self, ear: _Ear) -> ProbeError:
        if ear.trouble is not None:
            reason = Reason.PROTOCOL if ear.total else Reason.CONNECT
            return ProbeError(reason, f"{self.where} broke off: {words(ear.trouble)}")
        if not ear.total:
            return ProbeError(Reason.PROTOCOL, f"{self.where} closed the connection without a word")
        rest = f" after {self.said}" if self.heard else ""
        return ProbeError(Reason.PROTOCOL, f"{self.where} closed the connection{rest}")


class _Ear(asyncio.Protocol):
    """Gathers what comes, and stops listening beyond the limit."""

    def __init__(self, attempt: Attempt, heard: bytearray, limit: int) -> None:
        self.total = 0
        self.over = False
        self.fresh = True
        """Whether nothing has come since something was said."""
        self.trouble: OSError | None = None
        self._attempt = attempt
        self._heard = heard
        self._limit = limit
        self._news = asyncio.Event()
        self._transport: Any = None

    async def wait(self) -> None:
        """Until something was heard, or nothing will be any more."""
        self._news.clear()
        if not self.over:
            await self._news.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._attempt.phase is Phase.PROCESSING:
            self._attempt.begin(Phase.TRANSFER)
        self.fresh = False
        self.total += len(data)
        self._heard += data
        if self.total > self._limit:
            self._transport.pause_reading()
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
