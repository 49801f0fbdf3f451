"""The options and a run of ``icmp``."""

from __future__ import annotations

import errno
import os
import secrets

from pydantic import Field

from cbmon.config.fields import Duration, Options
from cbmon.interfaces import Attempt
from cbmon.model import Phase, Reason, Result
from cbmon.probes.dial import Route, locate
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.expectations import check_duration
from cbmon.probes.failure import ProbeError
from cbmon.probes.icmp.echo import HEAD, is_reply, request, without_ip
from cbmon.probes.icmp.sockets import EchoSocket, Heard, unreachable
from cbmon.probes.options import ConnectOptions
from cbmon.probes.outcome import outcome


class IcmpExpect(Options):
    """What makes a reply a good one."""

    max_duration: Duration | None = Field(None, description="longest the whole run may take")


class IcmpOptions(ConnectOptions):
    """A ping."""

    host: str = Field(
        description="name or address to ping", examples=["gateway.example.net"], min_length=1
    )
    ttl: int | None = Field(
        None, description="hops that the request may take; the system's default if not given",
        ge=1, le=255,
    )  # fmt: skip
    size: int = Field(
        64, description="bytes of the request, without IP's header", ge=HEAD + 16, le=65_507
    )
    dont_fragment: bool = Field(
        False, description="whether no router may cut the request into pieces"
    )
    expect: IcmpExpect = Field(IcmpExpect(), description="what makes the reply a good one")


class IcmpProbe:
    """Pings anew at every run, with a payload that nobody can guess."""

    def __init__(self, options: IcmpOptions, environment: ProbeEnvironment) -> None:
        self._options = options
        self._environment = environment
        self._route = Route(
            host=options.host, family=options.usable_family, source=options.source_address
        )
        self._sequence = 0

    async def run(self, attempt: Attempt) -> Result:
        """Ask for an echo and wait for it."""
        return await outcome(attempt, self._look(attempt))

    async def close(self) -> None:
        """Nothing is held between runs."""

    async def _look(self, attempt: Attempt) -> None:
        ip = (await locate(attempt, self._environment, self._route)).ip
        attempt.begin(Phase.CONNECT)
        echo = EchoSocket(6 if ":" in ip else 4, group=os.getegid())
        try:
            heard = await self._echo(attempt, echo, ip)
        finally:
            echo.close()
        attempt.end()
        attempt.facts["bytes"] = self._options.size
        if heard.ttl is not None:
            attempt.facts["ttl"] = heard.ttl
        check_duration(attempt, self._options.expect.max_duration)

    async def _echo(self, attempt: Attempt, echo: EchoSocket, ip: str) -> Heard:
        message = self._message(echo.version)
        self._prepare(echo)
        attempt.begin(Phase.PROCESSING)
        try:
            echo.send(ip, message)
            while True:
                heard = await echo.receive()
                strip = echo.is_raw and echo.version == 4
                data = without_ip(heard.data) if strip else heard.data
                if is_reply(echo.version, data, message, identified=echo.is_raw):
                    return heard
        except OSError as error:
            raise unreachable(ip, error) from error

    def _prepare(self, echo: EchoSocket) -> None:
        options = self._options
        try:
            echo.prepare(
                ttl=options.ttl, dont_fragment=options.dont_fragment, source=options.source_address
            )
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise ProbeError(Reason.CONFIG, f"cannot ping so: {error.strerror}") from error
            text = f"cannot ping from {options.source_address}: this machine has no such address"
            raise ProbeError(Reason.CONFIG, text) from error

    def _message(self, version: int) -> bytes:
        self._sequence = (self._sequence + 1) & 0xFFFF
        payload = secrets.token_bytes(16).ljust(self._options.size - HEAD, b"\x55")
        return request(version, secrets.randbits(16), self._sequence, payload)
