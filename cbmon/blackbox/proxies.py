"""Which proxy a request goes through.

Rule: as Go decides: ``no_proxy`` and the environment spare the loopback, a plain ``proxy_url``
spares nothing.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping

from cbmon.blackbox.client import ProxyOptions
from cbmon.blackbox.places import Place, parse


def proxy_for(
    options: ProxyOptions, place: Place, environ: Mapping[str, str] = os.environ
) -> Place | None:
    """The proxy for a place; None to go there directly. ProbeError for a URL that is none."""
    url, spared = options.proxy_url, options.no_proxy
    if options.proxy_from_environment:
        url = _variable(environ, f"{place.scheme}_proxy")
        spared = _variable(environ, "no_proxy")
    if not url:
        return None
    if (spared or options.proxy_from_environment) and _is_spared(place, spared):
        return None
    return parse(url if "://" in url else f"http://{url}")


def uses_proxy(options: ProxyOptions) -> bool:
    """Whether a proxy is configured at all."""
    return bool(options.proxy_url or options.proxy_from_environment)


def _variable(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name.upper(), "") or environ.get(name, "")


def _is_spared(place: Place, spared: str) -> bool:
    host = place.host.lower()
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    return any(
        _matches(entry.strip().lower(), host, place.port, address)
        for entry in spared.split(",")
        if entry.strip()
    )


def _matches(
    entry: str, host: str, port: int, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None
) -> bool:
    if entry == "*":
        return True
    if address is not None and "/" in entry:
        try:
            return address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    name, colon, wanted = entry.rpartition(":")
    if colon and wanted.isdigit() and ("]" in name or ":" not in name):
        if int(wanted) != port:
            return False
        entry = name.strip("[]")
    if address is not None:
        return _address(entry) == address
    bare = entry.removeprefix("*").removeprefix(".")
    return (host == bare and not entry.startswith((".", "*"))) or host.endswith(f".{bare}")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
