"""``dns``: one question to one name server, its answer judged.

Rule: the server is asked itself, over the transport that is configured; nothing is cached.
"""

from __future__ import annotations

import secrets
from typing import Final

from cbmon.interfaces import Attempt
from cbmon.model import Reason, Result
from cbmon.probes.dial import Route, Tls
from cbmon.probes.dns.exchange import over_stream, over_udp
from cbmon.probes.dns.message import MalformedError, Record, Reply, parse, question, serial_of
from cbmon.probes.dns.options import DnsExpect, DnsOptions, RecordsExpect
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.expectations import check_duration
from cbmon.probes.failure import ProbeError, shown
from cbmon.probes.kind import ProbeType

_SHOWN: Final = 20


class DnsProbe:
    """Asks anew at every run, with a new id from a new port."""

    light = True

    def __init__(self, options: DnsOptions, environment: ProbeEnvironment) -> None:
        self._options = options
        self._environment = environment
        host, port = options.server
        self._route = Route(
            host=host, port=port, family=options.usable_family, source=options.source_address
        )
        secure = options.transport == "tls"
        self._context = environment.contexts.share(options.tls.settings("dot")) if secure else None

    async def run(self, attempt: Attempt) -> Result:
        """Ask, and judge what comes back."""
        try:
            reply = await self._ask(attempt)
            attempt.end()
            _judge(self._options.expect, reply)
            check_duration(attempt, self._options.expect.max_duration)
        except ProbeError as error:
            return attempt.failed(error.reason, str(error))
        return attempt.passed()

    async def close(self) -> None:
        """Nothing is held between runs."""

    async def _ask(self, attempt: Attempt) -> Reply:
        options = self._options
        asked = question(
            secrets.randbits(16),
            options.name,
            options.type,
            options.record_class,
            recursive=options.recursion,
        )
        if options.transport == "udp":
            data = await over_udp(attempt, self._environment, self._route, asked)
        else:
            tls = None
            if self._context is not None:
                name = options.tls.server_name or self._route.host
                tls = Tls(context=await self._context.get(), name=name)
            data = await over_stream(attempt, self._environment, self._route, asked, tls)
        try:
            reply = parse(data)
        except MalformedError as error:
            text = f"the answer of {attempt.facts['address']} is {error}"
            raise ProbeError(Reason.PROTOCOL, text) from error
        attempt.facts.update(_facts(reply))
        return reply


def _facts(reply: Reply) -> dict[str, object]:
    facts: dict[str, object] = {
        "rcode": reply.rcode,
        "authoritative": reply.authoritative,
        "truncated": reply.truncated,
        "answers": [str(record) for record in reply.answer[:_SHOWN]],
    }
    serials = [
        serial_of(record) for record in (*reply.answer, *reply.authority) if record.kind == "SOA"
    ]
    if serials:
        facts["serial"] = serials[-1]
    return facts


def _judge(expect: DnsExpect, reply: Reply) -> None:
    if reply.rcode not in expect.rcode:
        text = f"got {reply.rcode}, expected {' or '.join(expect.rcode)}"
        raise ProbeError(Reason.STATUS, text)
    if expect.authoritative not in {None, reply.authoritative}:
        got = "an" if reply.authoritative else "no"
        text = (
            f"got {got} authoritative answer, expected {'one' if expect.authoritative else 'none'}"
        )
        raise ProbeError(Reason.HEADER, text)
    if reply.rcode == "NOERROR" and len(reply.answer) < expect.min_answers:
        text = f"got {len(reply.answer)} answers, expected at least {expect.min_answers}"
        raise ProbeError(Reason.BODY, text)
    _judge_records("an answer", expect.answer, reply.answer)
    _judge_records("an authority record", expect.authority, reply.authority)
    _judge_records("an additional record", expect.additional, reply.additional)


def _judge_records(what: str, expect: RecordsExpect, records: tuple[Record, ...]) -> None:
    texts = [str(record) for record in records]
    for pattern in expect.matches:
        if not any(pattern.search(text) for text in texts):
            got = shown(texts[0]) if texts else "none"
            raise ProbeError(Reason.BODY, f"got {got}, expected {what} with {pattern.pattern!r}")
    for pattern in expect.not_matches:
        for text in texts:
            if pattern.search(text):
                message = f"got {shown(text)}, expected no match for {pattern.pattern!r}"
                raise ProbeError(Reason.BODY, message)


TYPE: Final = ProbeType(
    name="dns",
    options=DnsOptions,
    target=lambda options: f"{options.name} {options.type} @{options.server}",
    build=DnsProbe,
)
