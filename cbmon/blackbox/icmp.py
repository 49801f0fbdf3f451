"""The icmp prober.

Rule: ping sockets first, because they need no privilege; what the reply had left of its hops is
told when the kernel says so.
"""

from __future__ import annotations

import os
import secrets
from typing import Final

from cbmon.blackbox.addresses import choose, source_address
from cbmon.blackbox.look import Look
from cbmon.blackbox.modules import IcmpModule, Module
from cbmon.model import Phase
from cbmon.probes.failure import ProbeError
from cbmon.probes.icmp.echo import is_reply, request, without_ip
from cbmon.probes.icmp.sockets import EchoSocket, Heard

PAYLOAD: Final = 28
"""Bytes that are sent when the module does not say."""
_GAUGE: Final = "probe_icmp_duration_seconds"


async def probe_icmp(look: Look, module: Module) -> bool:
    """Ping the target; whether it answers."""
    gauges, options = look.gauges, module.icmp
    gauges.declare_labelled(_GAUGE, "Time of each phase")
    for phase in ("resolve", "setup", "rtt"):
        gauges.set(_GAUGE, 0, phase=phase)
    try:
        ip, took = await choose(look, options, look.target)
        gauges.set(_GAUGE, took, phase="resolve")
        heard = await _heard(look, options, ip)
    except (ProbeError, OSError) as error:
        return look.trouble(error, "Error pinging the target")
    gauges.set(_GAUGE, look.attempt.spent(Phase.PROCESSING), phase="rtt")
    if heard.ttl is not None:
        gauges.declare("probe_icmp_reply_hop_limit", "Hops that the reply had left")
        gauges.set("probe_icmp_reply_hop_limit", heard.ttl)
    return True


async def _heard(look: Look, options: IcmpModule, ip: str) -> Heard:
    attempt = look.attempt
    attempt.begin(Phase.CONNECT)
    echo = EchoSocket(6 if ":" in ip else 4, group=os.getegid())
    try:
        size = options.payload_size or PAYLOAD
        payload = secrets.token_bytes(min(size, 16)).ljust(size, b"\x55")
        message = request(echo.version, secrets.randbits(16), secrets.randbits(16), payload)
        echo.prepare(
            ttl=options.ttl or None,
            dont_fragment=options.dont_fragment,
            source=source_address(options.source_ip_address),
        )
        attempt.begin(Phase.PROCESSING)
        look.gauges.set(_GAUGE, attempt.spent(Phase.CONNECT), phase="setup")
        look.say("Writing out packet", "debug", bytes=size)
        async with look.deadline():
            echo.send(ip, message)
            return await _reply(echo, message)
    finally:
        attempt.end()
        echo.close()


async def _reply(echo: EchoSocket, message: bytes) -> Heard:
    while True:
        heard = await echo.receive()
        strip = echo.is_raw and echo.version == 4
        data = without_ip(heard.data) if strip else heard.data
        if is_reply(echo.version, data, message, identified=echo.is_raw):
            return heard
