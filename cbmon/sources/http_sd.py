"""Targets from a URL, as Prometheus' http_sd_configs reads them.

Rule: 200 with JSON, all of it before the deadline and within the bound, or an error.
"""

from __future__ import annotations

import asyncio
import json
from typing import Final

import aiohttp
from pydantic import Field

from cbmon.config.fields import Duration
from cbmon.config.placeholders import Target
from cbmon.exports.base import ExportEnvironment
from cbmon.exports.failures import PUSH_ERRORS, classified, refused
from cbmon.exports.posting import PostingOptions, own_headers, shown_target
from cbmon.sources.base import MAX_BYTES, SourceError, SourceType, targets_of

_JSON: Final = "application/json"


class HttpSdOptions(PostingOptions):
    """Targets from a URL."""

    refresh_interval: Duration = Field(60.0, description="How often the list is asked for.")
    timeout: Duration = Field(10.0, description="Deadline of one answer.")


async def read(options: HttpSdOptions, environment: ExportEnvironment) -> list[Target]:
    """Every target of the list; SourceError."""
    where = shown_target(options.url)
    try:
        data = await _fetched(options, environment)
    except PUSH_ERRORS as error:
        raise SourceError(f"{where}: {classified(error)[1]}") from error
    try:
        document = await asyncio.to_thread(json.loads, data)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{where}: no JSON: {error}") from error
    return targets_of(document, where)


async def _fetched(options: HttpSdOptions, environment: ExportEnvironment) -> bytes:
    headers = {
        "Accept": _JSON,
        "Accept-Encoding": "identity",
        "X-Prometheus-Refresh-Interval-Seconds": f"{options.refresh_interval:g}",
        **await own_headers(options),
    }
    async with environment.session.get(
        options.url,
        headers=headers,
        allow_redirects=False,
        timeout=aiohttp.ClientTimeout(total=options.timeout),
        ssl=await environment.tls.get(options.tls) if options.url.startswith("https:") else True,
        server_hostname=options.tls.server_name,
    ) as response:
        where = shown_target(options.url)
        if response.status != 200:
            said = refused(response.status, await response.content.read(1024))[1]
            raise SourceError(f"{where}: {said}")
        if response.content_type != _JSON:
            raise SourceError(f"{where}: expected {_JSON}, got {response.content_type}")
        data = bytearray()
        async for chunk in response.content.iter_any():
            data += chunk
            if len(data) > MAX_BYTES:
                raise SourceError(f"{where}: larger than {MAX_BYTES >> 20} MiB")
        return bytes(data)


TYPE: Final = SourceType(
    name="http_sd",
    options=HttpSdOptions,
    shown=lambda options: shown_target(options.url),
    read=read,
    refresh_interval=lambda options: options.refresh_interval,
)
