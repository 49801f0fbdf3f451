"""``smtp``: greet a mail server, over TLS if told to, and see what it offers.

Rule: no mail is sent and nobody logs in. With STARTTLS the server must offer it and its
certificate must be valid: what a careful client would insist on.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import Field

from cbmon.config.fields import Duration, HostPort, Options, Regex
from cbmon.interfaces import Attempt
from cbmon.model import Reason, Result
from cbmon.probes.conversation import Conversation
from cbmon.probes.dial import Route, Tls
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.expectations import check_certificate, check_duration
from cbmon.probes.failure import ProbeError, shown
from cbmon.probes.kind import ProbeType
from cbmon.probes.options import ConnectOptions, TlsOptions
from cbmon.probes.outcome import outcome

_LINES: Final = 100
_LINE: Final = re.compile(rb"([2-5][0-9]{2})([ -]?)(.*)", re.DOTALL)


class SmtpExpect(Options):
    """What makes a mail server a good one."""

    banner: Regex | None = Field(
        None, description="pattern that must match the greeting", examples=["^mx[0-9]+[.]example"]
    )
    capabilities: tuple[str, ...] = Field(
        (),
        description="what the answer to EHLO must offer, over TLS if TLS is begun",
        examples=[["PIPELINING", "AUTH PLAIN"]],
    )
    certificate_days: float | None = Field(
        None, description="days that every presented certificate must still be valid", ge=0
    )
    max_duration: Duration | None = Field(None, description="longest the whole run may take")


class SmtpOptions(ConnectOptions):
    """The greeting of a mail server."""

    address: HostPort = Field(description="where to connect", examples=["mx.example.net:25"])
    security: Literal["none", "starttls", "tls"] = Field(
        "none", description="`starttls` begins TLS after EHLO, `tls` with the connection (port 465)"
    )
    tls: TlsOptions = Field(TlsOptions(), description="how to speak TLS")
    ehlo: str | None = Field(
        None,
        description="name to introduce oneself with; this machine's if not given",
        pattern=r"^[0-9A-Za-z.:\[\]_-]{1,255}$",
    )
    expect: SmtpExpect = Field(SmtpExpect(), description="what makes the server a good one")


@dataclass(frozen=True, slots=True)
class SmtpReply:
    """A reply: its code and its lines without it."""

    code: int
    lines: tuple[bytes, ...]

    def __str__(self) -> str:
        return f"{self.code} {shown(b' '.join(self.lines))}"


class SmtpProbe:
    """Connects anew at every run."""

    def __init__(self, options: SmtpOptions, environment: ProbeEnvironment) -> None:
        self._options = options
        self._environment = environment
        host, port = options.address
        self._route = Route(
            host=host, port=port, family=options.usable_family, source=options.source_address
        )
        self._ehlo = f"EHLO {options.ehlo or socket.gethostname()}\r\n".encode()
        self._context = None
        if options.security != "none":
            self._context = environment.contexts.share(options.tls.settings())

    async def run(self, attempt: Attempt) -> Result:
        """Connect, greet, begin TLS if told to, leave."""
        return await outcome(attempt, self._look(attempt))

    async def close(self) -> None:
        """Nothing is held between runs."""

    async def _look(self, attempt: Attempt) -> None:
        expect = self._options.expect
        conversation = Conversation(attempt)
        try:
            await self._converse(conversation, attempt)
            attempt.end()
        finally:
            conversation.end()
        check_certificate(conversation.chain, expect.certificate_days, self._environment.clock)
        check_duration(attempt, expect.max_duration)

    async def _converse(self, conversation: Conversation, attempt: Attempt) -> None:
        options, tls = self._options, await self._tls()
        at_once = tls if options.security == "tls" else None
        await conversation.begin(self._environment, self._route, at_once)
        greeting = await expected(conversation, "the greeting", 220)
        attempt.facts["banner"] = shown(greeting.lines[0])[1:-1]
        _judge_banner(options.expect.banner, greeting.lines[0])
        offered = await self._introduced(conversation)
        if options.security == "starttls" and tls is not None:
            if b"STARTTLS" not in offered:
                raise ProbeError(Reason.TLS, f"{conversation.where} does not offer STARTTLS")
            await conversation.say(b"STARTTLS\r\n")
            await expected(conversation, "STARTTLS", 220, reason=Reason.TLS)
            await conversation.begin_tls(self._environment, tls)
            offered = await self._introduced(conversation)
        attempt.facts["capabilities"] = [shown(one)[1:-1] for one in offered[:20]]
        for wanted in options.expect.capabilities:
            if not any(_offers(line, wanted) for line in offered):
                raise ProbeError(Reason.HEADER, f"{conversation.where} does not offer {wanted}")
        await conversation.say(b"QUIT\r\n")

    async def _introduced(self, conversation: Conversation) -> tuple[bytes, ...]:
        await conversation.say(self._ehlo)
        return tuple(line.upper() for line in (await expected(conversation, "EHLO", 250)).lines[1:])

    async def _tls(self) -> Tls | None:
        if self._context is None:
            return None
        name = self._options.tls.server_name or self._route.host
        return Tls(context=await self._context.get(), name=name)


async def expected(
    conversation: Conversation, what: str, code: int, *, reason: Reason = Reason.STATUS
) -> SmtpReply:
    """The next reply; ProbeError (``reason``) unless it has the code."""
    found = await smtp_reply(conversation)
    if found.code != code:
        raise ProbeError(reason, f"got {found}, expected {code} ({what})")
    return found


async def smtp_reply(conversation: Conversation) -> SmtpReply:
    """The next reply of one or more lines; ProbeError (``protocol``) for what is none."""
    lines: list[bytes] = []
    code = None
    while len(lines) < _LINES:
        line = await conversation.line()
        match = _LINE.fullmatch(line)
        if match is None or code not in {None, match[1]}:
            raise ProbeError(Reason.PROTOCOL, f"got {shown(line)}, expected a reply of SMTP")
        code = match[1]
        lines.append(match[3])
        if match[2] != b"-":
            return SmtpReply(int(code), tuple(lines))
    raise ProbeError(Reason.PROTOCOL, f"a reply has more than {_LINES} lines")


def _judge_banner(pattern: Regex | None, banner: bytes) -> None:
    if pattern is not None and not pattern.search(banner):
        text = f"the greeting is {shown(banner)}, expected a match for {pattern.pattern!r}"
        raise ProbeError(Reason.BODY, text)


def _offers(line: bytes, wanted: str) -> bool:
    """Whether a line names the capability and all of its parameters."""
    return set(wanted.upper().encode().split()) <= set(line.replace(b"=", b" ").split())


TYPE: Final = ProbeType(
    name="smtp",
    options=SmtpOptions,
    target=lambda options: str(options.address),
    build=SmtpProbe,
)
