"""A session with a MySQL server: TLS, login, packets.

Rule: one packet at a time is kept. The password is sent as it is only where nobody can listen, and
a server that asks for a local file gets none.
"""

from __future__ import annotations

import asyncio
from typing import Any

from cbmon.interfaces import Attempt
from cbmon.model import Phase, Reason
from cbmon.probes.database import Security
from cbmon.probes.dial import Link, Route, dial, secure
from cbmon.probes.dsn import Dsn
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.failure import ProbeError, shown
from cbmon.probes.mysql import wire
from cbmon.probes.query import Answer
from cbmon.probes.streams import breathe, exactly, streams

_FAST, _FULL = 3, 4


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

    async def log_in(self, dsn: Dsn, password: str) -> None:
        """Be let in; ProbeError (``auth``, ``status``) when the server refuses."""
        plugin, salt = self.greeting.plugin, self.greeting.salt
        if plugin not in wire.SCRAMBLES:
            plugin = "mysql_native_password"
        response = wire.SCRAMBLES[plugin](password, salt)
        tls = self.link.chain is not None
        self._say(wire.login(dsn.user, response, dsn.database, plugin, tls=tls))
        private = tls or dsn.path is not None
        while True:
            body = await self._packet()
            kind = body[0]
            if kind == wire.OK:
                return
            if kind == wire.ERROR:
                raise _refused(wire.error(body))
            if kind == wire.EOF:
                self._say(_other_way(*wire.switch(body), password, private=private))
            elif kind == wire.MORE and body[1:] == bytes([_FULL]):
                self._say(_clear(password, private=private))
            elif kind != wire.MORE or body[1:] != bytes([_FAST]):
                raise wire.malformed()

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
        self.link.transport.write(wire.packet(self._number, body))
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


def _other_way(plugin: str, salt: bytes, password: str, *, private: bool) -> bytes:
    if plugin in wire.SCRAMBLES:
        return wire.SCRAMBLES[plugin](password, salt)
    if plugin == "mysql_clear_password":
        return _clear(password, private=private)
    if plugin in {"unix_socket", "auth_socket"}:
        return b""
    text = f"the server asks for {shown(plugin)} to log in, which is not supported"
    raise ProbeError(Reason.AUTH, text)


def _clear(password: str, *, private: bool) -> bytes:
    if not private:
        text = "the server asks for the password as it is, which needs TLS"
        raise ProbeError(Reason.AUTH, text)
    return password.encode() + b"\0"


def _refused(trouble: wire.ServerError) -> ProbeError:
    reason = Reason.AUTH if trouble.state.startswith("28") else Reason.STATUS
    return ProbeError(reason, f"the server refused: {trouble.text}")
