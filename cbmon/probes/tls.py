"""``tls``: the handshake and the certificates, nothing above them.

Rule: a target that is good for ``tls`` is one that a client with the same options would talk to.
"""

from __future__ import annotations

import asyncio
from typing import Final, Literal

from pydantic import Field

from cbmon.config.fields import Duration, HostPort, Options
from cbmon.interfaces import Attempt, Probe
from cbmon.model import Reason, Result
from cbmon.probes.certificates import Chain
from cbmon.probes.dial import Route, Tls, dial
from cbmon.probes.domains import registered
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.expectations import check_certificate, check_duration
from cbmon.probes.failure import ProbeError, shown
from cbmon.probes.kind import ProbeType
from cbmon.probes.options import ConnectOptions, DomainExpect, TlsOptions


class TlsExpect(Options):
    """What makes a handshake a good one."""

    certificate_days: float = Field(
        7, description="days that every presented certificate must still be valid", ge=0
    )
    names: tuple[str, ...] = Field(
        (), description="names that the certificate must hold besides the one asked for"
    )
    domain: DomainExpect | None = Field(
        None, description="how long the registration of the target's domain must still go on"
    )
    version: Literal["TLS1.2", "TLS1.3"] | None = Field(
        None, description="version of TLS that must be agreed upon"
    )
    max_duration: Duration | None = Field(None, description="longest the whole run may take")


class TlsCheckOptions(ConnectOptions, TlsOptions):
    """A TLS handshake."""

    address: HostPort = Field(description="where to connect", examples=["shop.example.net:443"])
    expect: TlsExpect = Field(TlsExpect(), description="what makes the handshake a good one")


class TlsProbe:
    """Shakes hands anew at every run."""

    light = True

    def __init__(self, options: TlsCheckOptions, environment: ProbeEnvironment) -> None:
        self._expect = options.expect
        self._environment = environment
        host, port = options.address
        self._route = Route(
            host=host, port=port, family=options.usable_family, source=options.source_address
        )
        self._context = environment.contexts.share(options.settings())
        self._name = options.server_name or host

    async def run(self, attempt: Attempt) -> Result:
        """Connect, shake hands, look at the certificates, hang up."""
        expiry = None
        try:
            tls = Tls(context=await self._context.get(), name=self._name)
            link = await dial(attempt, self._environment, self._route, asyncio.Protocol, tls)
            link.transport.abort()
            expiry = link.chain.expiry if link.chain else None
            self._judge(attempt, link.chain)
        except ProbeError as error:
            return attempt.failed(error.reason, str(error), certificate_expiry=expiry)
        return attempt.passed(certificate_expiry=expiry)

    async def close(self) -> None:
        """Nothing is held between runs."""

    def _judge(self, attempt: Attempt, chain: Chain | None) -> None:
        expect = self._expect
        spoken = str(attempt.facts["tls_version"]).replace("TLSv1", "TLS1")
        if expect.version not in {None, spoken}:
            raise ProbeError(Reason.TLS, f"got {spoken}, expected {expect.version}")
        missing = sorted(set(expect.names) - set(chain.names if chain else ()))
        if missing:
            held = shown(", ".join(chain.names if chain else ()))
            text = f"the certificate is for {held}, expected {', '.join(missing)} too"
            raise ProbeError(Reason.TLS, text)
        check_certificate(chain, expect.certificate_days, self._environment.clock)
        check_duration(attempt, expect.max_duration)


def build(options: TlsCheckOptions, environment: ProbeEnvironment) -> Probe:
    """The probe of a check."""
    probe, host = TlsProbe(options, environment), options.address.host
    return registered(probe, options.expect.domain, host, environment)


TYPE: Final = ProbeType(
    name="tls",
    options=TlsCheckOptions,
    target=lambda options: str(options.address),
    build=build,
)
