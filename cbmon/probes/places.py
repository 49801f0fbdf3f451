"""Where to connect, as an option: a host with a port, or a Unix socket.

Rule: a socket is written ``unix:/path``, so that nothing else can be taken for one.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from cbmon.config.fields import HostPort
from cbmon.probes.addresses import SocketFile
from cbmon.probes.dial import Route
from cbmon.probes.options import ConnectOptions

LONGEST: Final = 107
"""Bytes that Linux allows for the path of a socket."""


def parse_socket(text: str) -> SocketFile:
    """From ``unix:/path``; ValueError says what is wrong."""
    path = text.removeprefix("unix:")
    if not path.startswith("/") or not path.isprintable():
        raise ValueError('expected an absolute path after "unix:"')
    if len(path.encode()) > LONGEST:
        raise ValueError(f"the path of a socket can have {LONGEST} bytes")
    return SocketFile(path)


def _place(value: object) -> HostPort | SocketFile:
    if isinstance(value, HostPort | SocketFile):
        return value
    if isinstance(value, str) and value.startswith("unix:"):
        return parse_socket(value)
    return HostPort.parse(value)


Place = Annotated[
    Any,
    BeforeValidator(_place),
    PlainSerializer(str, str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^unix:/|:[0-9]{1,5}$|\$\{"}),
]
"""A :class:`HostPort`, or a :class:`SocketFile` written ``unix:/path``."""


def route_to(place: HostPort | SocketFile, options: ConnectOptions) -> Route:
    """The way there."""
    if isinstance(place, SocketFile):
        return Route(host="localhost", path=place.path)
    return Route(
        host=place.host,
        port=place.port,
        family=options.usable_family,
        source=options.source_address,
    )
