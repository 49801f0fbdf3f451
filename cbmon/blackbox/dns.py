"""The dns prober.

Rule: one question, one answer: a truncated one is not asked for again over TCP. Records are
matched as text, with tabs between their parts.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Mapping, Sequence
from typing import Final

from cbmon.blackbox.addresses import choose, port_number, source_address, split_host_port
from cbmon.blackbox.look import Look
from cbmon.blackbox.matching import search
from cbmon.blackbox.modules import DnsModule, Module, RecordRules
from cbmon.blackbox.rrtypes import CLASSES, RCODES, TYPES
from cbmon.config.fields import Regex
from cbmon.model import Phase, Reason
from cbmon.probes.dial import Route, Tls
from cbmon.probes.dns.exchange import over_stream, over_udp
from cbmon.probes.dns.message import (
    MalformedError,
    Record,
    Reply,
    encoded_name,
    parse,
    serial_of,
)
from cbmon.probes.failure import ProbeError

_GAUGES: Final[Mapping[str, str]] = {
    "probe_dns_answer_rrs": "Records in the answer section",
    "probe_dns_authority_rrs": "Records in the authority section",
    "probe_dns_additional_rrs": "Records in the additional section",
    "probe_dns_query_succeeded": "Whether an answer came",
}
LARGEST_DATAGRAM: Final = 512
"""Bytes of an answer over UDP to a question that does not offer room for more."""
_HEADER: Final = struct.Struct("!6H")


async def probe_dns(look: Look, module: Module) -> bool:
    """Ask the target what the module says; whether the answer is a good one."""
    gauges = look.gauges
    gauges.declare_labelled("probe_dns_duration_seconds", "Time of each phase")
    for phase in ("resolve", "connect", "request"):
        gauges.set("probe_dns_duration_seconds", 0, phase=phase)
    for name, text in _GAUGES.items():
        gauges.declare(name, text)
    options = module.dns
    if options is None:
        return look.fail(Reason.CONFIG, "query_name must be set for DNS module")
    if (options.transport_protocol or "udp") not in {"udp", "tcp"}:
        return look.fail(Reason.CONFIG, "Expected transport protocol udp or tcp")
    host, port = _server(look.target, options)
    try:
        ip, took = await choose(look, options, host)
    except (ProbeError, OSError) as error:
        return look.trouble(error, "Error resolving address")
    gauges.set("probe_dns_duration_seconds", took, phase="resolve")
    try:
        reply = await _asked(look, options, ip=ip, port=port, host=host)
    except (ProbeError, OSError) as error:
        return look.trouble(error, "Error while sending a DNS query")
    except (MalformedError, ValueError) as error:
        return look.fail(Reason.PROTOCOL, "Error while sending a DNS query", err=str(error))
    return _judged(look, options, reply)


def _server(target: str, options: DnsModule) -> tuple[str, str]:
    try:
        return split_host_port(target)
    except ValueError:
        return target, "853" if options.dns_over_tls else "53"


async def _asked(look: Look, options: DnsModule, *, ip: str, port: str, host: str) -> Reply:
    source = source_address(options.source_ip_address)
    route = Route(host=ip, port=port_number(port), source=source)
    if options.dns_over_tls and options.transport_protocol != "tcp":
        raise ProbeError(Reason.CONFIG, "expected transport protocol tcp for DNS over TLS")
    asked = question(options)
    look.say("Making DNS query", target=f"{ip}:{port}", query=options.query_name)
    attempt = look.attempt
    try:
        async with look.deadline():
            if options.transport_protocol == "tcp":
                tls = None
                if options.dns_over_tls:
                    name = options.tls_config.server_name or host
                    tls = Tls(context=await look.contexts.get(options.tls_config), name=name)
                data = await over_stream(attempt, look.environment, route, asked, tls)
            else:
                data = await over_udp(attempt, look.environment, route, asked)
                if len(data) > LARGEST_DATAGRAM:
                    raise MalformedError(f"more than {LARGEST_DATAGRAM} bytes over UDP")
    finally:
        attempt.end()
        connecting = attempt.spent(Phase.CONNECT) + attempt.spent(Phase.TLS)
        asking = attempt.spent(Phase.PROCESSING) + attempt.spent(Phase.TRANSFER)
        look.gauges.set("probe_dns_duration_seconds", connecting, phase="connect")
        look.gauges.set("probe_dns_duration_seconds", asking, phase="request")
    return parse(data)


def question(options: DnsModule) -> bytes:
    """The question on the wire; ValueError for a name that cannot be asked for."""
    flags = 0x0100 if options.recursion_desired else 0
    head = _HEADER.pack(secrets.randbelow(65536), flags, 1, 0, 0, 0)
    kind, klass = TYPES[options.query_type or "ANY"], CLASSES[options.query_class or "IN"]
    return head + encoded_name(options.query_name) + struct.pack("!HH", kind, klass)


def _judged(look: Look, options: DnsModule, reply: Reply) -> bool:
    gauges = look.gauges
    gauges.set("probe_dns_answer_rrs", len(reply.answer))
    gauges.set("probe_dns_authority_rrs", len(reply.authority))
    gauges.set("probe_dns_additional_rrs", len(reply.additional) + reply.pseudo)
    gauges.set("probe_dns_query_succeeded", 1)
    if options.query_type == "SOA":
        gauges.declare("probe_dns_serial", "Serial number of the zone")
        for record in reply.answer:
            if record.kind == "SOA":
                gauges.set("probe_dns_serial", serial_of(record))
    if not _good_code(look, options, reply.rcode):
        return False
    return (
        _good_records(look, "Answer", reply.answer, options.validate_answer_rrs)
        and _good_records(look, "Authority", reply.authority, options.validate_authority_rrs)
        and _good_records(look, "Additional", reply.additional, options.validate_additional_rrs)
    )


def _good_code(look: Look, options: DnsModule, code: str) -> bool:
    valid = ("NOERROR",) if options.valid_rcodes is None else options.valid_rcodes
    for name in valid:
        if name not in RCODES:
            return look.fail(Reason.CONFIG, "Invalid rcode", rcode=name)
    if code in valid:
        look.say("Rcode is valid", rcode=code)
        return True
    text = f"Rcode is {code}, wanted {', '.join(valid)}"
    return look.fail(Reason.STATUS, text)


def _good_records(look: Look, section: str, records: Sequence[Record], rules: RecordRules) -> bool:
    look.say(f"Validating {section} RRs", "debug")
    try:
        trouble = broken_rule([str(record) for record in records], rules)
    except ValueError as error:
        return look.fail(Reason.CONFIG, "Error matching regexp", err=str(error))
    return trouble is None or look.fail(Reason.BODY, f"{section} RRs: {trouble}")


def broken_rule(records: Sequence[str], rules: RecordRules) -> str | None:
    """Which rule the records break; None if none. ValueError for a pattern that is none."""
    if not records and (rules.fail_if_not_matches_regexp or rules.fail_if_none_matches_regexp):
        return "no records, but a match is required"
    for record in records:
        for pattern in rules.fail_if_matches_regexp:
            if search(Regex(pattern), record):
                return f"a record matched {pattern}"
        for pattern in rules.fail_if_not_matches_regexp:
            if not search(Regex(pattern), record):
                return f"a record did not match {pattern}"
    every = rules.fail_if_all_match_regexp
    # Not what its name says: one record that misses fails the probe. It has always been so.
    if every and not all(search(Regex(p), one) for one in records for p in every):
        return "not all records matched"
    some = rules.fail_if_none_matches_regexp
    if some and not any(search(Regex(p), one) for one in records for p in some):
        return "no record matched"
    return None
