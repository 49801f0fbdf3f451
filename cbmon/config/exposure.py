"""Which addresses only this machine reaches, and what to say of the others without a credential.

Rule: a daemon that others reach and that asks nobody who he is, is a mistake of its configuration.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from cbmon.config.addresses import HostPort
from cbmon.config.nodes import Block, place_of, value_place
from cbmon.config.problems import Problem


def is_loopback(address: str) -> bool:
    """Whether an address of this machine is reachable from this machine only."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return bool((mapped or ip).is_loopback)


def is_exposed(address: HostPort) -> bool:
    """Whether an address to listen on is surely reached by other machines.

    A name is not looked up here; it is judged when it is bound.
    """
    try:
        ipaddress.ip_address(address.host.partition("%")[0] or "0.0.0.0")  # noqa: S104 - no bind
    except ValueError:
        return False
    return not is_loopback(address.host)


def exposure(address: HostPort) -> str:
    """What to tell of an address that is exposed without any credential."""
    return (
        f"{address} is reachable from other machines, and no credential is configured; "
        f"listen on 127.0.0.1, or configure web.tokens or a web.config_file with users "
        f"or client certificates"
    )


def exposures(web: Block, listen: Sequence[HostPort]) -> tuple[Problem, ...]:
    """A problem for each exposed address, at its place in the file."""
    found = []
    written = web.get("listen")
    for index, address in enumerate(listen):
        if is_exposed(address):
            place = place_of(web) if written is None else value_place(written, index)
            path = f"web.listen[{index}]"
            found.append(Problem(place.file, place.line, place.column, path, exposure(address)))
    return tuple(found)
