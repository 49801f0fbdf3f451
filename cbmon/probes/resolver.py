"""Names to addresses, on c-ares.

Rule: never getaddrinfo in a thread pool: a silent name server would hold every thread, and with
them every other check. Addresses written as such and /etc/hosts need no server.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

import aiodns
from aiodns import error as ares

from cbmon.model import Reason
from cbmon.probes.addresses import FAMILIES, Family, literal
from cbmon.probes.failure import ProbeError

# c-ares doubles the wait per try: it gives a name up after about 6 s instead of 75 s, so that the
# abandoned questions of a silent server do not pile up.
TRY_SECONDS: Final = 2.0
TRIES: Final = 2

_MEANINGS: Final[Mapping[int, str]] = {
    ares.ARES_ENOTFOUND: "there is no such name",
    ares.ARES_ENODATA: "the name has no address",
    ares.ARES_ETIMEOUT: "no answer from the name server",
    ares.ARES_ECONNREFUSED: "the name server cannot be reached",
    ares.ARES_ESERVFAIL: "the name server failed (SERVFAIL)",
    ares.ARES_EREFUSED: "the name server refused",
    ares.ARES_EBADNAME: "it is not a possible name",
    ares.ARES_EBADRESP: "the name server's answer is malformed",
    ares.ARES_EFORMERR: "the name server did not understand the question",
    ares.ARES_ENOTIMP: "the name server does not implement the question",
}

# c-ares gives ::1 first whatever /etc/hosts says, but most who listen on the loopback use IPv4.
_LOOPBACK: Final[Mapping[Family, str]] = {"ipv6": "::1", "prefer_ipv6": "::1"}

logging.getLogger("aiodns").setLevel(logging.ERROR)


class Resolver:
    """Answers for the whole daemon; opened at the first name, usable from one event loop.

    ``nameservers`` (``ip`` or ``ip:port``) replaces those of /etc/resolv.conf.
    """

    def __init__(self, nameservers: Sequence[str] | None = None) -> None:
        self._nameservers = nameservers
        self._ares: aiodns.DNSResolver | None = None

    async def resolve(self, host: str, family: Family = "any") -> str:
        """The address of the host that comes first; ProbeError (``dns``) if it has none."""
        return (await self.addresses(host, family))[0]

    async def addresses(self, host: str, family: Family = "any") -> list[str]:
        """The addresses of the host, in the order of RFC 6724; ProbeError (``dns``) if none.

        Under ``any`` the system's preference decides, ``ipv4`` and ``ipv6`` take nothing else,
        ``prefer_…`` put the one family before the other.
        """
        known = self.known(host, family)
        if known is not None:
            return [known]
        found = await self._ask(host, FAMILIES.get(family, socket.AF_UNSPEC))
        return _ordered(list(dict.fromkeys(found)), family)

    @staticmethod
    def known(host: str, family: Family = "any") -> str | None:
        """The address of a host that nobody has to be asked about; None for all others."""
        return _known(host, family)

    async def close(self) -> None:
        """End the questions that are still open."""
        if self._ares is not None:
            await self._ares.close()
            self._ares = None

    async def _ask(self, host: str, family: socket.AddressFamily) -> list[str]:
        if self._ares is None:
            self._ares = aiodns.DNSResolver(
                nameservers=self._nameservers, timeout=TRY_SECONDS, tries=TRIES
            )
        try:
            found = await self._ares.getaddrinfo(_ascii(host), family, type=socket.SOCK_STREAM)
        except ares.DNSError as error:
            meaning = _MEANINGS.get(error.args[0], str(error.args[-1]))
            raise ProbeError(Reason.DNS, f"cannot resolve {host}: {meaning}") from error
        addresses = [node.addr[0].decode() for node in found.nodes]
        if not addresses:
            raise ProbeError(Reason.DNS, f"cannot resolve {host}: the name has no address")
        return addresses


@lru_cache(16_384)
def _known(host: str, family: Family) -> str | None:
    written = literal(host)
    if written is not None:
        return _fitting(host, written, family)
    if host.rstrip(".").lower() == "localhost":
        return _LOOPBACK.get(family, "127.0.0.1")
    return None


def _fitting(host: str, written: socket.AddressFamily, family: Family) -> str:
    wanted = FAMILIES.get(family)
    if wanted is not None and wanted != written:
        raise ProbeError(Reason.DNS, f"{host} is not an {family.replace('ip', 'IP')} address")
    return host


def _ordered(addresses: list[str], family: Family) -> list[str]:
    if family in {"prefer_ipv4", "prefer_ipv6"}:
        six = family == "prefer_ipv6"
        return sorted(addresses, key=lambda ip: (":" in ip) != six)
    return addresses


def _ascii(host: str) -> str:
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode()
    except UnicodeError as error:
        raise ProbeError(Reason.DNS, f"cannot resolve {host}: not a possible name") from error
