"""Notices that a web-config file, or a certificate that it names, has changed.

Rule: what cannot be used changes nothing and is told once; the same files are not tried again
until one of them changes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from cbmon.config import ConfigError
from cbmon.web.webconfig import WebConfig, load_web_config
from cbmon.web.webconfig.file import signature_of

log = logging.getLogger(__name__)

EVERY: Final = 1.0
"""Seconds between two looks."""


async def follow(
    current: Callable[[], WebConfig | None],
    apply: Callable[[WebConfig], Awaitable[None]],
    every: float = EVERY,
) -> None:
    """Bring every change into force, until cancelled."""
    refused = None
    while True:
        await asyncio.sleep(every)
        known = current()
        if known is None or not await asyncio.to_thread(known.changed):
            continue
        seen = await asyncio.to_thread(signature_of, known.path, *known.files)
        if seen == refused:
            continue
        try:
            found = await asyncio.to_thread(load_web_config, known.path)
        except ConfigError as error:
            refused = seen
            log.error(  # noqa: TRY400 - a person's mistake, the message says it all
                "web-config file refused; the previous one stays in force",
                extra={"fields": {"error": str(error)}},
            )
            continue
        refused = None
        await apply(found)
        log.info("web-config file reloaded", extra={"fields": {"file": str(known.path)}})
