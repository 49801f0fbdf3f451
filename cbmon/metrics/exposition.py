"""Renders every metric, at once or in slices between which the event loop goes on.

Rule: a scrape takes a snapshot of every breaker first; then it goes through the families, one
slice of records at a time. It never holds the event loop for longer than a slice.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator, Sequence
from time import perf_counter
from typing import Final, Protocol

from cbmon.metrics import families as f
from cbmon.metrics.lines import Moment, Renderer, Slice, breaker_renderers, component_renderers
from cbmon.metrics.own import process_section
from cbmon.metrics.records import BreakerRecord, ComponentRecord
from cbmon.metrics.text import END_OF_OPENMETRICS, Family
from cbmon.model import Category

SLICE: Final = 128
"""Records per slice."""
PAUSE_AFTER: Final = 0.002
"""Seconds of rendering after which others get their turn."""
CHUNK: Final = 1 << 20
"""Bytes handed on at once."""
_GZIP_LEVEL: Final = 1
_GZIP_WINDOW: Final = 31
"""The largest window, with a gzip header (zlib's manual)."""


class Source(Protocol):
    """Where the records are."""

    def records(self, category: Category) -> Sequence[BreakerRecord | ComponentRecord]:
        """Those of one category, sorted by name; the list is not changed later."""
        ...

    def moment(self) -> Moment:
        """The present time."""
        ...

    def own(self) -> Iterator[tuple[Family, bytes]]:
        """The families that are not rendered from records, with their lines."""
        ...


class Exposition:
    """The metrics of one daemon, in both text formats of Prometheus."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._plan = _plan()

    def text(self) -> bytes:
        """In the text format 0.0.4, at once."""
        return b"".join(self._pieces(openmetrics=False))

    def openmetrics(self) -> bytes:
        """In the OpenMetrics 1.0 text format, at once."""
        return b"".join(self._pieces(openmetrics=True))

    async def render(self, *, openmetrics: bool = False, pause_after: float = PAUSE_AFTER) -> bytes:
        """The same, letting others run after each ``pause_after`` seconds of work."""
        stream = self.stream(openmetrics=openmetrics, pause_after=pause_after)
        return b"".join([chunk async for chunk in stream])

    async def render_gzip(
        self, *, openmetrics: bool = False, pause_after: float = PAUSE_AFTER
    ) -> bytes:
        """The same compressed, in a thread while the next chunk is rendered.

        The whole text is never in memory: this is the way to answer a scraper that takes gzip.
        """
        packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
        loop = asyncio.get_running_loop()
        packed: list[bytes] = []
        packing: asyncio.Future[bytes] | None = None
        async for chunk in self.stream(openmetrics=openmetrics, pause_after=pause_after):
            if packing is not None:
                packed.append(await packing)
            packing = loop.run_in_executor(None, packer.compress, chunk)
        if packing is not None:
            packed.append(await packing)
        packed.append(packer.flush())
        return b"".join(packed)

    async def stream(
        self, *, openmetrics: bool = False, pause_after: float = PAUSE_AFTER
    ) -> AsyncIterator[bytes]:
        """The same in chunks of at least 256 KiB but for the last one."""
        waiting: list[bytes] = []
        size, begun = 0, perf_counter()
        for piece in self._pieces(openmetrics=openmetrics):
            waiting.append(piece)
            size += len(piece)
            if size >= CHUNK:
                yield b"".join(waiting)
                waiting, size = [], 0
            if perf_counter() - begun >= pause_after:
                await asyncio.sleep(0)
                begun = perf_counter()
        yield b"".join(waiting)

    def _pieces(self, *, openmetrics: bool) -> Iterator[bytes]:
        moment = self._source.moment()
        slices: dict[Category, list[Slice]] = {category: [] for category in Category}
        for category, parts in slices.items():
            records = self._source.records(category)
            for start in range(0, len(records), SLICE):
                parts.append(Slice(records[start : start + SLICE]))
                yield b""
        for family, renderers in self._plan:
            yield _head(family, openmetrics=openmetrics)
            for category, renderer in renderers:
                for part in slices[category]:
                    yield renderer(part, moment)
        for family, lines in self._source.own():
            yield _head(family, openmetrics=openmetrics) + lines
        yield process_section(openmetrics=openmetrics)
        if openmetrics:
            yield END_OF_OPENMETRICS.encode()


def _head(family: Family, *, openmetrics: bool) -> bytes:
    return (family.openmetrics_head if openmetrics else family.head).encode()


def _plan() -> list[tuple[Family, list[tuple[Category, Renderer]]]]:
    """Every family that is rendered from records, with what renders it for which category."""
    breakers = {category: list(breaker_renderers(category)) for category in Category}
    plan = [
        (family, [(category, breakers[category][index][1]) for category in Category])
        for index, family in enumerate(f.BREAKERS)
    ]
    for families, category in ((f.CHECKS, Category.CHECK), (f.EXPORTS, Category.EXPORT)):
        plan += [(family, [(category, line)]) for family, line in component_renderers(families)]
    return plan
