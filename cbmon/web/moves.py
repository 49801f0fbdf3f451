"""The latest moves, asked from the store once for all who look at a page.

Rule: a page never waits for a broken store: it shows what is in memory and says what is missing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from cbmon.errors import StoreError
from cbmon.results.store import Span
from cbmon.web.history import absences
from cbmon.web.services import Services

log = logging.getLogger(__name__)

FRESH: Final = 1.0
LATEST: Final = 500
PATIENCE: Final = 2.0
"""Seconds a page waits for the store."""

LOOKED_BACK: Final = 91 * 86_400.0
"""Seconds: as far back as a page shows."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Moves:
    """The latest moves, newest first, and the same by component."""

    rows: list[Row] = field(default_factory=list)
    by_component: dict[str, list[Row]] = field(default_factory=dict)
    problem: str | None = None
    complete_since: float = float("-inf")
    """Moves before this Unix time are not all among them."""
    absences: Sequence[Span] = ()
    """When no daemon ran."""


class LatestMoves:
    """Keeps them for a second."""

    def __init__(self, services: Services, clock: Callable[[], float]) -> None:
        self._services = services
        self._clock = clock
        self._moves = Moves()
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    async def get(self) -> Moves:
        """The latest moves of all components."""
        async with self._asking:
            if self._clock() - self._asked_at >= FRESH:
                self._moves = await latest(self._services, LATEST)
                self._asked_at = self._clock()
            return self._moves


async def latest(services: Services, limit: int, component: str | None = None) -> Moves:
    """Ask the store now."""
    try:
        async with asyncio.timeout(PATIENCE):
            rows = await services.transitions(component=component, limit=limit)
            ran = await services.results.spans(services.clock.time() - LOOKED_BACK)
    except (StoreError, TimeoutError) as error:
        log.warning("history is not readable", extra={"fields": {"error": str(error)}})
        return Moves(problem="The store does not answer: history is not shown.")
    by_component = defaultdict(list)
    for row in rows:
        by_component[str(row["component"])].append(row)
    cut = len(rows) >= limit
    return Moves(
        rows,
        dict(by_component),
        complete_since=float(rows[-1]["at"]) if cut else float("-inf"),
        absences=absences(ran),
    )


MOVES: Final[web.AppKey[LatestMoves]] = web.AppKey("moves", LatestMoves)
