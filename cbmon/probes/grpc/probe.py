"""A run of ``grpc``.

Rule: a service that says SERVING is good; everything else is told apart by where it went wrong.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote

from cbmon.interfaces import Attempt
from cbmon.model import Reason, Result
from cbmon.probes.certificates import Chain
from cbmon.probes.dial import Route, Tls, dial
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.expectations import check_certificate, check_duration
from cbmon.probes.failure import ProbeError, shown
from cbmon.probes.grpc import health
from cbmon.probes.grpc.options import GrpcOptions
from cbmon.probes.http.client import USER_AGENT
from cbmon.probes.http.credentials import authorization
from cbmon.probes.outcome import outcome

CODES: Final = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
_REASONS: Final = {
    "PERMISSION_DENIED": Reason.AUTH,
    "UNAUTHENTICATED": Reason.AUTH,
    "DEADLINE_EXCEEDED": Reason.TIMEOUT,
}


class GrpcProbe:
    """Connects anew at every run."""

    def __init__(self, options: GrpcOptions, environment: ProbeEnvironment) -> None:
        self._options = options
        self._environment = environment
        host, port = options.address
        self._route = Route(
            host=host, port=port, family=options.usable_family, source=options.source_address
        )
        tls = options.tls
        self._context = environment.contexts.share(tls.settings("h2")) if tls else None
        self._name = (tls and tls.server_name) or host

    async def run(self, attempt: Attempt) -> Result:
        """Ask for the service's health, and hang up."""
        return await outcome(attempt, self._ask(attempt))

    async def close(self) -> None:
        """Nothing is held between runs."""

    async def _ask(self, attempt: Attempt) -> None:
        from cbmon.probes.grpc.call import Answer, Call  # noqa: PLC0415 - an extra

        headers = await self._headers(attempt)
        body = health.request(self._options.service)
        tls = None
        if self._context is not None:
            tls = Tls(context=await self._context.get(), name=self._name)
        link = await dial(
            attempt, self._environment, self._route, lambda: Call(attempt, headers, body), tls
        )
        try:
            answer: Answer = await link.protocol.answer()
        finally:
            link.transport.abort()
        attempt.end()
        self._judge(attempt, answer.headers, bytes(answer.data), link.chain)

    async def _headers(self, attempt: Attempt) -> list[tuple[str, str]]:
        options = self._options
        headers = [
            (":method", "POST"),
            (":scheme", "http" if options.tls is None else "https"),
            (":path", health.PATH),
            (":authority", options.authority or str(options.address)),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", f"grpc-{USER_AGENT}"),
            ("grpc-timeout", f"{max(1, round(attempt.remaining * 1000))}m"),
            *options.metadata.items(),
        ]
        if options.bearer_token or options.bearer_token_file:
            headers.append(("authorization", await authorization(options)))
        return headers

    def _judge(
        self, attempt: Attempt, headers: dict[str, str], data: bytes, chain: Chain | None
    ) -> None:
        if headers.get(":status") != "200":
            text = f"got HTTP status {shown(headers.get(':status', ''))[1:-1]}, expected 200"
            raise ProbeError(Reason.STATUS, text)
        self._check_code(attempt, headers)
        found = health.status(data)
        name = health.STATUSES[found] if found < len(health.STATUSES) else str(found)
        attempt.facts["health"] = name
        if found != health.SERVING:
            what = f"service {self._options.service}" if self._options.service else "the server"
            raise ProbeError(Reason.STATUS, f"{what} is {name}, expected SERVING")
        expect = self._options.expect
        check_certificate(chain, expect.certificate_days, self._environment.clock)
        check_duration(attempt, expect.max_duration)

    @staticmethod
    def _check_code(attempt: Attempt, headers: dict[str, str]) -> None:
        code = headers.get("grpc-status", "")
        if not code.isascii() or not code.isdigit():
            raise ProbeError(Reason.PROTOCOL, "the answer has no grpc-status: it is not gRPC's")
        name = CODES[int(code)] if len(code) < 3 and int(code) < len(CODES) else code[:10]
        attempt.facts["grpc_status"] = name
        if name != "OK":
            said = unquote(headers.get("grpc-message", ""))
            text = f"got {name}, expected OK" + (f": {shown(said)}" if said else "")
            raise ProbeError(_REASONS.get(name, Reason.STATUS), text)
