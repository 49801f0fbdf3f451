"""One POST of JSON, and what came of it.

Rule: no redirect is followed, no more of an answer is read than needed, and of a URL only its host
is ever shown. Where the status says it all, a body that drips or breaks off changes nothing:
otherwise a message that was taken would be sent again and again.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from cbmon.config.fields import Secret, SecretFile, checked_url, secret_from
from cbmon.errors import ConfigurationError
from cbmon.model import Delivery
from cbmon.notify.receivers.answers import FAILURES, from_failure, from_status
from cbmon.notify.receivers.kind import ReceiverEnvironment

LONGEST_ANSWER: Final = 64 * 1024
COURTESY: Final = 0.5
"""Seconds for the body of an answer whose status says it all."""
JSON: Final = "application/json"
_PACKED: Final = frozenset({"gzip", "x-gzip", "deflate"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back: the beginning of its body, and when (Unix seconds)."""

    status: int
    retry_after: str | None
    body: bytes
    at: float


def judged(answer: Answer) -> Delivery:
    """The delivery behind an answer of a service that speaks by its status."""
    return from_status(answer.status, answer.retry_after, answer.at, answer.body)


async def post(
    environment: ReceiverEnvironment,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    judge: Callable[[Answer], Delivery] = judged,
    *,
    patience: float | None = COURTESY,
) -> Delivery:
    """Post JSON, unless the headers name another type; only raises when it is cancelled.

    A service that says in the body whether it took the message needs ``patience`` None.
    """
    try:
        return judge(await ask(environment, url, body, headers, patience))
    except FAILURES as error:
        return from_failure(error, urlsplit(url).hostname or "webhook")


async def ask(
    environment: ReceiverEnvironment,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    patience: float | None = None,
) -> Answer:
    """The answer to a POST; raises one of FAILURES.

    With ``patience`` (seconds) the body is what arrives in that time, and may break off.
    """
    sent = {"Content-Type": JSON, **headers}
    async with environment.session.post(
        url, data=body, headers=sent, allow_redirects=False
    ) as response:
        said = bytearray()
        try:
            async with asyncio.timeout(patience):
                await _read(response.content, said)
        except (TimeoutError, aiohttp.ClientError):
            if patience is None:
                raise
            response.close()
        return Answer(
            status=response.status,
            retry_after=response.headers.get("Retry-After"),
            body=_unpacked(
                bytes(said[:LONGEST_ANSWER]), response.headers.get("Content-Encoding", "")
            ),
            at=environment.clock.time(),
        )


async def _read(content: aiohttp.StreamReader, said: bytearray) -> None:
    """A short answer is read to its end so that the connection can be used again."""
    while len(said) < LONGEST_ANSWER and (some := await content.readany()):
        said += some


def _unpacked(said: bytes, encoding: str) -> bytes:
    """The beginning of a body that was packed although nobody asked for that."""
    if encoding.strip().lower() not in _PACKED:
        return said
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(said, LONGEST_ANSWER)
    except zlib.error:
        return said


def encoded(payload: Any) -> bytes:
    """JSON in UTF-8, as short as it can be; half a character becomes a question mark."""
    text = json.dumps(payload, separators=(",", ":"), ensure_ascii=False)
    return text.encode(errors="replace")


def url_from(value: Secret | None, file: SecretFile | None) -> str:
    """The URL of a pair of options; ConfigurationError if its file does not hold one now."""
    secret = secret_from(value, file)
    try:
        return checked_url("" if secret is None else secret.reveal().strip(), ("http", "https"))
    except ValueError:
        raise ConfigurationError("the url is no absolute http or https URL") from None


def host_of(value: Secret | None) -> str:
    """The host of a secret URL, which is all of it that may be shown."""
    if value is None:
        return "from a file"
    return urlsplit(value.reveal()).hostname or "unknown"
