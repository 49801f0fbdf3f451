"""The tcp and unix probers: connect, and follow the script.

Rule: only an answer that ends without a match is a pattern's failure; a connection that breaks or
a deadline that passes is not.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable
from typing import Final, cast

from cbmon.blackbox.addresses import choose, port_number, source_address, split_host_port
from cbmon.blackbox.certificates import tell_handshake
from cbmon.blackbox.client import TlsConfig
from cbmon.blackbox.lines import Talk
from cbmon.blackbox.look import Look
from cbmon.blackbox.matching import Found, search
from cbmon.blackbox.modules import Module, QueryResponse, UnixModule
from cbmon.model import Phase, Reason
from cbmon.probes.dial import Link, Route, Tls, dial, secure
from cbmon.probes.failure import ProbeError, shown
from cbmon.probes.streams import breathe

_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


async def probe_tcp(look: Look, module: Module) -> bool:
    """Connect to ``host:port`` and follow the script of the module."""
    options = module.tcp
    _declare(look)
    try:
        host, port = split_host_port(look.target)
    except ValueError as error:
        return look.fail(Reason.CONFIG, "Error splitting target address and port", err=str(error))
    try:
        ip, _ = await choose(look, options, host)
    except (ProbeError, OSError) as error:
        return look.trouble(error, "Error resolving address")
    name = options.tls_config.server_name or look.hostname or host
    try:
        source = source_address(options.source_ip_address)
        route = Route(host=ip, port=port_number(port), source=source)
        link = await _dialled(look, route, options, name)
    except (ProbeError, OSError) as error:
        return look.trouble(error, "Error dialing TCP")
    return await _Dialogue(look, options, name).run(link)


async def probe_unix(look: Look, module: Module) -> bool:
    """Connect to a socket file and follow the script of the module."""
    _declare(look)
    path = look.target.removeprefix("unix://").removeprefix("unix:")
    try:
        name = module.unix.tls_config.server_name or look.hostname or "localhost"
        link = await _dialled(look, Route(host=path, path=path), module.unix, name)
    except (ProbeError, OSError) as error:
        return look.trouble(error, "Error dialing Unix socket")
    return await _Dialogue(look, module.unix, name).run(link)


def _declare(look: Look) -> None:
    look.gauges.declare("probe_failed_due_to_regex", "Whether a pattern made the probe fail")
    look.gauges.declare("probe_failed_due_to_bytes", "Whether expected bytes made the probe fail")


async def _dialled(look: Look, route: Route, options: UnixModule, name: str) -> Link[Talk]:
    tls = None
    if options.tls:
        tls = Tls(context=await look.contexts.get(options.tls_config), name=name)
    look.say("Dialing with TLS" if tls else "Dialing without TLS")
    async with look.deadline():
        return await dial(look.attempt, look.environment, route, Talk, tls)


class _Dialogue:
    """The script, step by step."""

    def __init__(self, look: Look, options: UnixModule, name: str) -> None:
        self._look = look
        self._options = options
        self._name = name

    async def run(self, link: Link[Talk]) -> bool:
        self._look.say("Successfully dialed")
        try:
            if self._options.tls:
                self._tell_tls(link)
            async with self._look.deadline():
                for number, step in enumerate(self._options.query_response):
                    self._look.say("Processing query response entry", "debug", entry_number=number)
                    link, good = await self._step(link, step)
                    if not good:
                        return False
                await asyncio.sleep(0)  # a loop may send at the end of its turn only
        except (ProbeError, OSError) as error:
            return self._look.trouble(error, "Error in the dialogue")
        else:
            return True
        finally:
            link.transport.abort()

    async def _step(self, link: Link[Talk], step: QueryResponse) -> tuple[Link[Talk], bool]:
        send = step.send
        if step.expect is not None:
            found = await self._expected(link, step)
            if found is None:
                return link, False
            send = found.expand(send)
            if step.labels and not self._tell_labels(step, found.expand):
                return link, False
        if step.expect_bytes and not await self._same_bytes(link, step.expect_bytes):
            return link, False
        if send:
            self._look.say("Sending line", "debug", line=send)
            self._send(link, send)
        if step.starttls:
            link = await self._begin_tls(link)
        return link, True

    async def _expected(self, link: Link[Talk], step: QueryResponse) -> Found | None:
        self._look.attempt.begin(Phase.TRANSFER)
        count = 0
        while (line := await link.protocol.line()) is not None:
            count += 1
            await breathe(count)
            if self._look.has_room:
                self._look.say("Read line", "debug", line=shown(line))
            found = search(step.expect, line)
            if found is not None:
                self._look.gauges.set("probe_failed_due_to_regex", 0)
                self._look.say("Regexp matched", regexp=step.expect.pattern, line=shown(line))
                return found
        self._look.gauges.set("probe_failed_due_to_regex", 1)
        self._look.fail(Reason.BODY, "Regexp did not match", regexp=step.expect.pattern)
        return None

    async def _same_bytes(self, link: Link[Talk], text: str) -> bool:
        expected = text.encode(errors="surrogateescape")
        got = await link.protocol.exactly(len(expected))
        if len(got) < len(expected):
            return self._look.fail(Reason.BODY, "Read less data than expected", bytes=shown(got))
        same = got == expected
        self._look.gauges.set("probe_failed_due_to_bytes", not same)
        return same or self._look.fail(Reason.BODY, "Bytes did not match", bytes=shown(got))

    def _send(self, link: Link[Talk], text: str) -> None:
        if link.transport.is_closing():
            raise ProbeError(Reason.PROTOCOL, "the connection is closed")
        link.transport.write(text.encode(errors="surrogateescape") + b"\n")

    async def _begin_tls(self, link: Link[Talk]) -> Link[Talk]:
        look = self._look
        context = await look.contexts.get(self._options.tls_config)
        tls = Tls(context=context, name=self._name)
        link = await secure(look.attempt, look.environment, link, Talk(), tls)
        look.say("TLS Handshake (client) succeeded.")
        self._tell_tls(link)
        return link

    def _tell_tls(self, link: Link[Talk]) -> None:
        config: TlsConfig = self._options.tls_config
        connection = cast("ssl.SSLObject", link.transport.get_extra_info("ssl_object"))
        verified = not config.insecure_skip_verify
        now = self._look.environment.clock.time()
        tell_handshake(self._look.gauges, connection, verified=verified, cipher=False, now=now)

    def _tell_labels(self, step: QueryResponse, expand: Callable[[str], str]) -> bool:
        labels = {label.name: expand(label.value) for label in step.labels}
        if len(labels) < len(step.labels) or not all(map(_LABEL.fullmatch, labels)):
            return self._look.fail(Reason.CONFIG, "the labels have impossible names")
        gauges = self._look.gauges
        gauges.declare_labelled("probe_expect_info", "What was matched")
        gauges.set("probe_expect_info", 1, **labels)
        return True
