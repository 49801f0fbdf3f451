"""The options of ``http``.

Rule: what can be found wrong without the target is found wrong here.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from cbmon.config.fields import (
    Duration,
    LocalPath,
    Options,
    Regex,
    Secret,
    SecretFile,
    Size,
    Url,
    fault,
)
from cbmon.probes.http.access import OAuth2Options, ProxyOptions
from cbmon.probes.http.jsonpath import JsonMatcher, JsonPath
from cbmon.probes.options import ConnectOptions, DomainExpect, TlsOptions

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_BY_THE_CLIENT: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "accept-encoding"}
)
_STATUS: Final = re.compile(r"([1-9][0-9]{2})(?:-([1-9][0-9]{2}))?|([1-9])xx")


class StatusRange(NamedTuple):
    """Statuses from ``first`` to ``last``, both included."""

    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


def _status(value: object) -> StatusRange:
    if isinstance(value, StatusRange):
        return value
    text = str(value) if isinstance(value, str) or type(value) is int else ""
    match = _STATUS.fullmatch(text)
    if match is None:
        raise ValueError('expected a status such as 200, "200-299" or "2xx"')
    if match[3]:
        return StatusRange(int(match[3]) * 100, int(match[3]) * 100 + 99)
    found = StatusRange(int(match[1]), int(match[2] or match[1]))
    if found.last < found.first:
        raise ValueError(f"the range {text} ends before it begins")
    return found


_STATUS_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [
        {"type": "integer", "minimum": 100, "maximum": 999},
        {"type": "string", "pattern": "^([1-9][0-9]{2}(-[1-9][0-9]{2})?|[1-9]xx)$"},
    ]
}
_Status = Annotated[Any, BeforeValidator(_status), PlainSerializer(str, str, when_used="json")]


def _as_list(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


def _one_or_many(item: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [item, {"type": "array", "items": item}]})


Statuses = Annotated[tuple[_Status, ...], BeforeValidator(_as_list), _one_or_many(_STATUS_SCHEMA)]
"""Statuses and ranges, ``200``, ``"200-299"``, ``"2xx"``, one or a list: :class:`StatusRange`."""

Patterns = Annotated[
    tuple[Regex, ...],
    BeforeValidator(_as_list),
    _one_or_many({"type": "string", "format": "regex"}),
]
"""One pattern or a list of them."""


def _header_name(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        raise ValueError("not a possible header name")
    return name


def _sendable(name: str) -> str:
    if name.lower() in _BY_THE_CLIENT:
        hint = {"host": "the option host", "accept-encoding": "the option compression"}
        raise ValueError(f"cannot be set; {hint.get(name.lower(), 'it follows from the request')}")
    return name


def _header_value(value: str) -> str:
    if _FORBIDDEN.search(value):
        raise ValueError("a header value cannot hold control characters")
    return value


HeaderName = Annotated[str, AfterValidator(_header_name)]
Sendable = Annotated[HeaderName, AfterValidator(_sendable)]
HeaderValue = Annotated[str, AfterValidator(_header_value)]


class BasicAuth(Options):
    """A user name and a password."""

    one_of = (("password",),)

    username: str = Field(description="user name", pattern=r"^[^:\x00-\x1f]*$")
    password: Secret | None = Field(None, description="password")
    password_file: SecretFile | None = Field(
        None, description="file that holds the password, read at every run"
    )


class BodyExpect(Options):
    """What the body must look like; patterns are searched in its bytes."""

    matches: Patterns = Field((), description="patterns that must all match")
    not_matches: Patterns = Field((), description="patterns none of which may match")


class HeaderExpect(Options):
    """What the headers must look like; of a repeated header one value is enough."""

    matches: dict[HeaderName, Regex] = Field(
        {}, description="a pattern by header that must be there and match"
    )
    not_matches: dict[HeaderName, Regex] = Field(
        {}, description="a pattern by header that may not match, if it is there"
    )
    allow_missing: tuple[HeaderName, ...] = Field(
        (), description="headers of `matches` that need not be there"
    )

    @field_validator("allow_missing")
    @classmethod
    def _check_missing(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        known = {name.lower() for name in info.data.get("matches", {})}
        for name in value:
            if name.lower() not in known:
                raise ValueError(f"{name} is not in matches; nothing else has to be there")
        return value


class HttpExpect(Options):
    """What makes an answer a good one."""

    status: Statuses = Field(
        (StatusRange(200, 299),),
        description="statuses that are good",
        examples=[[200, 204], ["2xx", 404]],
        min_length=1,
        json_schema_extra={"default": ["200-299"]},
    )
    body: BodyExpect = Field(BodyExpect(), description="what the body must look like")
    headers: HeaderExpect = Field(HeaderExpect(), description="what the headers must look like")
    json_paths: dict[JsonPath, JsonMatcher] = Field(
        {},
        alias="json",
        description="what must stand at a path of a JSON body: a value, or conditions",
        examples=[{"$.db": "up", "$.queue.length": {"below": 100}}],
    )
    max_duration: Duration | None = Field(None, description="longest the whole run may take")
    certificate_days: float | None = Field(
        None, description="days that every presented certificate must still be valid", ge=0
    )
    domain: DomainExpect | None = Field(
        None, description="how long the registration of the URL's domain must still go on"
    )
    tls: bool | None = Field(
        None, description="whether the final answer must have come over TLS, or must not"
    )
    last_modified_age: Duration | None = Field(
        None, description="greatest age by the header Last-Modified, which must be there"
    )


class HttpOptions(ConnectOptions):
    """An HTTP request."""

    url: Url = Field(description="what to ask for", examples=["https://shop.example.net/health"])
    unix_socket: LocalPath | None = Field(
        None, description="Unix socket to connect to instead of the URL's host and port"
    )
    method: str = Field("GET", description="request method", pattern=r"^[A-Z]{1,20}$")
    headers: dict[Sendable, HeaderValue] = Field({}, description="request headers")
    host: HeaderValue | None = Field(
        None, description="Host header, and name asked for in TLS, instead of the URL's"
    )
    body: str | None = Field(None, description="request body")
    body_file: LocalPath | None = Field(
        None, description="file that holds the request body (at most 1 MiB), read at every run"
    )
    basic_auth: BasicAuth | None = Field(None, description="credentials for basic authentication")
    bearer_token: Secret | None = Field(None, description="bearer token")
    bearer_token_file: SecretFile | None = Field(
        None, description="file that holds the bearer token, read at every run"
    )
    oauth2: OAuth2Options | None = Field(
        None,
        description="ask for a bearer token by client credentials, and use it until it expires",
    )
    proxy: ProxyOptions | None = Field(None, description="proxy to go through")
    follow_redirects: bool = Field(True, description="whether redirects are followed")
    max_redirects: int = Field(10, description="redirects to follow at most", ge=0, le=100)
    compression: tuple[Literal["gzip", "deflate"], ...] = Field(
        (), description="encodings to ask for (Accept-Encoding)", examples=[["gzip"]]
    )
    max_body_size: Size = Field(
        5 * 1024 * 1024,
        description="largest body, before and after decompression",
        gt=0,
        le=256 * 1024 * 1024,
    )
    tls: TlsOptions = Field(TlsOptions(), description="how to speak TLS")
    expect: HttpExpect = Field(HttpExpect(), description="what makes the answer a good one")

    @model_validator(mode="after")
    def _check_socket(self) -> HttpOptions:
        if self.unix_socket is not None and self.proxy is not None:
            raise fault("unix_socket and proxy exclude each other; keep one of them")
        return self

    @model_validator(mode="after")
    def _check_credentials(self) -> HttpOptions:
        bearer = self.bearer_token or self.bearer_token_file
        header = any(name.lower() == "authorization" for name in self.headers)
        if sum(map(bool, (self.basic_auth, bearer, header, self.oauth2))) > 1:
            raise fault(
                "basic_auth, bearer_token, oauth2 and the header Authorization exclude each "
                "other; keep one of them"
            )
        return self
