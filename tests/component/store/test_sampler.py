"""Runs are gathered, written and told again; what cannot be written is bounded, counted, said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from cbmon.errors import StoreError
from cbmon.events import Transition
from cbmon.interfaces import Store
from cbmon.results.chunks import Chunk, Sample
from cbmon.results.store import Batch, Opened, Series, Span
from cbmon.results.summary import GOOD, TICK, total
from cbmon.results.tracks import Track
from cbmon.store.sampler import KEPT, SPARE, Sampler
from cbmon.testing import ManualClock

BAD = 4
NOON = 20_000 * 86_400.0 + 43_200


@dataclass
class Counts:
    stored: int = 0
    dropped: int = 0
    failures: int = 0

    def results_stored(self, count: int) -> None:
        self.stored += count

    def results_dropped(self, count: int) -> None:
        self.dropped += count

    def store_failed(self) -> None:
        self.failures += 1


@dataclass
class FakeStore:
    """Remembers what it is given; fails while it is told to."""

    opened: Opened = field(
        default_factory=lambda: Opened(run=1, before=None, orderly=True, names={})
    )
    broken: bool = False
    batches: list[Batch] = field(default_factory=list)

    async def begin(self, now: float) -> Opened:
        return self.opened

    async def save(self, batch: Batch) -> None:
        if self.broken:
            raise StoreError("the disk is full")
        self.batches.append(batch)

    @property
    def chunks(self) -> list[Chunk]:
        return [chunk for batch in self.batches for chunk in batch.chunks]

    async def samples(self, number: int, begin: float, end: float, limit: int) -> list[Sample]:
        raise NotImplementedError

    async def series(self, number: int, width: int, begin: float, end: float) -> Series:
        raise NotImplementedError

    async def days(self, numbers: Sequence[int], begin: float) -> dict[int, Series]:
        raise NotImplementedError

    async def spans(self, since: float) -> list[Span]:
        return []

    async def prune(self, before: Mapping[int, float]) -> int:
        return 0


class Rig:
    """A sampler whose clock stands still until a test moves it."""

    def __init__(self, store: Any, **options: Any) -> None:
        self.clock = ManualClock(wall=NOON)
        self.counts = Counts()
        self.sampler = Sampler(
            store,
            clock=self.clock,
            hooks=self.counts,
            sleep=lambda _: asyncio.sleep(3600),
            **options,
        )

    async def pass_time(self, seconds: float, *tracks: Track, verdict: int = GOOD) -> None:
        """Run each track every ten seconds; the sampler ticks every five."""
        for second in range(0, int(seconds), 5):
            if second % 10 == 0:
                for track in tracks:
                    track.add(self.clock.time(), 0.02, verdict)
            self.clock.advance(5)
            await self.sampler.tick()


@pytest.fixture
async def rig(store: Store) -> AsyncIterator[Rig]:
    made = Rig(store.results)
    await made.sampler.start()
    yield made
    await made.sampler.stop(5)


async def test_what_was_run_this_moment_is_in_every_answer(rig: Rig) -> None:
    track = rig.sampler.track("api", 15.0)
    track.add(NOON, 0.25, GOOD)
    rig.clock.advance(1)
    now = rig.clock.time()
    assert [one.seconds for one in await rig.sampler.samples("api", NOON - 1, now, 10)] == [0.25]
    for width in (60, 900, 3600, 86_400):
        found = await rig.sampler.series("api", width, NOON - 60, now)
        assert total(found.values()).runs == 1
    days = await rig.sampler.days(["api", "unknown"], NOON)
    assert [its.runs for its in days["api"].values()] == [1]
    with pytest.raises(KeyError):
        await rig.sampler.samples("unknown", NOON, now, 10)


async def test_how_long_it_was_up_is_told_until_this_moment_and_counts_once(rig: Rig) -> None:
    track = rig.sampler.track("api", 15.0)
    track.add(NOON, 0.25, GOOD)
    for passed, known in ((5, 5.0), (4, 9.0), (4, 13.0), (7, 17.0), (30, 17.0)):
        rig.clock.advance(passed)
        for _ in range(2):
            series = await rig.sampler.series("api", 3600, NOON, rig.clock.time())
            assert total(series.values()).up * TICK == pytest.approx(known, abs=0.02)
    track.add(rig.clock.time(), 0.25, GOOD)
    rig.clock.advance(10)
    series = await rig.sampler.series("api", 3600, NOON, rig.clock.time())
    assert total(series.values()).up * TICK == pytest.approx(27.0, abs=0.02)


async def test_no_run_is_lost_or_told_twice_on_its_way_to_the_disk(rig: Rig) -> None:
    tracks = [rig.sampler.track(f"check-{number}", 15.0) for number in range(70)]
    for minutes in range(1, 13):
        await rig.pass_time(60, *tracks)
        now = rig.clock.time()
        for name in ("check-0", "check-69"):
            assert len(await rig.sampler.samples(name, NOON, now, 1000)) == 6 * minutes
            whole = total((await rig.sampler.series(name, 300, NOON, now)).values())
            assert whole.runs == 6 * minutes
            assert whole.down == 0
            assert 60 * minutes - 75 <= whole.known_seconds <= 60 * minutes
    assert rig.counts.stored > 70 * 6 * 10


async def test_another_start_goes_on_where_this_one_ended(rig: Rig, store: Store) -> None:
    await rig.pass_time(120, rig.sampler.track("api", 15.0), rig.sampler.track("db", 15.0))
    await rig.sampler.stop(5)
    again = Rig(store.results)
    again.clock.advance(rig.clock.time() - again.clock.time() + 3600)
    await again.sampler.start()
    await again.pass_time(60, again.sampler.track("db", 15.0), again.sampler.track("new", 15.0))
    again.sampler.settle(["db", "new"])
    now = again.clock.time()
    assert len(await again.sampler.samples("api", NOON, now, 100)) == 12, "its past stays"
    assert len(await again.sampler.samples("db", NOON, now, 100)) == 18
    assert len(await again.sampler.samples("new", NOON, now, 100)) == 6
    whole = total((await again.sampler.series("db", 3600, NOON, now)).values())
    assert (whole.up + whole.down) * TICK < 200, "the hour between is not known"
    assert await again.sampler.spans(NOON) == [Span(NOON, NOON + 120), Span(NOON + 3720, now)]
    await again.sampler.stop(5)
    assert list((await store.results.begin(now)).absent) == [1]


async def test_a_start_after_a_crash_says_what_is_missing(caplog: pytest.LogCaptureFixture) -> None:
    crashed = Opened(run=2, before=Span(NOON - 100, NOON - 40), orderly=False, names={"a": 1})
    rig = Rig(FakeStore(opened=crashed))
    await rig.sampler.start()
    assert "the last run did not end in order" in caplog.text
    assert caplog.records[0].__dict__["fields"]["seen_at"] == "2024-10-04T11:59:20+00:00"
    await rig.sampler.stop(5)


async def test_a_failing_store_costs_the_oldest_results_and_says_how_many(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    store = FakeStore()
    rig = Rig(store)
    await rig.sampler.start()
    track = rig.sampler.track("api", 15.0)
    store.broken = True
    waiting = KEPT + SPARE
    await rig.pass_time(60 * (waiting + 40), track)
    added = 6 * (waiting + 40)
    assert rig.counts.dropped > 100
    assert caplog.text.count("results are not written") == 1
    assert caplog.text.count("results are dropped from now on") == 1
    store.broken = False
    await rig.pass_time(120, track)
    assert sum(map(len, store.chunks)) + rig.counts.dropped == pytest.approx(added + 12, abs=6)
    assert rig.counts.stored == sum(map(len, store.chunks))
    assert "results are written again" in caplog.text
    await rig.sampler.stop(5)


async def test_a_stop_writes_the_last_of_it_and_a_broken_one_says_what_is_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for broken in (False, True):
        store = FakeStore()
        rig = Rig(store)
        await rig.sampler.start()
        rig.sampler.track("api", 15.0).add(NOON, 0.1, GOOD)
        store.broken = broken
        await rig.sampler.stop(5)
        assert [len(chunk) for chunk in store.chunks] == ([] if broken else [1])
        assert ("results lost" in caplog.text) is broken
    assert store.batches == []


async def test_without_results_wanted_nothing_but_the_daemons_runs_is_kept() -> None:
    store = FakeStore()
    rig = Rig(store, enabled=lambda: False)
    await rig.sampler.start()
    await rig.pass_time(300, rig.sampler.track("api", 15.0))
    assert store.chunks == []
    assert len(store.batches) >= 4, "it is known when the daemon ran"
    await rig.sampler.stop(5)


async def test_writes_are_spread_over_the_minute() -> None:
    store = FakeStore()
    rig = Rig(store)
    await rig.sampler.start()
    tracks = [rig.sampler.track(f"check-{number}", 15.0) for number in range(64 * 60)]
    await rig.pass_time(600, *tracks)
    sizes = [len(batch.chunks) for batch in store.batches[12:] if batch.chunks]
    merges = [len(batch.merge) for batch in store.batches[12:] if batch.merge]
    assert max(sizes) <= 32
    assert max(merges) <= 2
    assert all(len(chunk) <= 512 for chunk in store.chunks)
    await rig.sampler.stop(5)


def moved(component: str, to_state: str, at: float, actor: str | None = None) -> Any:
    return Transition(
        id="1", at=at, component=component, category="check", from_state="closed",  # type: ignore[arg-type]
        to_state=to_state, cause="x", actor=actor, info=None,  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("to_state", "actor", "down"),
    [
        ("open", None, 600.0),
        ("open", "ada", 17.0),
        ("disabled", None, 1.0),
        ("forced_open", "a", 1.0),
    ],
)
async def test_an_open_breaker_is_down_and_one_that_nobody_tries_is_not_known(
    to_state: str, actor: str | None, down: float
) -> None:
    store = FakeStore()
    rig = Rig(store)
    await rig.sampler.start()
    track = rig.sampler.track("api", 15.0)
    track.add(NOON, 5.0, BAD)
    rig.sampler.follow(moved("api", to_state, NOON + 1, actor))
    rig.sampler.follow(moved("unknown", to_state, NOON + 1, actor))
    await rig.pass_time(600)
    await rig.sampler.stop(5)
    found = total(chunk.summary(1) for chunk in store.chunks)
    assert found.up == 0
    assert found.down * TICK == pytest.approx(down, abs=0.1)


async def test_a_breaker_that_was_open_at_the_start_is_down_until_a_run_says_otherwise() -> None:
    store = FakeStore()
    rig = Rig(store)
    await rig.sampler.start()
    track = rig.sampler.track("api", 15.0, down=True)
    await rig.pass_time(300)
    await rig.pass_time(300, track)
    await rig.sampler.stop(5)
    found = total(chunk.summary(1) for chunk in store.chunks)
    assert (found.down * TICK, found.up * TICK) == pytest.approx((300, 300), abs=0.1)
