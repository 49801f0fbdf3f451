"""Hearing from PostgreSQL that settings were edited, the moment they are committed.

Rule: only a shortcut. Whoever polls notices anyway, so a lost connection is no error here: it is
made anew after a while, and what was missed meanwhile is looked for once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from sqlalchemy import URL

from cbmon.logs import fields

log = logging.getLogger(__name__)

CHANNEL: Final = "cbmon_settings"
AGAIN: Final = 10.0
"""Seconds until a lost connection is made anew."""
PATIENCE: Final = 5.0


async def notices(url: URL) -> AsyncGenerator[None, None]:
    """One item for each change that is told, and one for each connection; without an end."""
    while True:
        try:
            async with aclosing(_heard(url)) as heard:
                async for _ in heard:
                    yield None
        except (OSError, TimeoutError, RuntimeError) as error:
            log.debug("changes of settings are not told", extra=fields(error=str(error)))
        await asyncio.sleep(AGAIN)


async def _heard(url: URL) -> AsyncGenerator[None, None]:
    import psycopg  # noqa: PLC0415 - an optional package

    where = url.set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        async with asyncio.timeout(PATIENCE):
            connection = await psycopg.AsyncConnection.connect(where, autocommit=True)
        async with connection:
            await connection.execute(f"LISTEN {CHANNEL}".encode())
            yield None
            async for _ in connection.notifies():
                yield None
    except psycopg.Error as error:
        raise OSError(str(error)) from error
