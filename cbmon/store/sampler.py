"""From runs on the event loop to results on the disk, and back to who asks for them.

Rule: to record never waits and never fails. Chunks are completed once a minute, a twelfth of the
shards every five seconds, and summed up every five minutes, a sixtieth at a time, in the thread
that writes: so nothing comes in bursts. What is not written is in memory, never more than
:data:`KEPT` chunks per shard: while the store fails the oldest are dropped, counted and said.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

from cbmon.errors import StoreError
from cbmon.events import Event, Transition
from cbmon.interfaces import Clock
from cbmon.logs import fields
from cbmon.results.chunks import Chunk, Sample
from cbmon.results.series import bucket, put_chunk
from cbmon.results.store import LEVELS, Batch, ResultStore, Series, Span
from cbmon.results.tracks import Shard, Track, place_of

log = logging.getLogger(__name__)

TICK: Final = 5.0
"""Seconds between two writes."""
TURNS: Final = 12
"""Writes in which every shard is completed once: a minute."""
SUMS: Final = 60
"""Writes in which every shard is summed up once: five minutes."""
KEPT: Final = 3
"""Complete chunks per shard that wait while the store fails: some minutes of ordinary checks."""
SPARE: Final = 64
"""Chunks that may wait besides."""
AT_ONCE: Final = 32
"""Chunks in one transaction."""
DAY: Final = LEVELS[-1]
NOBODY_LOOKS: Final = frozenset({"forced_open", "disabled"})


class SamplerHooks(Protocol):
    """What the sampler tells its surroundings."""

    def results_stored(self, count: int) -> None:
        """So many runs are in the database now."""
        ...

    def results_dropped(self, count: int) -> None:
        """So many runs were given up."""
        ...

    def store_failed(self) -> None:
        """An attempt to write failed."""
        ...


class Sampler:
    """Gathers the results of every component, and answers what they were."""

    def __init__(
        self,
        store: ResultStore,
        *,
        clock: Clock,
        hooks: SamplerHooks,
        enabled: Callable[[], bool] = lambda: True,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._clock = clock
        self._hooks = hooks
        self._enabled = enabled
        self._sleep = sleep
        self._numbers: dict[str, int] = {}
        self._next = 1
        self._shards: dict[int, Shard] = {}
        self._pending: deque[Chunk] = deque()
        self._new: dict[str, int] = {}
        self._gone: set[int] = set()
        self._absent: set[int] = set()
        """Known, but not watched: so it is in the database."""
        self._run = 0
        self._began = clock.time()
        self._ticks = 0
        self._saved_at = self._began
        self._failing = False
        self._lost = 0
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    # --- life ----------------------------------------------------------------------------

    async def start(self) -> None:
        """Take up what is known and begin to write; StoreError."""
        self._began = now = self._clock.time()
        opened = await self._store.begin(now)
        self._run = opened.run
        self._numbers = dict(opened.names)
        self._absent = set(opened.absent)
        self._next = max(self._numbers.values(), default=0) + 1
        if not opened.orderly and opened.before is not None:
            log.warning(
                "the last run did not end in order: results of its last minute are not known",
                extra=fields(seen_at=_moment(opened.before.end)),
            )
        self._task = asyncio.get_running_loop().create_task(self._run_on(), name="sampler")

    async def stop(self, deadline: float) -> None:
        """Write what there is, in ``deadline`` seconds, and end."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.wait([task])
        for shard in self._shards.values():
            shard.turn(self._clock.time())
        try:
            async with asyncio.timeout(deadline):
                await self._write((), orderly=True)
        except TimeoutError:
            log.warning("results were not written in time")
        if self._pending:
            log.error("results lost", extra=fields(results=self._waiting()))

    async def _run_on(self) -> None:
        while True:
            await self._sleep(TICK)
            try:
                await self.tick()
            except Exception:
                # A sampler that died would drop all results from here on.
                log.exception("results were not written")

    # --- recording -----------------------------------------------------------------------

    def track(self, name: str, reach: float, *, down: bool = False) -> Track:
        """The track of a component; ``down``: it is known to be down from now on.

        A result of it stands for ``reach`` seconds at most.
        """
        number = self._numbers.get(name)
        if number is None:
            number, self._next = self._next, self._next + 1
            self._numbers[name] = self._new[name] = number
        elif number in self._absent:
            self._absent.discard(number)
            self._gone.discard(number)
            self._new[name] = number
        now = self._clock.time()
        shard, slot = place_of(number)
        if shard not in self._shards:
            self._shards[shard] = Shard(shard, now)
        found = Track(self._shards[shard], slot, reach)
        if down:
            found.hold(now)
        return found

    def settle(self, watched: Iterable[str]) -> None:
        """These are all that is watched: what else is known is not there any more."""
        there = set(watched)
        known = self._numbers.items()
        self.forget([n for n, number in known if n not in there and number not in self._absent])

    def forget(self, names: Sequence[str]) -> None:
        """They are watched no more; their past stays as long as that of others."""
        for name in names:
            if (track := self._track_of(name)) is not None:
                track.close()
            if (number := self._numbers.get(name)) is not None:
                self._gone.add(number)
                self._absent.add(number)

    def follow(self, event: Event) -> None:
        """Sink: what the moves of a breaker say of the time in which nobody looks."""
        if not isinstance(event, Transition):
            return
        track = self._track_of(event.component)
        if track is None:
            return
        if event.to_state in NOBODY_LOOKS:
            track.leave(event.at)
        elif event.to_state == "open" and event.actor is None:
            track.hold()

    def _track_of(self, name: str) -> Track | None:
        number = self._numbers.get(name)
        if number is None:
            return None
        shard, slot = place_of(number)
        return self._shards[shard].tracks[slot] if shard in self._shards else None

    # --- writing -------------------------------------------------------------------------

    async def tick(self) -> None:
        """Complete, write and sum up those whose turn it is."""
        self._ticks += 1
        now = self._clock.time()
        for number, shard in self._shards.items():
            late = now - shard.chunk.begin >= TURNS * TICK
            if late or number % TURNS == self._ticks % TURNS:
                shard.turn(now)
        sums = [number for number in self._shards if number % SUMS == self._ticks % SUMS]
        if not self._enabled():
            for shard in self._shards.values():
                shard.take()
            sums = []
        await self._write(sums)

    async def _write(self, merge: Sequence[int], *, orderly: bool = False) -> None:
        for shard in self._shards.values():
            if shard.done:
                self._pending.extend(shard.take())
        async with self._writing:
            try:
                await self._save_all(merge, orderly=orderly)
            except StoreError as error:
                self._failed(error)
            else:
                self._recovered()

    async def _save_all(self, merge: Sequence[int], *, orderly: bool) -> None:
        now = self._clock.time()
        silent = now - self._saved_at < TICK * TURNS and not orderly
        if silent and not (self._pending or merge or self._new or self._gone):
            return
        while True:
            chunks = [self._pending[place] for place in range(min(AT_ONCE, len(self._pending)))]
            last = len(chunks) == len(self._pending)
            names, gone = dict(self._new), set(self._gone)
            await self._store.save(
                Batch(
                    now=now,
                    run=self._run,
                    orderly=orderly and last,
                    names=names,
                    gone=sorted(gone),
                    chunks=chunks,
                    merge=merge if last else (),
                )
            )
            self._saved_at = now
            for _ in chunks:
                self._pending.popleft()
            self._new = {name: number for name, number in self._new.items() if name not in names}
            self._gone -= gone
            self._hooks.results_stored(sum(map(len, chunks)))
            if last:
                return

    def _failed(self, error: StoreError) -> None:
        self._hooks.store_failed()
        if not self._failing:
            log.error("results are not written, some minutes are kept", extra=fields(error=error))
        self._failing = True
        dropped = 0
        while len(self._pending) > KEPT * len(self._shards) + SPARE:
            dropped += len(self._pending.popleft())
        if dropped:
            if not self._lost:
                log.error("results are dropped from now on")
            self._lost += dropped
            self._hooks.results_dropped(dropped)

    def _recovered(self) -> None:
        if self._failing:
            log.info("results are written again", extra=fields(dropped=self._lost))
        self._failing, self._lost = False, 0

    def _waiting(self) -> int:
        return sum(map(len, self._pending))

    # --- reading -------------------------------------------------------------------------

    async def samples(self, name: str, begin: float, end: float, limit: int) -> list[Sample]:
        """The runs that ended in ``[begin, end)``, oldest first, those of this moment included;
        KeyError for a component that never was, StoreError."""
        number = self._numbers[name]
        _, slot = place_of(number)
        async with self._writing:
            found = await self._store.samples(number, begin, end, limit)
            for chunk in self._in_memory(number):
                found += (one for one in chunk.of(slot) if begin <= one.at < end)
        return sorted(found)[:limit]

    async def series(self, name: str, width: int, begin: float, end: float) -> Series:
        """Summaries in buckets of ``width`` seconds, by when each begins; as :meth:`samples`."""
        number = self._numbers[name]
        _, slot = place_of(number)
        async with self._writing:
            found = await self._store.series(number, width, begin, end)
            for chunk in self._in_memory(number):
                put_chunk(found, chunk, slot, width)
        first = bucket(begin, width)
        return {at: its for at, its in sorted(found.items()) if first <= at < end}

    async def days(self, names: Iterable[str], begin: float) -> dict[str, Series]:
        """Summaries of days in UTC, from that of ``begin`` on; of whoever is known. StoreError."""
        numbers = {name: self._numbers[name] for name in names if name in self._numbers}
        async with self._writing:
            found = await self._store.days(list(numbers.values()), begin)
            for number in found:
                for chunk in self._in_memory(number):
                    put_chunk(found[number], chunk, place_of(number)[1], DAY)
        return {name: found[number] for name, number in numbers.items()}

    async def spans(self, since: float) -> list[Span]:
        """When a daemon ran, oldest first; the last is this one. StoreError."""
        before = [span for span in await self._store.spans(since) if span.begin < self._began]
        return [*before, Span(self._began, self._clock.time())]

    def _in_memory(self, number: int) -> list[Chunk]:
        which, slot = place_of(number)
        shard = self._shards.get(which)
        if shard is None:
            return []
        now = self._clock.time()
        if shard.chunk.begin <= now < shard.border:
            shard.extend(slot, now)
        waiting = [chunk for chunk in self._pending if chunk.shard == which]
        return [*waiting, *shard.done, shard.chunk]


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
