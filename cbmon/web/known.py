"""How much of the time was up, for the public: asked of the store once for all who look.

Rule: without the store what was known before is told, and that it is old.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from aiohttp import web

from cbmon.errors import StoreError
from cbmon.results.store import Series
from cbmon.web import uptime
from cbmon.web.history import series_of
from cbmon.web.services import Services

log = logging.getLogger(__name__)

FRESH: Final = 30.0
PATIENCE: Final = 2.0
DAYS: Final = 30
MOST: Final = 2000
"""Badges that are remembered."""
OVER: Final = {"24h": 86_400.0, "7d": 7 * 86_400.0, "30d": DAYS * 86_400.0}
HOURLY: Final = 8 * 86_400.0
"""Seconds up to which hours are looked at, and days beyond."""


class Known:
    """Remembers days and shares for a while."""

    def __init__(self, services: Services, clock: Callable[[], float] = time.monotonic) -> None:
        self._services = services
        self._clock = clock
        self._days: Mapping[str, Series] = {}
        self._asked_for: frozenset[str] = frozenset()
        self._asked_at = float("-inf")
        self._shares: dict[tuple[str, str], tuple[float, float | None]] = {}
        self._asking = asyncio.Lock()
        self.readable = True

    async def days(self, names: Sequence[str]) -> Mapping[str, Series]:
        """Summaries of the last days of each, by its name; at most some seconds old."""
        async with self._asking:
            stale = self._clock() - self._asked_at >= FRESH
            if stale or not self._asked_for.issuperset(names):
                self._asked_at, self._asked_for = self._clock(), frozenset(names)
                await self._ask(names)
            return self._days

    async def share(self, name: str, over: str) -> float | None:
        """How much of that time one was up; None when nothing is known."""
        async with self._asking:
            at, share = self._shares.get((name, over), (float("-inf"), None))
            if self._clock() - at < FRESH:
                return share
            if len(self._shares) >= MOST:
                self._shares.clear()
            try:
                async with asyncio.timeout(PATIENCE):
                    share = await self._look(name, OVER[over])
            except (StoreError, TimeoutError) as error:
                self._failed(error)
            self._shares[name, over] = (self._clock(), share)
            return share

    async def _look(self, name: str, span: float) -> float | None:
        now = self._services.clock.time()
        width = 3600 if span <= HOURLY else 86_400
        series = await series_of(self._services.results, name, width, now - span, now + width)
        return uptime.uptime(series, since=now - span)

    async def _ask(self, names: Sequence[str]) -> None:
        since = self._services.clock.time() - DAYS * 86_400.0
        try:
            async with asyncio.timeout(PATIENCE):
                self._days = await self._services.results.days(names, since)
        except (StoreError, TimeoutError) as error:
            self._failed(error)
        else:
            self.readable = True

    def _failed(self, error: Exception) -> None:
        log.warning("results are not readable", extra={"fields": {"error": str(error)}})
        self.readable = False


KNOWN: Final[web.AppKey[Known]] = web.AppKey("known", Known)
