"""A session with a MySQL server: TLS, login, packets.

Rule: one packet at a time is kept, and a server that asks for a local file gets none.
"""

from __future__ import annotations

import asyncio
from typing import Any

from cbmon.interfaces import Attempt
from cbmon.model import Phase, Reason
from cbmon.probes.addresses import SocketFile
from cbmon.probes.database import Security
from cbmon.probes.dial import Link, Route, dial, secure
from cbmon.probes.dsn import Dsn
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.failure import ProbeError
from cbmon.probes.mysql import wire
from cbmon.probes.mysql.login import Login
from cbmon.probes.query import Answer
from cbmon.probes.streams import breathe, exactly, say, streams


class Session:
    """Says and hears packets over a link; whoever opens one must abort its transport."""

    def __init__(self, reader: asyncio.StreamReader, link: Link[Any]) -> None:
        self.link = link
        self._reader = reader
        self._number = 0
        self._count = 0
        self.greeting = wire.Greeting("", 0, "", b"")

    @classmethod
    async def open(cls, attempt: Attempt, environment: ProbeEnvironment, route: Route) -> Session:
        """Connect; the server speaks first."""
        reader, protocol = streams()
        link: Link[Any] = await dial(attempt, environment, route, lambda: protocol)
        attempt.begin(Phase.PROCESSING)
        return cls(reader, link)

    async def greet(
        self, attempt: Attempt, environment: ProbeEnvironment, dsn: Dsn, security: Security
    ) -> None:
        """Hear the greeting, and go on over TLS as far as wanted and possible."""
        body = await self._packet()
        if body[:1] == bytes([wire.ERROR]):
            raise _refused(wire.error(body))
        self.greeting = wire.greeting(body)
        attempt.facts["server_version"] = self.greeting.version
        mode = security.mode(dsn)
        if mode == "disable":
            return
        if not self.greeting.capabilities & wire.SSL:
            if mode not in {"allow", "prefer"}:
                text = f"{self.link.endpoint} does not offer TLS, expected it"
                raise ProbeError(Reason.TLS, text)
            return
        self._say(wire.head(dsn.database, tls=True))
        self._reader, protocol = streams()  # nothing that came before TLS is believed
        self.link = await secure(attempt, environment, self.link, protocol, await security.tls(dsn))
        attempt.begin(Phase.PROCESSING)

    @property
    def is_private(self) -> bool:
        """Whether nobody can listen."""
        return self.link.chain is not None or isinstance(self.link.endpoint, SocketFile)

    async def log_in(self, dsn: Dsn, login: Login) -> None:
        """Be let in; ProbeError (``auth``, ``status``) when the server refuses."""
        response = login.begin(self.greeting.plugin, self.greeting.salt)
        tls = self.link.chain is not None
        self._say(wire.login(dsn.user, response, dsn.database, login.plugin, tls=tls))
        while True:
            body = await self._packet()
            kind = body[0]
            if kind == wire.OK:
                return
            if kind == wire.ERROR:
                raise _refused(wire.error(body))
            if kind == wire.EOF:
                self._say(login.switched(*wire.switch(body)))
            elif kind != wire.MORE:
                raise wire.malformed()
            elif (answer := login.more(body[1:])) is not None:
                self._say(answer)

    async def ask(self, query: str, answer: Answer | None = None) -> wire.ServerError | None:
        """Ask, and count the rows of what comes back; the error if there is one."""
        self._number = 0
        self._say(b"\x03" + query.encode())
        body = await self._packet()
        if body[0] == wire.ERROR:
            return wire.error(body)
        if body[0] == wire.OK:
            return None
        if body[0] == wire.LOCAL_FILE:
            raise ProbeError(Reason.PROTOCOL, "the server asks for a file of this machine")
        for _ in range(wire.column_count(body)):
            await self._packet()
        if not wire.is_eof(await self._packet()):
            raise wire.malformed()
        while True:
            body = await self._packet()
            if body[0] == wire.ERROR:
                return wire.error(body)
            if wire.is_eof(body):
                return None
            if answer is not None:
                answer.take(len(body), wire.first_value(body))

    async def leave(self) -> None:
        """Say goodbye: a server counts clients that are just gone."""
        self._number = 0
        self._say(b"\x01")
        await asyncio.sleep(0)  # a loop may send at the end of its turn only

    def _say(self, body: bytes) -> None:
        say(self.link.transport, wire.packet(self._number, body))
        self._number += 1

    async def _packet(self) -> bytes:
        self._count += 1
        await breathe(self._count)
        head = await exactly(self._reader, 4, self.link.endpoint)
        self._number = head[3] + 1
        body = await exactly(self._reader, wire.size(head), self.link.endpoint)
        if not body:
            raise wire.malformed()
        return body


def _refused(trouble: wire.ServerError) -> ProbeError:
    reason = Reason.AUTH if trouble.state.startswith("28") else Reason.STATUS
    return ProbeError(reason, f"the server refused: {trouble.text}")
