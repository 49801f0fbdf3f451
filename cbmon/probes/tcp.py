"""``tcp``: connect, speak TLS if told to, say something and expect something back.

Rule: a target that only has to accept costs a connection and nothing more.
"""

from __future__ import annotations

from typing import Final

from pydantic import Field, model_validator

from cbmon.config.fields import Duration, Options, Regex, fault
from cbmon.interfaces import Attempt
from cbmon.model import Reason, Result
from cbmon.probes.conversation import LIMIT as SCRIPT_LIMIT
from cbmon.probes.conversation import Conversation
from cbmon.probes.dial import Tls, touch
from cbmon.probes.dialogue import Dialogue, Step, check_steps
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.expectations import check_certificate, check_duration
from cbmon.probes.failure import ProbeError
from cbmon.probes.kind import ProbeType
from cbmon.probes.options import ConnectOptions, TlsOptions
from cbmon.probes.outcome import outcome
from cbmon.probes.places import Place, route_to

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

    address: Place = Field(
        description="where to connect: `host:port`, or `unix:/path` of a socket",
        examples=["db.example.net:5432", "[::1]:22", "unix:/run/app.sock"],
    )
    tls: TlsOptions | None = Field(
        None,
        description="speak TLS, from the start or a step `starttls` on; `{}` for the defaults",
        examples=[{"min_version": "TLS1.3"}],
    )
    send: str | None = Field(
        None, description="text to send once connected", examples=["PING\r\n"], min_length=1
    )
    dialogue: tuple[Step, ...] = Field(
        (),
        description="steps to go through, instead of `send` and `expect.matches`",
        max_length=100,
    )
    expect: TcpExpect = Field(TcpExpect(), description="what must come back")

    @model_validator(mode="after")
    def _check_dialogue(self) -> TcpOptions:
        if self.dialogue and (self.send is not None or self.expect.matches is not None):
            raise fault(
                "dialogue excludes send and expect.matches; make them its steps", "dialogue"
            )
        check_steps(self.dialogue)
        return self


class TcpProbe:
    """Connects anew at every run."""

    light = True

    def __init__(self, options: TcpOptions, environment: ProbeEnvironment) -> None:
        self._options = options
        self._environment = environment
        self._route = route_to(options.address, options)
        steps, tls = options.dialogue, options.tls
        self._dialogue = Dialogue(steps) if steps else None
        self._later = any(step.starttls for step in steps)
        settings = (tls or TlsOptions()).settings()
        wanted = tls is not None or self._later
        self._context = environment.contexts.share(settings) if wanted else None
        self._name = (tls and tls.server_name) or self._route.host
        self._send = options.send.encode() if options.send else None
        self._says_nothing = not (wanted or steps or self._send or options.expect.matches)

    async def run(self, attempt: Attempt) -> Result:
        """Connect, converse as far as configured, hang up."""
        return await outcome(attempt, self._look(attempt))

    async def close(self) -> None:
        """Nothing is held between runs."""

    async def _look(self, attempt: Attempt) -> None:
        expect = self._options.expect
        if self._says_nothing:
            await touch(attempt, self._environment, self._route)
            check_certificate(None, expect.certificate_days, self._environment.clock)
            check_duration(attempt, expect.max_duration)
            return
        conversation = Conversation(
            attempt, limit=LIMIT if self._dialogue is None else SCRIPT_LIMIT
        )
        tls = await self._tls()
        try:
            await conversation.begin(self._environment, self._route, None if self._later else tls)
            await self._converse(attempt, conversation, tls)
        finally:
            conversation.end()
        check_certificate(conversation.chain, expect.certificate_days, self._environment.clock)
        check_duration(attempt, expect.max_duration)

    async def _tls(self) -> Tls | None:
        if self._context is None:
            return None
        return Tls(context=await self._context.get(), name=self._name)

    async def _converse(
        self, attempt: Attempt, conversation: Conversation, tls: Tls | None
    ) -> None:
        if self._dialogue is not None:

            async def begin_tls() -> None:
                assert tls is not None  # noqa: S101 - for the type checker
                await conversation.begin_tls(self._environment, tls)

            await self._dialogue.play(attempt, conversation, begin_tls)
            return
        if self._send is not None:
            await conversation.say(self._send)
        if self._options.expect.matches is not None:
            await _matched(conversation, self._options.expect.matches)
            attempt.facts["answer"] = conversation.said


async def _matched(conversation: Conversation, pattern: Regex) -> None:
    """Wait until what was heard matches."""
    while not pattern.search(bytes(conversation.heard)):
        try:
            await conversation.more()
        except ProbeError as error:
            if error.reason is Reason.SIZE:
                text = f"no match for {pattern.pattern!r} within 16 KiB"
                raise ProbeError(Reason.SIZE, text) from error
            if not conversation.is_over:
                raise
            if not conversation.heard:
                text = f"{conversation.where} closed the connection without a word"
                raise ProbeError(Reason.BODY, f"{text}, expected {pattern.pattern!r}") from error
            text = f"got {conversation.said}, expected {pattern.pattern!r}"
            raise ProbeError(Reason.BODY, text) from error


TYPE: Final = ProbeType(
    name="tcp",
    options=TcpOptions,
    target=lambda options: str(options.address),
    build=TcpProbe,
)
