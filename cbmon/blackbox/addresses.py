"""Which address of a name is probed, and what the metrics say of it.

Rule: one address, one try: of the preferred family if there is one, else, unless that is
forbidden, of the other. The policy judges it before anything is sent.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from cbmon.blackbox.look import Look
from cbmon.blackbox.modules import FamilyOptions
from cbmon.model import Phase, Reason
from cbmon.probes.addresses import Family, literal
from cbmon.probes.failure import ProbeError

HOSTS: Final = Path("/etc/hosts")
_FNV_OFFSET: Final = 0x811C9DC5
_FNV_PRIME: Final = 0x01000193


async def choose(look: Look, options: FamilyOptions, host: str) -> tuple[str, float]:
    """The address and the seconds it took; ProbeError or TimeoutError when there is none."""
    gauges, clock = look.gauges, look.environment.clock
    gauges.declare("probe_ip_protocol", "Version of IP that is used: 4 or 6")
    gauges.declare("probe_dns_lookup_time_seconds", "Time to find the target's address")
    gauges.declare("probe_ip_addr_hash", "FNV-1a of the address, to see when it changes")
    look.say("Resolving target address", "debug", ip_protocol=options.preferred_ip_protocol)
    look.attempt.begin(Phase.RESOLVE)
    begun = clock.monotonic()
    try:
        async with look.deadline():
            ip = await find(look, host, family_of(options))
    finally:
        took = clock.monotonic() - begun
        gauges.add("probe_dns_lookup_time_seconds", took)
        look.attempt.end()
    address = ipaddress.ip_address(ip.partition("%")[0])
    gauges.set("probe_ip_protocol", address.version)
    gauges.set("probe_ip_addr_hash", fnv(address.packed))
    look.say("Resolved target address", ip=ip)
    look.environment.policy.check(ip)
    return ip, took


def family_of(options: FamilyOptions) -> Family:
    """The family to ask for."""
    version: Literal["ipv4", "ipv6"] = "ipv4"
    if options.preferred_ip_protocol in {"ip6", ""}:
        version = "ipv6"
    if not options.ip_protocol_fallback:
        return version
    return "prefer_ipv4" if version == "ipv4" else "prefer_ipv6"


def fnv(data: bytes) -> int:
    """The 32 bit FNV-1a hash."""
    found = _FNV_OFFSET
    for byte in data:
        found = ((found ^ byte) * _FNV_PRIME) & 0xFFFFFFFF
    return found


async def find(look: Look, host: str, family: Family) -> str:
    """One address of a name; ProbeError (``dns``) when there is none."""
    if not host:
        raise ProbeError(Reason.DNS, "the target has no host")
    host = unmapped(host)
    if host.rstrip(".").lower() == "localhost":
        found = fitting(await asyncio.to_thread(listed, host), family)
        if found:
            return found
    return await look.environment.resolver.resolve(host, family)


def unmapped(host: str) -> str:
    """The IPv4 address in an IPv6 one that only stands for it, as Go takes it; else the host."""
    try:
        four = ipaddress.IPv6Address(host).ipv4_mapped
    except ValueError:
        return host
    return str(four or host)


def listed(host: str, file: Path = HOSTS) -> list[str]:
    """The addresses of a name in /etc/hosts, in their order there.

    The resolver knows what localhost is; blackbox_exporter does what the file says.
    """
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:
        return []
    words = [line.partition("#")[0].split() for line in lines]
    wanted = host.rstrip(".").lower()
    return [one[0] for one in words if wanted in map(str.lower, one[1:]) and literal(one[0])]


def fitting(addresses: Sequence[str], family: Family) -> str | None:
    """The first address of the family, or of the other if that is allowed."""
    six = family.endswith("ipv6")
    found = next((ip for ip in addresses if (":" in ip) == six), None)
    other = addresses[0] if addresses and family.startswith("prefer_") else None
    if found is None and other is None and addresses:
        raise ProbeError(Reason.DNS, f"the name has no address for {family}")
    return found or other


def split_host_port(target: str) -> tuple[str, str]:
    """Host and port of ``host:port`` or ``[address]:port``; ValueError as Go would refuse it."""
    host, colon, port = target.rpartition(":")
    if not colon or "]" in port:
        raise ValueError(f"missing port in address {target[:100]}")
    if host.startswith("["):
        if not host.endswith("]"):
            raise ValueError(f"missing ] in address {target[:100]}")
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"too many colons in address {target[:100]}")
    if "[" in host or "]" in host:
        raise ValueError(f"unexpected bracket in address {target[:100]}")
    return host, port


def source_address(text: str) -> str | None:
    """The address to connect from; ProbeError for what is none."""
    if text and literal(text) is None:
        raise ProbeError(Reason.CONFIG, f"{text[:100]} is no address to connect from")
    return text or None


def port_number(port: str) -> int:
    """The port; ProbeError for one that does not exist."""
    digits = port.removeprefix("+")
    if digits.isascii() and digits.isdigit():
        number = int(digits.lstrip("0")[:9] or 0)
        if number < 65536:
            return number
    raise ProbeError(Reason.CONFIG, f'"{port[:40]}" is no port')
