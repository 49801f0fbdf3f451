"""Questions about results: chunks, columns of a chart, days.

Rule: what was written but not summed up yet is in every answer.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Connection, select

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


def read_chunks(
    connection: Connection, shard: int, begin: float, end: float, *, unmerged: bool = False
) -> Iterator[Chunk]:
    """The chunks of a shard that begin in ``[begin, end)``, in order; only those that are not
    summed up, if that is asked for."""
    query = (
        select(results.c.id, results.c.shard, results.c.data)
        .where(results.c.level == RAW, results.c.shard == shard)
        .where(results.c.at >= begin, results.c.at < end)
        .order_by(results.c.at)
    )
    if unmerged:
        marks = select(result_shards.c.merged).where(result_shards.c.shard == shard)
        query = query.where(results.c.id > (connection.execute(marks).scalar() or 0))
    return folded(connection.execute(query))


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
    query = (
        select(results.c.at, results.c.data)
        .where(results.c.level == level, results.c.shard == shard)
        .where(results.c.at >= begin, results.c.at < end)
    )
    wanted = frozenset({slot})
    for at, data in connection.execute(query):
        if (its := _some(data, wanted).get(slot)) is not None:
            put(found, bucket(at, width), its)
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
        query = (
            select(results.c.at, results.c.data)
            .where(results.c.level == DAY, results.c.shard == shard)
            .where(results.c.at >= since)
        )
        for at, data in connection.execute(query):
            for slot, its in _some(data, frozenset(slots)).items():
                found[slots[slot]][at] = its
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
