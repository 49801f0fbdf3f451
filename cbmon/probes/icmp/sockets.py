"""Sockets for echo messages: a ping socket where the kernel allows it, else a raw one.

Rule: ping sockets first, because they need no privilege and hear nobody else's replies.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import struct
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from cbmon.model import Reason
from cbmon.probes.failure import ProbeError, words

# Names that the socket module lacks; the numbers are Linux's.
_IP_MTU_DISCOVER: Final = 10
_IPV6_MTU_DISCOVER: Final = 23
_PMTUDISC_DO: Final = 2
_IP_RECVERR: Final = 11
_IPV6_RECVERR: Final = 25
_IP_RECVTTL: Final = 12
_SOL_RAW: Final = 255
_ICMP_FILTER: Final = 1
_ICMP6_FILTER: Final = 1
_REPLY_ONLY: Final = struct.pack("I", ~(1 << 0) & 0xFFFF_FFFF)
_REPLY6_ONLY: Final = b"".join(
    struct.pack("I", ~(1 << 129 % 32) & 0xFFFF_FFFF if word == 129 // 32 else 0xFFFF_FFFF)
    for word in range(8)
)
_BUFFER: Final = 65_536
_HELP: Final = (
    "icmp is not permitted: let the sysctl net.ipv4.ping_group_range cover the group {group} of "
    "the daemon, or give it CAP_NET_RAW"
)


class Heard(NamedTuple):
    """A message, and how many hops it had left."""

    data: bytes
    ttl: int | None


class EchoSocket:
    """A connected socket that does not block."""

    def __init__(self, version: int, *, group: int) -> None:
        self.version = version
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        protocol = socket.IPPROTO_ICMP if version == 4 else socket.IPPROTO_ICMPV6
        try:
            self._socket, self.is_raw = socket.socket(family, socket.SOCK_DGRAM, protocol), False
        except PermissionError:
            try:
                self._socket, self.is_raw = socket.socket(family, socket.SOCK_RAW, protocol), True
            except PermissionError as error:
                raise ProbeError(Reason.CONFIG, _HELP.format(group=group)) from error
        self._socket.setblocking(False)

    def prepare(self, *, ttl: int | None, dont_fragment: bool, source: str | None) -> None:
        """Set what is asked for; OSError for a source that this machine does not have."""
        set_, six = self._socket.setsockopt, self.version == 6
        level = socket.IPPROTO_IPV6 if six else socket.IPPROTO_IP
        set_(level, _IPV6_RECVERR if six else _IP_RECVERR, 1)
        set_(level, socket.IPV6_RECVHOPLIMIT if six else _IP_RECVTTL, 1)
        if self.is_raw and six:
            set_(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, _REPLY6_ONLY)
        elif self.is_raw:
            set_(_SOL_RAW, _ICMP_FILTER, _REPLY_ONLY)
        if ttl is not None:
            set_(level, socket.IPV6_UNICAST_HOPS if six else socket.IP_TTL, ttl)
        if dont_fragment:
            set_(level, _IPV6_MTU_DISCOVER if six else _IP_MTU_DISCOVER, _PMTUDISC_DO)
        if source is not None:
            self._socket.bind((source, 0))

    def send(self, ip: str, message: bytes) -> None:
        """Connect and send; OSError when it does not even leave the machine."""
        self._socket.connect((ip, 0))
        self._socket.send(message)

    async def receive(self) -> Heard:
        """The next message; OSError when a router or the target reports a failure."""
        while True:
            try:
                data, extra, _, _ = self._socket.recvmsg(_BUFFER, 256)
            except BlockingIOError:
                await self._readable()
            else:
                return Heard(data, _ttl(extra))

    def close(self) -> None:
        """Give it back."""
        self._socket.close()

    async def _readable(self) -> None:
        """Until there is a message or an error: a poller's descriptor tells of both on any loop."""
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        with _poller(self._socket) as poller:
            loop.add_reader(poller.fileno(), ready.set)
            try:
                await ready.wait()
            finally:
                loop.remove_reader(poller.fileno())


@contextlib.contextmanager
def _poller(watched: socket.socket) -> Iterator[select.epoll]:
    poller = select.epoll()
    try:
        poller.register(watched.fileno(), select.EPOLLIN)
        yield poller
    finally:
        poller.close()


def _ttl(extra: list[tuple[int, int, bytes]]) -> int | None:
    wanted: Any = {
        (socket.IPPROTO_IP, socket.IP_TTL),
        (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT),
    }
    for level, kind, data in extra:
        if (level, kind) in wanted and len(data) >= 4:
            return int(struct.unpack("i", data[:4])[0])
    return None


def unreachable(ip: str, error: OSError) -> ProbeError:
    """What a failure of sending or receiving means."""
    return ProbeError(Reason.CONNECT, f"cannot reach {ip}: {words(error)}")
