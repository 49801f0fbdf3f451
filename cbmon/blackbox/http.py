"""The http prober.

Rule: what is measured does not depend on the verdict: status, length and TLS of an answer are
told whether or not it is a good one, and an answer that was cut off is judged as far as it came.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from cbmon import __version__
from cbmon.blackbox import cel, oauth2
from cbmon.blackbox.addresses import choose
from cbmon.blackbox.asking import Ask, check_method
from cbmon.blackbox.certificates import tell_handshake
from cbmon.blackbox.credentials import basic, headers_of, read_bytes
from cbmon.blackbox.hops import Answer, Trip, offered
from cbmon.blackbox.look import Look
from cbmon.blackbox.matching import search
from cbmon.blackbox.modules import HeaderMatch, HttpModule, Module
from cbmon.blackbox.parsing import Head
from cbmon.blackbox.places import Place, parse
from cbmon.blackbox.proxies import uses_proxy
from cbmon.blackbox.reading import Body, Shelf, receive
from cbmon.errors import MissingExtraError
from cbmon.model import Phase, Reason
from cbmon.probes.failure import ProbeError

LARGE: Final = 256 * 1024
"""Bytes from which on patterns are looked for in a thread."""
USER_AGENT: Final = f"cbmon/{__version__}"
_PHASES: Final[Mapping[str, str]] = {
    "connect": "connect", "tls": "tls", "processing": "processing", "transfer": "transfer",
}  # fmt: skip
_CLOCK: Final = "[0-9]{2}:[0-9]{2}:[0-9]{2}"
_DATES: Final = {
    "%a, %d %b %Y %H:%M:%S GMT": re.compile(f".{{5}}[0-9]{{2}} .{{8}} {_CLOCK} GMT"),
    "%A, %d-%b-%y %H:%M:%S %Z": re.compile(f"[^ ]+ [0-9]{{2}}-[^ ]+ {_CLOCK} .+"),
    "%a %b %d %H:%M:%S %Y": re.compile(f".{{8}}[ 0-9][0-9] {_CLOCK} .{{4}}"),
}
"""HTTP's forms of a date; where Go wants two digits, one does not do."""
_GAUGES: Final[Mapping[str, str]] = {
    "probe_http_content_length": "Content-Length of the answer, -1 without one",
    "probe_http_uncompressed_body_length": "Bytes of the body after decompression",
    "probe_http_redirects": "Redirects on the way",
    "probe_http_ssl": "Whether the last answer came over TLS",
    "probe_http_status_code": "Status of the last answer, 0 without one",
    "probe_http_version": "Version of HTTP of the last answer",
    "probe_failed_due_to_regex": "Whether a pattern made the probe fail",
}


async def probe_http(look: Look, module: Module) -> bool:
    """Ask for the target; whether the answer is a good one."""
    look.gauges.declare_labelled(
        "probe_http_duration_seconds", "Time of each phase, summed over redirects"
    )
    for name, text in _GAUGES.items():
        look.gauges.declare(name, text)
    if cel.used(module.http):
        look.gauges.declare("probe_failed_due_to_cel", "Whether a CEL expression made it fail")
    try:
        return await _Visit(look, module.http).run()
    except (ProbeError, OSError) as error:
        return look.trouble(error, "Error preparing HTTP request")
    except MissingExtraError as error:
        return look.fail(Reason.CONFIG, str(error))


class _Visit:
    """One probe from the target to the verdict."""

    def __init__(self, look: Look, options: HttpModule) -> None:
        self._look = look
        self._gauges = look.gauges
        self._options = options

    async def run(self) -> bool:
        options = self._options
        place = target_place(self._look.target)
        if options.enable_http3:
            raise ProbeError(Reason.CONFIG, "HTTP/3 is not supported by this version of cbmon")
        leaves_names = options.skip_resolve_phase_with_proxy and uses_proxy(options)
        found = place if leaves_names else await self._located(place)
        if found is None:
            return False
        await self._look.contexts.get(options.tls_config, alpn=offered(options))
        body = await self._body()
        check_method(options.method or "GET")
        for phase in _PHASES:
            self._gauges.add("probe_http_duration_seconds", 0, phase=phase)
        ask = await self._first(place, found, body)
        resolved = self._spent("resolve")
        trip = Trip(self._look, options, place, self._name(place, ask))
        success = False
        try:
            answer = await trip.make(ask)
        except (ProbeError, OSError) as error:
            self._look.trouble(error, "Error for HTTP request")
        else:
            success = await self._judge(answer)
            answer.transport.abort()
        self._look.attempt.end()
        for phase, name in _PHASES.items():
            self._gauges.add("probe_http_duration_seconds", self._spent(name), phase=phase)
        if trip.redirects:
            later = self._spent("resolve") - resolved
            self._gauges.add("probe_http_duration_seconds", later, phase="resolve")
        self._gauges.set("probe_http_redirects", trip.redirects)
        return success

    async def _located(self, place: Place) -> Place | None:
        try:
            ip, took = await choose(self._look, self._options, place.host)
        except (ProbeError, OSError) as error:
            took = self._gauges.value("probe_dns_lookup_time_seconds") or 0.0
            self._gauges.add("probe_http_duration_seconds", took, phase="resolve")
            self._look.trouble(error, "Error resolving address")
            return None
        self._gauges.add("probe_http_duration_seconds", took, phase="resolve")
        return place.at(ip)

    async def _body(self) -> bytes | None:
        if self._options.body_file is not None:
            return await asyncio.to_thread(read_bytes, self._options.body_file)
        return self._options.body.encode(errors="surrogateescape") or None

    async def _first(self, place: Place, found: Place, body: bytes | None) -> Ask:
        options = self._options
        headers = {"User-Agent": USER_AGENT}
        if place.user:
            headers["Authorization"] = basic(*place.user)
        if options.oauth2 is not None:
            headers["Authorization"] = await oauth2.bearer(self._look, options)
        headers |= await headers_of(options)
        host = place.netloc
        for name, value in options.headers.items():
            if name.lower() == "host":
                host = value
            else:
                headers = {key: one for key, one in headers.items() if key.lower() != name.lower()}
                headers[name] = value
        return Ask(
            method=options.method or "GET",
            place=found,
            host=self._look.hostname or host,
            headers=headers,
            body=body,
            chunked=options.body_file is not None,
        )

    def _name(self, place: Place, ask: Ask) -> str:
        """The name to ask for in TLS: the configured one, the Host header's, the target's."""
        given = [value for name, value in self._options.headers.items() if name.lower() == "host"]
        host = self._look.hostname or next(iter(given), "")
        if self._options.tls_config.server_name or not host:
            return self._options.tls_config.server_name or place.host
        return host.rpartition(":")[0].strip("[]") if _has_port(host) else ask.host

    def _spent(self, phase: str) -> float:
        return self._look.attempt.spent(Phase(phase))

    # --- the verdict ----------------------------------------------------------------------

    async def _judge(self, answer: Answer) -> bool:
        head = answer.head
        self._look.say("Received HTTP response", status_code=head.status)
        success = self._good_status(head.status)
        if success and self._has_header_rules():
            success = self._good_headers(head)
            self._gauges.set("probe_failed_due_to_regex", not success)
        success = await self._good_body(answer, success=success)
        self._tell(answer)
        if success and not self._good_version(head):
            success = False
        return self._good_tls(answer, success=success)

    def _good_status(self, status: int) -> bool:
        wanted = self._options.valid_status_codes
        if status in wanted if wanted else 200 <= status < 300:
            return True
        expected = ", ".join(map(str, wanted)) or "2xx"
        text = f"Invalid HTTP response status code {status}, wanted {expected}"
        return self._look.fail(Reason.STATUS, text)

    def _has_header_rules(self) -> bool:
        options = self._options
        return bool(options.fail_if_header_matches or options.fail_if_header_not_matches)

    def _good_headers(self, head: Head) -> bool:
        options = self._options
        for rule in options.fail_if_header_matches:
            verdict = self._header(head, rule)
            if verdict is None:
                return False
            if verdict is True and head.values(rule.header):
                return self._refuse("Header matched regular expression", rule)
        for rule in options.fail_if_header_not_matches:
            verdict = self._header(head, rule)
            if verdict is None:
                return False
            if verdict is False and head.values(rule.header):
                return self._refuse("Header did not match regular expression", rule)
        return True

    def _header(self, head: Head, rule: HeaderMatch) -> bool | None:
        """Whether a value matches; None when the header is missing and may not be."""
        values = head.values(rule.header)
        if not values and not rule.allow_missing:
            self._look.fail(Reason.HEADER, "Missing required header", header=rule.header)
            return None
        return any(search(rule.regexp, value) for value in values)

    def _refuse(self, text: str, rule: HeaderMatch) -> bool:
        self._look.fail(Reason.HEADER, text, header=rule.header, regexp=rule.regexp.pattern)
        return False

    async def _good_body(self, answer: Answer, *, success: bool) -> bool:
        options = self._options
        rules = options.fail_if_body_matches_regexp or options.fail_if_body_not_matches_regexp
        wants = success and bool(rules or cel.used(options))
        if answer.refused:
            return success and await self._unread(answer, wants=wants)
        shelf = self._look.environment.shared(Shelf) if wants else None
        body = Body(options.compression, options.body_size_limit, shelf)
        try:
            async with self._look.deadline():
                await receive(answer.exchange, body)
        except (ProbeError, OSError) as error:
            self._look.trouble(error, "Failed to read HTTP response body")
            self._gauges.set("probe_failed_due_to_regex", bool(success and rules))
            success = False
        else:
            if success and rules:
                success = await self._good_text(body.content)
                self._gauges.set("probe_failed_due_to_regex", not success)
            if success and cel.used(options):
                success = self._good_json(bytes(body.content))
                self._gauges.set("probe_failed_due_to_cel", not success)
        finally:
            body.end()
        self._look.attempt.end()
        self._gauges.set("probe_http_uncompressed_body_length", body.size)
        return success

    async def _unread(self, answer: Answer, *, wants: bool) -> bool:
        """A redirect that is not followed has no body to look at, unless it is empty anyway."""
        if self._options.compression.lower() == "gzip":  # whose head Go reads in any case
            return self._look.fail(Reason.REDIRECT, "Failed to get decompressor: body is not read")
        if not wants:
            return True
        self._gauges.set("probe_failed_due_to_regex", 1)
        if answer.head.length == 0 and await self._good_text(bytearray()):
            self._gauges.set("probe_failed_due_to_regex", 0)
            return True
        return self._look.fail(Reason.REDIRECT, "The body of a redirect is not read")

    async def _good_text(self, text: bytearray) -> bool:
        if len(text) > LARGE:
            return await asyncio.to_thread(self._matches, text)
        return self._matches(text)

    def _matches(self, text: bytearray) -> bool:
        for pattern in self._options.fail_if_body_matches_regexp:
            if pattern.search(text):
                what = "Body matched regular expression"
                return self._look.fail(Reason.BODY, what, regexp=pattern.pattern)
        for pattern in self._options.fail_if_body_not_matches_regexp:
            if not pattern.search(text):
                what = "Body did not match regular expression"
                return self._look.fail(Reason.BODY, what, regexp=pattern.pattern)
        return True

    def _good_json(self, text: bytes) -> bool:
        trouble = cel.trouble(self._options, text)
        return True if trouble is None else self._look.fail(Reason.BODY, trouble)

    def _good_version(self, head: Head) -> bool:
        wanted = self._options.valid_http_versions
        if not wanted or head.version in wanted:
            return True
        text = f"Invalid HTTP version {head.version}, wanted {', '.join(wanted)}"
        return self._look.fail(Reason.PROTOCOL, text)

    def _good_tls(self, answer: Answer, *, success: bool) -> bool:
        if answer.connection is not None:
            self._gauges.set("probe_http_ssl", 1)
            tell_handshake(
                self._gauges,
                answer.connection,
                verified=answer.verified,
                cipher=True,
                now=self._look.environment.clock.time(),
            )
            if self._options.fail_if_ssl:
                return self._look.fail(Reason.TLS, "Final request was over SSL")
        elif self._options.fail_if_not_ssl and success:
            return self._look.fail(Reason.TLS, "Final request was not over SSL")
        return success

    def _tell(self, answer: Answer) -> None:
        head = answer.head
        modified = last_modified(head.first("last-modified"))
        if modified is not None:
            name = "probe_http_last_modified_timestamp_seconds"
            self._gauges.declare(name, "Last-Modified of the answer")
            self._gauges.set(name, modified)
        self._gauges.set("probe_http_version", float(head.version.removeprefix("HTTP/") or 0))
        self._gauges.set("probe_http_status_code", head.status)
        self._gauges.set("probe_http_content_length", head.length)


def target_place(target: str) -> Place:
    """The target as a URL; ProbeError for one that cannot be asked for."""
    if not target.startswith(("http://", "https://")):
        target = f"http://{target}"
    return parse(target)


def last_modified(text: str) -> float | None:
    """The Unix time in one of HTTP's three forms of a date; None for anything else."""
    for form, digits in _DATES.items():
        if not digits.fullmatch(text):
            continue
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC).timestamp()
        except ValueError:
            continue
    return None


def _has_port(host: str) -> bool:
    _, colon, port = host.rpartition(":")
    return bool(colon) and port.isdigit() and ("]" in host or host.count(":") == 1)
