"""Addresses, and which of them may be connected to.

Rule: the policy judges the address that is about to be connected to, never a name, so that
neither a redirect nor a DNS answer nor a way of writing an address gets around it.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from cbmon.model import Reason
from cbmon.probes.failure import ProbeError

Family = Literal["any", "ipv4", "ipv6", "prefer_ipv4", "prefer_ipv6"]
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

FAMILIES: Final[dict[str, socket.AddressFamily]] = {
    "ipv4": socket.AF_INET,
    "ipv6": socket.AF_INET6,
}

# Where clouds answer their guests with credentials: AWS, Azure, Google and OpenStack; ECS tasks;
# EKS pods; AWS over IPv6; Azure's wire server; Alibaba; Oracle.
METADATA: Final = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.192",
    )
)
_REMEMBERED: Final = 16_384
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


class Endpoint(NamedTuple):
    """An address and a port to connect to; port 0 is none."""

    ip: str
    port: int

    def __str__(self) -> str:
        if not self.port:
            return self.ip
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"


class SocketFile(NamedTuple):
    """A Unix socket to connect to."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


def literal(host: str) -> socket.AddressFamily | None:
    """The family of an address written as such, None for a name."""
    bare, _, _ = host.partition("%")
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, bare)
        except (OSError, ValueError):
            continue
        return family
    return None


class AddressPolicy:
    """Which addresses may be connected to.

    An address in ``deny`` is refused. With ``allow``, one outside it is refused. The metadata
    services of clouds are refused unless ``metadata``, whatever ``allow`` says, because what they
    answer are credentials. IPv4 inside IPv6 (mapped, 6to4, Teredo, NAT64) counts as both. Unix
    sockets may be connected to if ``unix``.
    """

    __slots__ = ("_allow", "_deny", "_metadata", "_passed", "_unix")

    def __init__(
        self,
        *,
        allow: Iterable[IPNetwork | str] = (),
        deny: Iterable[IPNetwork | str] = (),
        metadata: bool = False,
        unix: bool = True,
    ) -> None:
        self._allow = tuple(ipaddress.ip_network(network) for network in allow)
        self._deny = tuple(ipaddress.ip_network(network) for network in deny)
        self._metadata = metadata
        self._unix = unix
        self._passed: set[str] = set()

    def check(self, ip: str) -> None:
        """Return, or raise ProbeError with reason ``policy``."""
        if ip in self._passed:  # a policy never changes, and reading an address takes a while
            return
        refusal = self._refusal(ipaddress.ip_address(ip.partition("%")[0]))
        if refusal:
            raise ProbeError(Reason.POLICY, f"connecting to {ip} is not allowed: {refusal}")
        if len(self._passed) >= _REMEMBERED:
            self._passed.clear()
        self._passed.add(ip)

    def check_path(self, path: str) -> None:
        """Return, or raise ProbeError with reason ``policy``: may this Unix socket be used?"""
        if not self._unix:
            text = f"connecting to unix:{path} is not allowed: it is a Unix socket"
            raise ProbeError(Reason.POLICY, text)

    def _refusal(self, address: IPAddress) -> str | None:
        meant = _meanings(address)
        if not self._metadata and not METADATA.isdisjoint(meant):
            return "it is a cloud's metadata service"
        for one in meant:
            for network in self._deny:
                if one in network:
                    return f"{network} is denied"
        if self._allow and not any(one in network for one in meant for network in self._allow):
            return "it is in no allowed network"
        return None


def _meanings(address: IPAddress) -> tuple[IPAddress, ...]:
    """The address and every other one that a packet to it may end at."""
    if address.is_unspecified:  # the kernel takes 0.0.0.0 and :: for the loopback
        return (address, ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1"))
    if isinstance(address, ipaddress.IPv4Address):
        return (address,)
    inner: list[ipaddress.IPv4Address | None] = [address.ipv4_mapped, address.sixtofour]
    if address.teredo:
        inner.append(address.teredo[1])
    if address in _NAT64 or int(address) >> 32 == 0:
        inner.append(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    return (address, *(found for found in inner if found is not None))
