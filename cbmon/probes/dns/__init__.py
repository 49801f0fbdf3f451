"""``dns``: one question to one name server, its answer judged.

Rule: the server is asked itself, over the transport that is configured; nothing is cached.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

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
_ID: Final = 2
"""Bytes of a message's id, which come first."""
_REMEMBERED: Final = 512
"""Bytes of the largest answer that is kept: ten thousand checks keep theirs."""


class DnsProbe:
    """Asks anew at every run, with a new id from a new port.

    An answer that was good is good again: one with the same bytes, but for the id, is not read a
    second time.
    """

    light = True
    __slots__ = ("_context", "_environment", "_facts", "_good", "_options", "_question", "_route")

    def __init__(self, options: DnsOptions, environment: ProbeEnvironment) -> None:
        self._options = options
        self._environment = environment
        host, port = options.server
        self._route = Route(
            host=host, port=port, family=options.usable_family, source=options.source_address
        )
        secure = options.transport == "tls"
        self._context = environment.contexts.share(options.tls.settings("dot")) if secure else None
        self._question = question(
            0, options.name, options.type, options.record_class, recursive=options.recursion
        )[_ID:]
        self._good = b""
        """The last good answer without its id."""
        self._facts: Mapping[str, Any] = {}
        """What it says."""

    async def run(self, attempt: Attempt) -> Result:
        """Ask, and judge what comes back."""
        try:
            data = await self._ask(attempt)
            attempt.end()
            if data[_ID:] == self._good:
                attempt.facts.update(self._facts)
            else:
                self._read(attempt, data)
            check_duration(attempt, self._options.expect.max_duration)
        except ProbeError as error:
            return attempt.failed(error.reason, str(error))
        return attempt.passed()

    async def close(self) -> None:
        """Nothing is held between runs."""

    async def _ask(self, attempt: Attempt) -> bytes:
        options = self._options
        asked = os.urandom(_ID) + self._question
        if options.transport == "udp":
            return await over_udp(attempt, self._environment, self._route, asked)
        tls = None
        if self._context is not None:
            name = options.tls.server_name or self._route.host
            tls = Tls(context=await self._context.get(), name=name)
        return await over_stream(attempt, self._environment, self._route, asked, tls)

    def _read(self, attempt: Attempt, data: bytes) -> None:
        """Understand an answer, judge it, and remember it if it is good; ProbeError."""
        try:
            reply = parse(data)
        except MalformedError as error:
            text = f"the answer of {attempt.facts['address']} is {error}"
            raise ProbeError(Reason.PROTOCOL, text) from error
        facts = _facts(reply)
        attempt.facts.update(facts)
        _judge(self._options.expect, reply)
        if len(data) <= _REMEMBERED:
            self._good, self._facts = data[_ID:], facts


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
