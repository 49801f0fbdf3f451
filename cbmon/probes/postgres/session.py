"""A session with a PostgreSQL server: TLS, login, messages.

Rule: one message at a time is kept. The password is sent as it is only where nobody can listen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from cbmon.interfaces import Attempt
from cbmon.model import Phase, Reason
from cbmon.probes.addresses import Endpoint, SocketFile
from cbmon.probes.database import Security
from cbmon.probes.dial import Link, Route, dial, secure
from cbmon.probes.dsn import Dsn
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.failure import ProbeError, shown
from cbmon.probes.postgres import wire
from cbmon.probes.postgres.scram import Scram, ScramError
from cbmon.probes.query import Answer
from cbmon.probes.streams import breathe, exactly, say, streams


async def opened(
    attempt: Attempt,
    environment: ProbeEnvironment,
    route: Route,
    dsn: Dsn,
    security: Security,
) -> tuple[Link[Any], Session]:
    """A connection, over TLS as far as wanted and possible; its transport must be aborted."""
    ends = streams()
    link: Link[Any] = await dial(attempt, environment, route, lambda: ends[1])
    mode = security.mode(dsn)
    if mode != "disable":
        try:
            if await _offers_tls(link, ends[0], needed=mode not in {"allow", "prefer"}):
                ends = streams()  # nothing that came before the handshake is believed
                tls = await security.tls(dsn)
                link = await secure(attempt, environment, link, ends[1], tls)
        except BaseException:
            link.transport.abort()
            raise
    attempt.begin(Phase.PROCESSING)
    return link, Session(attempt, ends[0], link.transport, link.endpoint)


async def _offers_tls(link: Link[Any], reader: asyncio.StreamReader, *, needed: bool) -> bool:
    say(link.transport, wire.SSL_REQUEST)
    answer = await exactly(reader, 1, link.endpoint)
    if answer not in {b"S", b"N"}:
        text = f"{link.endpoint} does not speak PostgreSQL's protocol"
        raise ProbeError(Reason.PROTOCOL, text)
    if needed and answer == b"N":
        raise ProbeError(Reason.TLS, f"{link.endpoint} does not offer TLS, expected it")
    return answer == b"S"


class Session:
    """Says and hears messages. Facts of the server go to the attempt."""

    def __init__(
        self,
        attempt: Attempt,
        reader: asyncio.StreamReader,
        transport: asyncio.WriteTransport,
        endpoint: Endpoint | SocketFile,
    ) -> None:
        self._attempt = attempt
        self._reader = reader
        self._endpoint = endpoint
        self._kinds: bytes | None = wire.AT_LOGIN
        self._count = 0
        self.say: Callable[[bytes], None] = partial(say, transport)

    async def log_in(
        self, user: str, password: str, database: str, *, application: str, private: bool
    ) -> None:
        """Be let in; ProbeError (``auth``, ``status``, ``protocol``) when the server refuses.

        ``private``: nobody can listen, so that a password may be sent as it is.
        """
        self.say(
            wire.startup(
                {
                    "user": user,
                    "database": database,
                    "application_name": application,
                    "client_encoding": "UTF8",
                }
            )
        )
        scram = Scram(password)
        while True:
            asked, data = wire.authentication(await self._heard(b"R"))
            if asked == wire.OK and scram.is_open:
                raise ProbeError(Reason.AUTH, "the server has not proved that it is the right one")
            if asked == wire.OK:
                break
            await self._authenticate(asked, data, user, password, scram, private=private)
        if (trouble := await self.ready()) is not None:
            raise _refused(trouble)
        self._kinds = None

    async def ready(self, answer: Answer | None = None) -> wire.ServerError | None:
        """Wait until the server is ready for the next query; the error it told of meanwhile.

        Rows are counted in ``answer``.
        """
        trouble = None
        while True:
            kind, body = await self._message()
            if kind == b"E":
                trouble = wire.error(body)
                if trouble.fatal:
                    return trouble
            elif kind == b"D" and answer is not None:
                answer.take(len(body), wire.first_value(body))
            elif kind == b"S":
                self._note(*wire.parameter(body))
            elif kind == b"Z":
                return trouble
            elif kind in {b"G", b"H", b"W"}:
                raise ProbeError(Reason.STATUS, "the query copies data; expected one that answers")

    async def leave(self) -> None:
        """Say goodbye: a server writes to its log of clients that are just gone."""
        self.say(wire.message(b"X", b""))
        await asyncio.sleep(0)  # a loop may send at the end of its turn only

    async def _authenticate(
        self, asked: int, data: bytes, user: str, password: str, scram: Scram, *, private: bool
    ) -> None:
        if not password and asked not in wire.OTHER_WAYS:
            raise ProbeError(Reason.AUTH, "the server asks for a password; none is configured")
        if asked == wire.CLEAR:
            if not private:
                text = "the server asks for the password as it is, which needs TLS"
                raise ProbeError(Reason.AUTH, text)
            self.say(wire.password(password))
        elif asked == wire.MD5:
            self.say(wire.password(wire.md5(user, password, data)))
        elif asked == wire.SASL:
            if scram.mechanism.encode() not in data.split(b"\0"):
                text = f"the server offers {shown(data.strip(bytes(1)))}, expected SCRAM-SHA-256"
                raise ProbeError(Reason.AUTH, text)
            self.say(wire.sasl_first(scram.mechanism, scram.first()))
        else:
            await self._go_on(asked, data, scram)

    async def _go_on(self, asked: int, data: bytes, scram: Scram) -> None:
        try:
            if asked == wire.SASL_CONTINUE:
                self.say(wire.sasl_next(await asyncio.to_thread(scram.final, data)))
            elif asked == wire.SASL_FINAL:
                scram.verify(data)
            else:
                way = wire.OTHER_WAYS.get(asked, f"way {asked}")
                text = f"the server asks for {way} to log in, which is not supported"
                raise ProbeError(Reason.AUTH, text)
        except ScramError as error:
            raise ProbeError(Reason.AUTH, str(error)) from error

    def _note(self, name: str, value: str) -> None:
        if name == "server_version":
            self._attempt.facts["server_version"] = shown(value)[1:-1]
        elif name == "in_hot_standby":
            self._attempt.facts["standby"] = value == "on"

    async def _heard(self, kind: bytes) -> bytes:
        """The next message of a kind; others that are not errors are passed over."""
        while True:
            found, body = await self._message()
            if found == b"E":
                raise _refused(wire.error(body))
            if found == kind:
                return body
            if found not in {b"N", b"S", b"v"}:
                raise wire.malformed()

    async def _message(self) -> wire.Message:
        self._count += 1
        await breathe(self._count)
        head = await exactly(self._reader, 5, self._endpoint)
        body = await exactly(self._reader, wire.body_size(head, self._kinds), self._endpoint)
        return wire.Message(head[:1], body)


def _refused(trouble: wire.ServerError) -> ProbeError:
    """Class 28 of the SQLSTATEs is about who one is."""
    reason = Reason.AUTH if trouble.code.startswith("28") else Reason.STATUS
    return ProbeError(reason, f"the server refused: {trouble.text}")
