"""One POST to a server that takes metrics, and what its answer means.

Rule: nothing is retried here and no redirect is followed; the answer is told, not judged.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Annotated, Final
from urllib.parse import urlsplit

import aiohttp
from pydantic import AfterValidator, Field, StringConstraints, model_validator

from cbmon.config.fields import Options, Secret, SecretFile, Url, fault, secret_from
from cbmon.exports.base import ExportEnvironment
from cbmon.exports.credentials import BasicAuthOptions
from cbmon.exports.tls import TlsOptions
from cbmon.interfaces import Attempt

MAX_ANSWER: Final = 16 * 1024
MAX_WAIT: Final = 3600.0
"""Seconds that a server can ask for at most."""
_OWN: Final = frozenset(
    {"host", "content-length", "content-type", "content-encoding", "transfer-encoding"}
    | {"connection", "user-agent", "x-prometheus-remote-write-version"}
)
_SENDABLE: Final = re.compile(r"[\t\x20-\x7e\x80-\uffff]*")


def _header_name(name: str) -> str:
    if name.lower() in _OWN:
        raise ValueError(f"the header {name} follows from the request and cannot be set")
    return name


def _header_value(value: Secret) -> Secret:
    if not _SENDABLE.fullmatch(value.reveal()):
        raise ValueError("a header's value cannot hold line breaks or control characters")
    return value


HeaderName = Annotated[
    str, StringConstraints(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"), AfterValidator(_header_name)
]
HeaderValue = Annotated[Secret, AfterValidator(_header_value)]


class PostingOptions(Options):
    """Where an export posts to, and how it logs in there."""

    url: Url = Field(description="Where to post to, path included.")
    headers: Mapping[HeaderName, HeaderValue] = Field(
        default_factory=dict,
        description="More headers, such as X-Scope-OrgID; their values show nowhere.",
    )
    basic_auth: BasicAuthOptions | None = Field(None, description="Log in with these.")
    bearer_token: Secret | None = Field(None, description="Log in with this token.")
    bearer_token_file: SecretFile | None = Field(
        None, description="A file with the token, read at each use."
    )
    tls: TlsOptions = Field(
        default_factory=TlsOptions, description="For an https URL: whom to trust."
    )

    @model_validator(mode="after")
    def _one_login(self) -> PostingOptions:
        logins = {
            "basic_auth": self.basic_auth,
            "bearer_token": self.bearer_token or self.bearer_token_file,
            "headers": any(name.lower() == "authorization" for name in self.headers) or None,
        }
        given = [name for name, value in logins.items() if value is not None]
        if len(given) > 1:
            raise fault(f"{' and '.join(given)} log in both; keep one of them")
        return self

    def authorization(self) -> str | None:
        """The value of the Authorization header; blocks, and SecretError for an unusable file."""
        if self.basic_auth is not None:
            return self.basic_auth.header()
        token = secret_from(self.bearer_token, self.bearer_token_file)
        return None if token is None else f"Bearer {token.reveal()}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said. ``retry_after`` is in seconds from now."""

    status: int
    said: bytes
    retry_after: float | None = None
    kind: str = ""
    """The media type of what was said."""


async def post(
    environment: ExportEnvironment,
    options: PostingOptions,
    body: bytes,
    headers: Mapping[str, str],
    *,
    attempt: Attempt,
    timeout: float,
) -> Answer:
    """Post once; raises PUSH_ERRORS."""
    async with environment.session.post(
        options.url,
        data=body,
        headers={**headers, **await own_headers(options)},
        allow_redirects=False,
        timeout=aiohttp.ClientTimeout(total=max(timeout, 0.001)),
        ssl=await environment.tls.get(options.tls) if options.url.startswith("https:") else True,
        server_hostname=options.tls.server_name,
        trace_request_ctx=attempt,
    ) as response:
        said = await response.content.read(MAX_ANSWER)
        wait = retry_after(response.headers.get("Retry-After"), environment.wall())
        return Answer(response.status, said, wait, response.content_type)


async def own_headers(options: PostingOptions) -> dict[str, str]:
    """Configured headers and the login of one request; ConfigurationError for a secret file."""
    headers = {name: value.reveal() for name, value in options.headers.items()}
    if options.basic_auth or options.bearer_token or options.bearer_token_file:
        found = await asyncio.to_thread(options.authorization)
        headers["Authorization"] = found or ""
    return headers


def shown_target(url: str) -> str:
    """The URL without what may be a secret."""
    return urlsplit(url)._replace(query="", fragment="").geturl()


def retry_after(value: str | None, now: float) -> float | None:
    """A Retry-After header, seconds or a date, in seconds from the Unix time ``now``.

    At most MAX_WAIT; None without the header, or when it is neither.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isdecimal() and value.isascii():
        return min(float(value[:9]), MAX_WAIT)
    try:
        at = parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError):
        return None
    return min(max(0.0, at - now), MAX_WAIT)
