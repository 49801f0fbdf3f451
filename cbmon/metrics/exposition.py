"""Renders every metric, at once or in slices between which the event loop goes on.

Rule: a scrape first looks at every record, those that have changed make their lines anew; then it
goes through the columns, one slice of records at a time. It never holds the event loop for longer
than a slice. Where scrapes come regularly most lines are made in the second before the next one,
while nobody waits for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from itertools import chain
from time import perf_counter
from typing import Final, Protocol

from cbmon.metrics import families as f
from cbmon.metrics.columns import Slice
from cbmon.metrics.lines import BreakerLayout, Column, ComponentLayout, Moment, cut, freshen
from cbmon.metrics.own import process_section
from cbmon.metrics.pace import Pace
from cbmon.metrics.packing import packer
from cbmon.metrics.records import BreakerRecord
from cbmon.metrics.sheets import Sheet
from cbmon.metrics.text import END_OF_OPENMETRICS, Family
from cbmon.model import Category

SLICE: Final = 512
"""Records per slice."""
PAUSE_AFTER: Final = 0.0005
"""Seconds of rendering after which others get their turn: a target whose answer waits for it is
told as slower by as much."""
CHUNK: Final = 1 << 19
"""Bytes handed on at once."""
LEAD: Final = 1 / 32
"""Seconds that each slice gets before a scrape to be made ready for it."""
COMPONENTS: Final = {Category.CHECK: f.CHECKS, Category.EXPORT: f.EXPORTS}
"""The categories whose breakers belong to a check or an export, and those families."""


class Source(Protocol):
    """Where the records are."""

    def records(self, category: Category) -> Sequence[BreakerRecord]:
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
        self._layouts = _layouts()
        self._plan = _plan(self._layouts)
        self._sheets: dict[Category, tuple[Sequence[BreakerRecord], list[Sheet]]] = {}
        """What is kept of each category, and for which records."""
        self._readers = 0
        """How many renderings are going on."""
        self._pace = Pace()
        self._unready: list[tuple[BreakerLayout, Sheet]] | None = None
        """What is still to be made ready for the next scrape, once that has begun."""

    def text(self) -> bytes:
        """In the text format 0.0.4, at once."""
        return b"".join(chain.from_iterable(self._groups(openmetrics=False)))

    def openmetrics(self) -> bytes:
        """In the OpenMetrics 1.0 text format, at once."""
        return b"".join(chain.from_iterable(self._groups(openmetrics=True)))

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
        pack = packer()
        loop = asyncio.get_running_loop()
        packed: list[bytes] = []
        packing: asyncio.Future[bytes] | None = None
        async for chunk in self.stream(openmetrics=openmetrics, pause_after=pause_after):
            if packing is not None:
                packed.append(await packing)
            packing = loop.run_in_executor(None, pack.compress, chunk)
        if packing is not None:
            packed.append(await packing)
        packed.append(pack.flush())
        return b"".join(packed)

    async def stream(
        self, *, openmetrics: bool = False, pause_after: float = PAUSE_AFTER
    ) -> AsyncGenerator[bytes, None]:
        """The same in chunks of at least :data:`CHUNK` bytes but for the last one."""
        waiting: list[bytes] = []
        size, begun = 0, perf_counter()
        for pieces in self._groups(openmetrics=openmetrics):
            waiting += pieces
            size += sum(map(len, pieces))
            if size >= CHUNK:
                yield b"".join(waiting)
                waiting, size = [], 0
            if perf_counter() - begun >= pause_after:
                await asyncio.sleep(0)
                begun = perf_counter()
        if waiting:
            yield b"".join(waiting)

    def prepare(self) -> None:
        """Make one slice ready, if a scrape is to be expected soon.

        To be called often, whenever nobody is kept waiting by it.
        """
        if self._readers:  # whose slices show one moment
            return
        now = self._source.moment().now
        if self._unready is None:
            if self._is_near(now):
                self._unready = self._known()
        elif self._unready:
            freshen(*self._unready.pop(), now)

    def _is_near(self, now: float) -> bool:
        """Whether it is time to make ready."""
        expected = self._pace.next(now)
        if expected is None:
            return False
        slices = sum(len(sheets) for _, sheets in self._sheets.values())
        return now >= expected - LEAD * slices

    def _known(self) -> list[tuple[BreakerLayout, Sheet]]:
        """What is kept, each with its layout."""
        known = self._sheets.items()
        return [(self._layouts[category], one) for category, (_, kept) in known for one in kept]

    def _groups(self, *, openmetrics: bool) -> Iterator[Sequence[bytes]]:
        """The text in pieces; between two groups of them others may run."""
        self._readers += 1
        try:
            yield from self._rendered(openmetrics=openmetrics)
        finally:
            self._readers -= 1

    def _rendered(self, *, openmetrics: bool) -> Iterator[Sequence[bytes]]:
        moment = self._source.moment()
        self._pace.scraped(moment.now)
        self._unready = None
        parts: dict[Category, list[Slice]] = {category: [] for category in Category}
        for category, layout in self._layouts.items():
            for sheet in self._sheets_of(category, layout):
                if self._readers > 1:
                    sheet.detach()
                parts[category].append(cut(layout, sheet, moment))
                yield ()
        for family, columns in self._plan:
            yield (_head(family, openmetrics=openmetrics),)
            for category, column in columns:
                for part in parts[category]:
                    yield [*column.write(part)]
        for family, lines in self._source.own():
            yield _head(family, openmetrics=openmetrics), lines
        yield (process_section(openmetrics=openmetrics),)
        if openmetrics:
            yield (END_OF_OPENMETRICS.encode(),)

    def _sheets_of(self, category: Category, layout: BreakerLayout) -> Iterator[Sheet]:
        """What is kept of a category; begun anew, with what was known, when there are others."""
        records = self._source.records(category)
        known, sheets = self._sheets.get(category, (None, []))
        if known is records:
            yield from sheets
            return
        origins = {record: (one, at) for one in sheets for at, record in enumerate(one.records)}
        made = []
        for start in range(0, len(records), SLICE):
            made.append(
                Sheet(records[start : start + SLICE], layout.width, layout.numbers, origins)
            )
            yield made[-1]
        self._sheets[category] = records, made


def _head(family: Family, *, openmetrics: bool) -> bytes:
    return (family.openmetrics_head if openmetrics else family.head).encode()


def _layouts() -> dict[Category, BreakerLayout]:
    return {
        category: ComponentLayout(category, COMPONENTS[category])
        if category in COMPONENTS
        else BreakerLayout(category)
        for category in Category
    }


def _plan(
    layouts: dict[Category, BreakerLayout],
) -> list[tuple[Family, list[tuple[Category, Column]]]]:
    """Every family that is rendered from records, with its columns in each category."""
    return [
        (
            family,
            [
                (category, column)
                for category, layout in layouts.items()
                for column in layout.columns.get(family, ())
            ],
        )
        for family in (*f.BREAKERS, *f.CHECKS, *f.EXPORTS)
    ]
