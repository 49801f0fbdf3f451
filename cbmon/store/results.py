"""Results in the database: chunks of runs, and what they come to by five minutes, hours and days.

Rule: a chunk is written once, and summed up once: which chunks of a shard were, is written in the
transaction that does it. A row that cannot be read is said in the log and passed over.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, select, update

from cbmon.logs import fields
from cbmon.results import chunks
from cbmon.results.chunks import Chunk, Sample
from cbmon.results.series import bucket
from cbmon.results.store import LEVELS, RAW, Batch, Opened, Series, Span
from cbmon.results.summary import Summary
from cbmon.results.tracks import BUCKET, place_of
from cbmon.store.backend import Backend
from cbmon.store.reading_results import folded, read_chunks, read_days, read_series
from cbmon.store.schema import daemon_runs, result_names, result_shards, results

log = logging.getLogger(__name__)

Read = Callable[[Callable[[Connection], Any]], Awaitable[Any]]
Write = Callable[..., Awaitable[Any]]

KEPT_RUNS: Final = 5_000
"""Runs of the daemon that are kept, however long the retention is."""
MOST_RUNS: Final = 500
"""Runs of the daemon that are told of: one that starts again and again must not slow the page."""
PRUNE_BATCH: Final = 200
"""Rows that one transaction drops; each is a kilobyte."""
_BY_SHARD: Final = and_(
    results.c.level == bindparam("of_level"), results.c.shard == bindparam("of_shard")
)
# Built once: making a statement costs as much as running it.
_SUMS: Final = select(results.c.id, results.c.data).where(
    _BY_SHARD, results.c.at == bindparam("begins")
)
_RESUM: Final = (
    update(results).where(results.c.id == bindparam("known")).values(data=bindparam("sums"))
)
_UNMERGED: Final = (
    select(results.c.id, results.c.shard, results.c.data)
    .where(_BY_SHARD, results.c.id > bindparam("merged"))
    .order_by(results.c.id)
)
_NEW: Final = insert(results)
_MARK: Final = select(result_shards.c.merged).where(result_shards.c.shard == bindparam("of_shard"))
_OLD: Final = (
    select(results.c.id).where(_BY_SHARD, results.c.at < bindparam("before")).limit(PRUNE_BATCH)
)
_DROP: Final = delete(results).where(results.c.id.in_(_OLD.scalar_subquery()))


class ResultTable:
    """See :class:`cbmon.results.store.ResultStore`."""

    def __init__(self, backend: Backend, read: Read, write: Write) -> None:
        self._backend = backend
        self._read = read
        self._write = write

    async def begin(self, now: float) -> Opened:
        """The daemon runs from now on."""
        opened: Opened = await self._write(partial(_begin, now=now), durable=False)
        return opened

    async def save(self, batch: Batch) -> None:
        """Write a batch."""
        await self._write(partial(_save, backend=self._backend, batch=batch), durable=False)

    async def samples(self, number: int, begin: float, end: float, limit: int) -> list[Sample]:
        """Runs, oldest first."""
        shard, slot = place_of(number)

        def ask(connection: Connection) -> list[Sample]:
            found: list[Sample] = []
            for chunk in read_chunks(connection, shard, begin - BUCKET, end):
                found += (one for one in chunk.of(slot) if begin <= one.at < end)
                if len(found) >= limit:
                    break
            return sorted(found)[:limit]

        taken: list[Sample] = await self._read(ask)
        return taken

    async def series(self, number: int, width: int, begin: float, end: float) -> Series:
        """Summaries of one component."""
        ask = partial(read_series, number=number, width=width, begin=begin, end=end)
        found: Series = await self._read(ask)
        return found

    async def days(self, numbers: Sequence[int], begin: float) -> dict[int, Series]:
        """Summaries of the days of some components."""
        found: dict[int, Series] = await self._read(
            partial(read_days, numbers=numbers, begin=begin)
        )
        return found

    async def spans(self, since: float) -> list[Span]:
        """When a daemon ran."""
        query = (
            select(daemon_runs.c.started_at, daemon_runs.c.seen_at)
            .where(daemon_runs.c.seen_at >= since)
            .order_by(daemon_runs.c.id.desc())
            .limit(MOST_RUNS)
        )
        found: list[Span] = await self._read(
            lambda connection: [Span(*row) for row in connection.execute(query)]
        )
        return found[::-1]

    async def prune(self, before: Mapping[int, float]) -> int:
        """Drop what is too old, shard by shard."""
        highest = select(func.max(result_names.c.number))
        last = await self._read(lambda connection: connection.execute(highest).scalar())
        count = 0
        for shard in range(place_of(last or 0)[0] + 1):
            work = partial(_prune, shard=shard, before=before)
            while dropped := await self._write(work, durable=False):
                count += dropped
        longest = min(before.values())
        await self._write(partial(_forget, before=longest), durable=False)
        return count


def _begin(connection: Connection, now: float) -> Opened:
    query = select(daemon_runs).order_by(daemon_runs.c.id.desc()).limit(1)
    last = connection.execute(query).mappings().first()
    number = 1 if last is None else last["id"] + 1
    row = {"id": number, "started_at": now, "seen_at": now, "orderly": 0}
    connection.execute(insert(daemon_runs), row)
    connection.execute(delete(daemon_runs).where(daemon_runs.c.id <= number - KEPT_RUNS))
    names = connection.execute(select(result_names)).mappings().all()
    return Opened(
        run=number,
        before=None if last is None else Span(last["started_at"], last["seen_at"]),
        orderly=last is None or bool(last["orderly"]),
        names={each["component"]: each["number"] for each in names},
        absent=[each["number"] for each in names if each["gone_at"] is not None],
    )


def _save(connection: Connection, *, backend: Backend, batch: Batch) -> None:
    seen = {"seen_at": batch.now, "orderly": int(batch.orderly)}
    connection.execute(update(daemon_runs).where(daemon_runs.c.id == batch.run).values(seen))
    if batch.names:
        rows = [
            {"component": name, "number": number, "gone_at": None}
            for name, number in batch.names.items()
        ]
        connection.execute(backend.upsert(result_names, "component"), rows)
    if batch.gone:
        gone = result_names.c.number.in_(list(batch.gone))
        connection.execute(update(result_names).where(gone).values(gone_at=batch.now))
    if batch.chunks:
        connection.execute(backend.insert_new(results), [_row(chunk) for chunk in batch.chunks])
    for shard in batch.merge:
        _merge(connection, backend, shard)


def _row(chunk: Chunk) -> dict[str, Any]:
    data = chunks.packed(chunk)
    return {"level": RAW, "shard": chunk.shard, "at": chunk.begin, "data": data}


def _merge(connection: Connection, backend: Backend, shard: int) -> None:
    """Sum up the chunks of a shard that were not, in every level."""
    mark = connection.execute(_MARK, {"of_shard": shard}).scalar() or 0
    place = {"of_level": RAW, "of_shard": shard}
    rows = connection.execute(_UNMERGED, {**place, "merged": mark}).all()
    if not rows:
        return
    parts: dict[float, list[Chunk]] = defaultdict(list)
    for chunk in folded(rows):
        parts[bucket(chunk.begin, LEVELS[0])].append(chunk)
    found = {at: chunks.summed(its) for at, its in parts.items()}
    for level in LEVELS:
        sums: dict[float, list[dict[int, Summary]]] = defaultdict(list)
        for at, its in found.items():
            sums[bucket(at, level)].append(its)
        for at, several in sums.items():
            _fold(connection, level, shard, at, several)
    new = {"shard": shard, "merged": rows[-1].id}
    connection.execute(backend.upsert(result_shards, "shard"), [new])


def _fold(
    connection: Connection, level: int, shard: int, at: float, new: list[dict[int, Summary]]
) -> None:
    """Add to the summaries of one bucket."""
    place = {"of_level": level, "of_shard": shard, "begins": at}
    row = connection.execute(_SUMS, place).first()
    whole: dict[int, Summary]
    if row is None and len(new) == 1:
        whole = new[0]
    else:
        whole = {} if row is None else _summaries(row.id, row.data)
        for its in new:
            _add(whole, its)
    data = chunks.squeezed(whole)
    if row is None:
        fresh = {"level": level, "shard": shard, "at": at, "data": data}
        connection.execute(_NEW, [fresh])
    else:
        connection.execute(_RESUM, {"known": row.id, "sums": data})


def _summaries(row: int, data: bytes) -> dict[int, Summary]:
    try:
        return chunks.expanded(data)
    except ValueError as error:
        log.error("results lost", extra=fields(row=row, error=str(error)))  # noqa: TRY400
        return {}


def _add(whole: dict[int, Summary], parts: Mapping[int, Summary]) -> None:
    for slot, part in parts.items():
        if slot not in whole:
            whole[slot] = Summary()
        whole[slot].merge(part)


def _prune(connection: Connection, *, shard: int, before: Mapping[int, float]) -> int:
    count = 0
    for level, moment in before.items():
        border = moment - (level or BUCKET)
        place = {"of_level": level, "of_shard": shard, "before": border}
        count += connection.execute(_DROP, place).rowcount
    return count


def _forget(connection: Connection, *, before: float) -> None:
    """Components and runs of the daemon of which nothing is left."""
    connection.execute(delete(result_names).where(result_names.c.gone_at < before))
    connection.execute(delete(daemon_runs).where(daemon_runs.c.seen_at < before))
