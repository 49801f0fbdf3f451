"""``redis``: log in, give one command, judge the reply.

Rule: the protocol is spoken here: one connection, one try, and nothing of the reply is kept that
is not judged.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Final, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import AfterValidator, Field, WithJsonSchema, field_validator

from cbmon.config.fields import (
    Duration,
    Options,
    Regex,
    Secret,
    SecretError,
    SecretFile,
    checked_url,
    secret_from,
)
from cbmon.interfaces import Attempt
from cbmon.model import Reason, Result
from cbmon.probes.comparison import Comparison
from cbmon.probes.conversation import Conversation
from cbmon.probes.dial import Route, Tls
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.expectations import check_certificate, check_duration
from cbmon.probes.failure import ProbeError, shown
from cbmon.probes.kind import ProbeType
from cbmon.probes.options import ConnectOptions, TlsOptions
from cbmon.probes.outcome import outcome
from cbmon.probes.query import Wanted
from cbmon.probes.resp import LARGEST, Refusal, Reply, command, fields, flattened, reply

PORT: Final = 6379
_REFUSALS: Final = frozenset({"NOAUTH", "WRONGPASS", "NOPERM"})


class Place(NamedTuple):
    """What a URL says."""

    host: str
    port: int
    path: str | None
    user: str
    database: int
    tls: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        place = f"unix:{self.path}" if self.path else f"{host}:{self.port}"
        return f"{place}/{self.database}"


def parse_url(text: str) -> Place:
    """The parts of ``redis://user@host:port/0``, ``rediss://…`` or ``unix:///path?db=0``."""
    url = urlsplit(text)
    if url.scheme == "unix":
        database = parse_qs(url.query).get("db", ["0"])[0]
        if url.netloc or len(url.path) < 2:
            raise ValueError("expected a Unix socket such as unix:///run/redis/redis.sock?db=0")
    else:
        checked_url(text, ("rediss", "redis"))
        database = url.path.removeprefix("/") or "0"
    if not (database.isdecimal() and database.isascii() and len(database) <= 5):
        raise ValueError("expected the number of a database after the host, such as /0")
    return Place(
        host=url.hostname or "localhost",
        port=url.port or PORT,
        path=unquote(url.path) if url.scheme == "unix" else None,
        user=unquote(url.username or ""),
        database=int(database),
        tls=url.scheme == "rediss",
    )


def _checked(value: str) -> str:
    parse_url(value)
    return value


RedisUrl = Annotated[
    str, AfterValidator(_checked), WithJsonSchema({"type": "string", "format": "uri"})
]


class RedisExpect(Options):
    """What makes a reply a good one; without any, one that is no error."""

    value: Wanted | None = Field(
        None,
        description="the reply: a number, a comparison, or a text",
        examples=["PONG", "< 1000"],
    )
    matches: Regex | None = Field(None, description="pattern that must match the reply")
    fields: dict[str, Wanted] = Field(
        {},
        description="what must stand after a name in `name:value` lines, as those of INFO",
        examples=[{"role": "master", "connected_slaves": ">= 1"}],
    )
    max_duration: Duration | None = Field(None, description="longest the whole run may take")
    certificate_days: float | None = Field(
        None, description="days that every presented certificate must still be valid", ge=0
    )


class RedisOptions(ConnectOptions):
    """A command to a Redis server, or one that speaks its protocol."""

    url: RedisUrl = Field(
        description="`redis://user@host:6379/0`, `rediss://…` for TLS, or `unix:///path?db=0`",
        examples=["redis://cache.example.net", "unix:///run/redis/redis.sock"],
    )
    password: Secret | None = Field(None, description="password")
    password_file: SecretFile | None = Field(
        None, description="file that holds the password, read at every run"
    )
    tls: TlsOptions = Field(TlsOptions(), description="how to speak TLS, with `rediss://`")
    command: tuple[str, ...] = Field(
        ("PING",), description="command and its arguments", min_length=1, max_length=64
    )
    expect: RedisExpect = Field(RedisExpect(), description="what makes the reply a good one")

    @field_validator("command")
    @classmethod
    def _check_command(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value[0].upper() in {
            "MONITOR",
            "SUBSCRIBE",
            "PSUBSCRIBE",
            "SSUBSCRIBE",
            "SYNC",
            "PSYNC",
        }:
            raise ValueError(f"{value[0]} never ends; give a command with one reply")
        return value


class RedisProbe:
    """Connects anew at every run."""

    def __init__(self, options: RedisOptions, environment: ProbeEnvironment) -> None:
        self._options = options
        self._environment = environment
        self._place = place = parse_url(options.url)
        self._route = Route(
            host=place.host,
            port=place.port,
            family=options.usable_family,
            source=options.source_address,
            path=place.path,
        )
        self._context = environment.contexts.share(options.tls.settings()) if place.tls else None

    async def run(self, attempt: Attempt) -> Result:
        """Connect, log in, give the command, judge the reply."""
        return await outcome(attempt, self._look(attempt))

    async def close(self) -> None:
        """Nothing is held between runs."""

    async def _look(self, attempt: Attempt) -> None:
        conversation = Conversation(attempt, limit=LARGEST)
        try:
            await conversation.begin(self._environment, self._route, await self._tls())
            await self._enter(conversation)
            await conversation.say(command(*self._options.command))
            found = await reply(conversation)
        finally:
            conversation.end()
        attempt.end()
        self._judge(found, attempt)
        expect = self._options.expect
        check_certificate(conversation.chain, expect.certificate_days, self._environment.clock)
        check_duration(attempt, expect.max_duration)

    async def _tls(self) -> Tls | None:
        if self._context is None:
            return None
        name = self._options.tls.server_name or self._place.host
        return Tls(context=await self._context.get(), name=name)

    async def _enter(self, conversation: Conversation) -> None:
        """Log in and choose the database, as far as asked for."""
        if password := await self._password():
            user = (self._place.user,) if self._place.user else ()
            await _granted(conversation, "AUTH", *user, password)
        if self._place.database:
            await _granted(conversation, "SELECT", str(self._place.database))

    async def _password(self) -> str:
        options = self._options
        try:
            found = await asyncio.to_thread(secret_from, options.password, options.password_file)
        except SecretError as error:
            raise ProbeError(Reason.CONFIG, str(error)) from error
        return found.reveal() if found else ""

    def _judge(self, found: Reply, attempt: Attempt) -> None:
        if isinstance(found, Refusal):
            raise _refused(found)
        expect, text = self._options.expect, flattened(found)
        attempt.facts["reply"] = got = "null" if found is None else shown(text)
        if expect.value is not None and (found is None or not _is(text, expect.value)):
            raise ProbeError(Reason.BODY, f"got {got}, expected {_bare(expect.value)}")
        if expect.matches is not None and not expect.matches.search(text):
            expected = f"expected a match for {expect.matches.pattern!r}"
            raise ProbeError(Reason.BODY, f"got {got}, {expected}")
        held = fields(text) if expect.fields else {}
        for name, wanted in expect.fields.items():
            if name not in held:
                raise ProbeError(Reason.BODY, f"the reply has no field {name}")
            if not _is(held[name], wanted):
                text = f"{name} is {shown(held[name])}, expected {_bare(wanted)}"
                raise ProbeError(Reason.BODY, text)


async def _granted(conversation: Conversation, *words: str) -> None:
    await conversation.say(command(*words))
    found = await reply(conversation)
    if isinstance(found, Refusal):
        raise _refused(found, auth=words[0] == "AUTH")


def _refused(found: Refusal, *, auth: bool = False) -> ProbeError:
    reason = Reason.AUTH if auth or found.code in _REFUSALS else Reason.STATUS
    return ProbeError(reason, f"the server refused: {shown(found.text)}")


def _is(value: str, wanted: Comparison | str) -> bool:
    if isinstance(wanted, str):
        return value == wanted
    try:
        return wanted.holds(float(value))
    except ValueError:
        return False


def _bare(wanted: Comparison | str) -> str:
    return str(wanted).removeprefix("== ")


TYPE: Final = ProbeType(
    name="redis",
    options=RedisOptions,
    target=lambda options: str(parse_url(options.url)),
    build=RedisProbe,
)
