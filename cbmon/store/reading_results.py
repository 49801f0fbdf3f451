"""Questions about results: chunks, columns of a chart, days.

Rule: what was written but not summed up yet is in every answer.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select

from cbmon.logs import fields
from cbmon.results import chunks
from cbmon.results.chunks import Chunk
from cbmon.results.series import bucket, level_for, put, put_chunk
from cbmon.results.store import LEVELS, RAW, Series
from cbmon.results.summary import Summary
from cbmon.results.tracks import BUCKET, place_of
from cbmon.store.schema import result_shards, results

log = logging.getLogger(__name__)

DAY: Final = LEVELS[-1]
FOREVER: Final = 1e15
# Built once: making a statement costs as much as running it.
_MARK: Final = select(result_shards.c.merged).where(result_shards.c.shard == bindparam("of_shard"))
_ROWS: Final = (
    select(results.c.id, results.c.shard, results.c.at, results.c.data)
    .where(results.c.level == bindparam("of_level"), results.c.shard == bindparam("of_shard"))
    .where(results.c.at >= bindparam("begins"), results.c.at < bindparam("ends"))
    .where(results.c.id > bindparam("mark"))
    .order_by(results.c.at)
)


def read_chunks(
    connection: Connection, shard: int, begin: float, end: float, *, unmerged: bool = False
) -> Iterator[Chunk]:
    """The chunks of a shard that begin in ``[begin, end)``, in order; only those that are not
    summed up, if that is asked for."""
    mark = 0
    if unmerged:
        mark = connection.execute(_MARK, {"of_shard": shard}).scalar() or 0
    place = {"of_level": RAW, "of_shard": shard, "begins": begin, "ends": end, "mark": mark}
    return folded(connection.execute(_ROWS, place))


def folded(rows: Iterable[Any]) -> Iterator[Chunk]:
    """The chunks in some rows; what is none is said and passed over."""
    for row in rows:
        try:
            yield chunks.unpacked(row.shard, row.data)
        except ValueError as error:
            log.error("results lost", extra=fields(row=row.id, error=str(error)))  # noqa: TRY400


def read_series(
    connection: Connection, *, number: int, width: int, begin: float, end: float
) -> Series:
    """Summaries of one component in buckets of ``width`` seconds."""
    shard, slot = place_of(number)
    begin = bucket(begin, width)
    found: Series = {}
    level = level_for(width)
    if level == RAW:
        for chunk in read_chunks(connection, shard, begin - BUCKET, end):
            put_chunk(found, chunk, slot, width)
        return {at: its for at, its in sorted(found.items()) if begin <= at < end}
    wanted = frozenset({slot})
    place = {"of_level": level, "of_shard": shard, "begins": begin, "ends": end, "mark": 0}
    for row in connection.execute(_ROWS, place):
        if (its := _some(row.data, wanted).get(slot)) is not None:
            put(found, bucket(row.at, width), its)
    for chunk in read_chunks(connection, shard, begin, end, unmerged=True):
        put_chunk(found, chunk, slot, width)
    return dict(sorted(found.items()))


def read_days(connection: Connection, *, numbers: Sequence[int], begin: float) -> dict[int, Series]:
    """Summaries of the days of some components."""
    found: dict[int, Series] = {number: {} for number in numbers}
    by_shard: dict[int, dict[int, int]] = defaultdict(dict)
    for number in numbers:
        shard, slot = place_of(number)
        by_shard[shard][slot] = number
    since = bucket(begin, DAY)
    for shard, slots in by_shard.items():
        place = {"of_level": DAY, "of_shard": shard, "begins": since, "ends": FOREVER, "mark": 0}
        for row in connection.execute(_ROWS, place):
            for slot, its in _some(row.data, frozenset(slots)).items():
                found[slots[slot]][row.at] = its
        for chunk in read_chunks(connection, shard, since, FOREVER, unmerged=True):
            for slot, number in slots.items():
                put_chunk(found[number], chunk, slot, DAY)
    return found


def _some(data: bytes, wanted: frozenset[int]) -> dict[int, Summary]:
    try:
        return chunks.expanded(data, wanted)
    except ValueError as error:
        log.error("results lost", extra=fields(error=str(error)))  # noqa: TRY400
        return {}
