"""Runs as columns of a chart: buckets of so many seconds, which begin at its multiples in UTC.

Rule: a run belongs to the bucket in which it ended; of the time that a chunk knows of, each
bucket gets the part that lies in it.
"""

from __future__ import annotations

from cbmon.results.chunks import Chunk
from cbmon.results.store import LEVELS, RAW, Series
from cbmon.results.summary import Summary


def bucket(at: float, width: float) -> float:
    """When the bucket of a moment begins."""
    return at - at % width


def level_for(width: int) -> int:
    """The coarsest level of which buckets of ``width`` seconds can be made."""
    return max((level for level in LEVELS if width % level == 0), default=RAW)


def put(series: Series, at: float, its: Summary) -> None:
    """Add to the bucket that begins then."""
    if at not in series:
        series[at] = Summary()
    series[at].merge(its)


def put_chunk(series: Series, chunk: Chunk, slot: int, width: int) -> None:
    """Add what a chunk knows of one component."""
    if level_for(width) != RAW:
        its = chunk.summary(slot)
        if its.runs or its.up or its.down:
            put(series, bucket(chunk.begin, width), its)
        return
    for one in chunk.of(slot):
        its = Summary()
        its.add(one.verdict, one.seconds)
        put(series, bucket(one.at, width), its)
    _spread(series, chunk, slot, width)


def _spread(series: Series, chunk: Chunk, slot: int, width: int) -> None:
    up, down = chunk.covered(slot)
    length = chunk.end - chunk.begin
    at = bucket(chunk.begin, width)
    while (up or down) and length > 0 and at < chunk.end:
        share = (min(at + width, chunk.end) - max(at, chunk.begin)) / length
        put(series, at, Summary(up=round(up * share), down=round(down * share)))
        at += width
