"""Waiting for an event or a moment: the one place where the dispatcher lets time pass.

Rule: never polling; a test puts a clock that it moves in the place of :func:`until`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

Waiter = Callable[[asyncio.Event, float | None], Awaitable[None]]
"""Returns when the event is set, or after so many seconds; None is for ever."""


async def until(event: asyncio.Event, seconds: float | None) -> None:
    """Wait for the event, at most ``seconds``."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
