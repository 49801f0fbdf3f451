"""What option models are made of: the strict base class and the field types.

Rule: an option is described where it is defined; a value has one type (text is never taken for a
number, nor a number for text), one unit inside, and a refusal in the user's words.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, NamedTuple
from urllib.parse import urlsplit

import re2
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from cbmon.config import units
from cbmon.config.secrets import Secret, SecretError, SecretFile, portable, resolved, secret_from
from cbmon.config.strictness import strict_leaves
from cbmon.config.words import kind, shown

__all__ = [
    "Cidr",
    "Duration",
    "HostPort",
    "ListenAddress",
    "LocalPath",
    "Options",
    "Ratio",
    "Regex",
    "Secret",
    "SecretError",
    "SecretFile",
    "SecretUrl",
    "Size",
    "Url",
    "WebSocketUrl",
    "ZeroOrMore",
    "fault",
    "secret_from",
]


class Options(BaseModel):
    """Base of every group of options: strict types, unknown keys refused, frozen, described.

    A field needs a description (TypeError at class definition otherwise). A field ``x_file`` of
    type :class:`SecretFile` beside a field ``x`` makes the two exclusive. ``one_of`` lists groups
    of fields of which exactly one must be given; a pair with ``_file`` counts as one field.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=False
    )
    one_of: ClassVar[tuple[tuple[str, ...], ...]] = ()

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        for name, field in cls.model_fields.items():
            if not field.description:
                raise TypeError(f"{cls.__name__}.{name} has no description")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return strict_leaves(handler(source))

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        made = handler(schema)
        rules = [_one_of_schema(cls, group) for group in cls.one_of] + _pair_schemas(cls)
        if rules:
            handler.resolve_ref_schema(made)["allOf"] = rules
        return made

    @model_validator(mode="after")
    def _check_groups(self) -> Options:
        given = self.model_fields_set
        for name in given:
            if name.endswith("_file") and name[:-5] in given:
                raise fault(f"{name[:-5]} and {name} exclude each other; keep one of them")
        for group in self.one_of:
            found = [name for name in group if name in given or f"{name}_file" in given]
            if len(found) > 1:
                raise fault(f"{' and '.join(found)} exclude each other; keep one of them")
            if not found:
                names = _members(type(self), group)
                raise fault(f"one of {', '.join(names)} is missing")
        return self


def _members(model: type[Options], group: tuple[str, ...]) -> list[str]:
    """The options of a group, each with the one for its file."""
    pairs = (one for name in group for one in (name, f"{name}_file"))
    return [name for name in pairs if name in model.model_fields]


def _one_of_schema(model: type[Options], group: tuple[str, ...]) -> JsonSchemaValue:
    return {"oneOf": [{"required": [name]} for name in _members(model, group)]}


def _pair_schemas(model: type[Options]) -> list[JsonSchemaValue]:
    grouped = {name for group in model.one_of for name in group}
    names = [field.alias or name for name, field in model.model_fields.items()]
    return [
        {"not": {"required": [name, f"{name}_file"]}}
        for name in names
        if f"{name}_file" in names and name not in grouped
    ]


def fault(message: str, *at: str | int) -> PydanticCustomError:
    """An error for a validator to raise; ``at`` is the path to the culprit inside the model."""
    return PydanticCustomError("cbmon", "{message}", {"message": message, "at": at})


def _duration(value: object) -> float:
    seconds = units.parse_duration(value)
    if seconds == 0:
        raise ValueError("expected a duration longer than 0")
    return seconds


def _duration_schema(*, zero: bool) -> WithJsonSchema:
    number = {"type": "number", "minimum" if zero else "exclusiveMinimum": 0}
    text = {"type": "string", "pattern": units.DURATION_PATTERN}
    return WithJsonSchema({"anyOf": [text, number], "x-unit": "duration"})


_SPELLED_DURATION: Final = PlainSerializer(units.format_duration, str, when_used="json")

Duration = Annotated[
    float, BeforeValidator(_duration), _SPELLED_DURATION, _duration_schema(zero=False)
]
"""Seconds, more than 0: ``500ms``, ``30s``, ``1h30m``, ``7d``, or a number of seconds."""

ZeroOrMore = Annotated[
    float, BeforeValidator(units.parse_duration), _SPELLED_DURATION, _duration_schema(zero=True)
]
"""Seconds like :data:`Duration`, where 0 means something too."""

Ratio = Annotated[
    float,
    BeforeValidator(units.parse_ratio),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": 1},
                {"type": "string", "pattern": units.RATIO_PATTERN},
            ],
            "x-unit": "ratio",
        }
    ),
]
"""A ratio from 0 to 1: ``0.4`` or ``40%``."""

Size = Annotated[
    int,
    BeforeValidator(units.parse_size),
    PlainSerializer(units.format_size, str, when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": units.SIZE_PATTERN},
                {"type": "integer", "minimum": 0},
            ],
            "x-unit": "size",
        }
    ),
]
"""Bytes: ``1MiB`` is 1024², ``1MB`` is 1000², a bare number is bytes."""


def _local_path(value: object, info: core_schema.ValidationInfo) -> Path:
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(f"expected a path, got {shown(value)}")
    return resolved(value, info)


class _LocalPath:
    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            _local_path,
            serialization=core_schema.plain_serializer_function_ser_schema(
                portable, info_arg=True, return_schema=core_schema.str_schema(), when_used="json"
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string", "format": "path", "minLength": 1}


LocalPath = Annotated[Path, _LocalPath]
"""A file or directory of this machine, relative to the configuration file that names it."""


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
    bad = any(char.isspace() or not char.isprintable() for char in value)
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


class Regex:
    """A regular expression in RE2's syntax: linear time, whatever text it is given.

    Texts and bytes may be searched; in bytes it looks for the UTF-8 form. ValueError with RE2's
    own message for a pattern it refuses, such as one with look-ahead or back-references.
    """

    __slots__ = ("_compiled", "pattern")

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self._compiled = _compile(pattern)

    def search(self, text: str | bytes) -> Any:
        """The first match anywhere in the text (``[n]``, ``.groups()``), or None."""
        return self._compiled.search(text)

    def fullmatch(self, text: str | bytes) -> Any:
        """The match of the whole text, or None."""
        return self._compiled.fullmatch(text)

    def __repr__(self) -> str:
        return f"Regex({self.pattern!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Regex) and other.pattern == self.pattern

    def __hash__(self) -> int:
        return hash((Regex, self.pattern))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _regex,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda regex: regex.pattern,
                return_schema=core_schema.str_schema(),
                when_used="json",
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string", "format": "regex"}


def _regex(value: object) -> Regex:
    if isinstance(value, Regex):
        return value
    if not isinstance(value, str):
        raise PydanticCustomError(
            "cbmon", "expected a regular expression, got {got}", {"got": kind(value)}
        )
    return Regex(value)


@lru_cache(maxsize=4096)
def _compile(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        detail = error.args[0]
        text = detail.decode(errors="replace") if isinstance(detail, bytes) else str(detail)
        raise ValueError(f"not a regular expression that RE2 accepts: {text}") from None
