"""Field types for where things are on the network: URLs, hosts with ports, networks.

Rule: what is accepted can be connected to or listened on as far as its form goes, and holds no
password.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Annotated, Any, Final, NamedTuple
from urllib.parse import urlsplit

from pydantic import AfterValidator, GetCoreSchemaHandler, GetJsonSchemaHandler, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from cbmon.config.secrets import Secret
from cbmon.config.words import shown


def _url(*schemes: str) -> AfterValidator:
    def check(value: str) -> str:
        return checked_url(value, schemes)

    return AfterValidator(check)


def checked_url(value: str, schemes: tuple[str, ...]) -> str:
    """The URL as it is, or ValueError: absolute, a known scheme, a host, no password inside."""
    example = f"{schemes[-1]}://host/path"
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError(f"expected a URL such as {example}, got {shown(value)}") from None
    bad = " " in value or not value.isprintable()
    if bad or parts.scheme not in schemes or not parts.hostname or port == 0:
        raise ValueError(f"expected a URL such as {example}, got {shown(value)}")
    if parts.password is not None:
        raise ValueError("a password does not belong into a URL; use the options for credentials")
    return value


_WEB: Final = ("http", "https")

Url = Annotated[str, _url(*_WEB), WithJsonSchema({"type": "string", "format": "uri"})]
"""An absolute http or https URL without a password; a plain str."""

WebSocketUrl = Annotated[
    str, _url("ws", "wss"), WithJsonSchema({"type": "string", "format": "uri"})
]
"""An absolute ws or wss URL without a password; a plain str."""


def _secret_url(value: Secret) -> Secret:
    try:
        checked_url(value.reveal(), _WEB)
    except ValueError:
        raise ValueError("expected a URL such as https://host/path (not shown: a secret)") from None
    return value


SecretUrl = Annotated[Secret, AfterValidator(_secret_url)]
"""A :class:`Secret` that is an absolute http or https URL, such as an incoming webhook's."""


def _network(value: object) -> IPv4Network | IPv6Network:
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    if isinstance(value, str):
        try:
            return ip_network(value)
        except ValueError as error:
            if "host bits" in str(error):
                wide = ip_network(value, strict=False)
                message = f"expected a network, got the address {shown(value)}; write {wide}"
                raise ValueError(message) from None
    raise ValueError(f"expected a network such as 10.0.0.0/8 or fd00::/8, got {shown(value)}")


class _Cidr:
    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return _as_text(_network)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string", "minLength": 2}


Cidr = Annotated[IPv4Network | IPv6Network, _Cidr]
"""A network: ``10.0.0.0/8``, ``fd00::/8``, or a single address."""

_HOST: Final = re.compile(r"(?=.{1,253}\Z)[^\s/\\:@?#\[\]%\x00-\x1f]+")
_ADDRESS: Final = re.compile(r"(?:\[(?P<six>[^\[\]]*)\]|(?P<host>[^:\[\]]*)):(?P<port>[0-9]{1,5})")
_ADDRESS_SCHEMA: Final = {"type": "string", "pattern": r":[0-9]{1,5}$|\$\{"}


class HostPort(NamedTuple):
    """A host (name or address, an IPv6 address without its brackets) and a TCP or UDP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: object, *, listen: bool = False) -> HostPort:
        """From ``host:port`` or ``[::1]:port``; ValueError says what is wrong.

        With ``listen`` an empty host means every address and port 0 means any free port.
        """
        match = _ADDRESS.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ValueError(f'expected "host:port" or "[ipv6]:port", got {shown(text)}')
        host = match["host"] if match["six"] is None else match["six"]
        is_good = _is_ipv6(host) if match["six"] is not None else _HOST.fullmatch(host)
        if not is_good and not (listen and not host):
            raise ValueError(f"expected a host name or address before the port, got {shown(text)}")
        port = int(match["port"])
        if not (0 if listen else 1) <= port <= 65_535:
            raise ValueError(f"expected a port from 1 to 65535, got {port}")
        return cls(host, port)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return _as_text(lambda value: _as_address(value, listen=False))

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return dict(_ADDRESS_SCHEMA)


def _is_ipv6(text: str) -> bool:
    try:
        return bool(IPv6Address(text))
    except ValueError:
        return False


class _Listen:
    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return _as_text(lambda value: _as_address(value, listen=True))

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return dict(_ADDRESS_SCHEMA)


ListenAddress = Annotated[HostPort, _Listen]
"""A :class:`HostPort` to listen on: ``:9813`` is every address, port 0 any free one."""


def _as_address(value: object, *, listen: bool) -> HostPort:
    return value if isinstance(value, HostPort) else HostPort.parse(value, listen=listen)


def _as_text(function: Any) -> CoreSchema:
    return core_schema.no_info_plain_validator_function(
        function,
        serialization=core_schema.plain_serializer_function_ser_schema(
            str, return_schema=core_schema.str_schema(), when_used="json"
        ),
    )
