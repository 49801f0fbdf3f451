"""Chunks are kept once and summed up once; an answer has them, summed up or not."""

from __future__ import annotations

import random

import pytest
from sqlalchemy import text

from cbmon.interfaces import Store
from cbmon.results.chunks import Chunk
from cbmon.results.store import LEVELS, RAW, Batch, Span
from cbmon.results.summary import GOOD, TICK, Summary, total
from cbmon.results.tracks import Shard, Track

DAY = 86_400.0
NOON = 20_000 * DAY + DAY / 2
BAD = 4


def gathered(begin: float, minutes: int, *, slots: int = 2, shard: int = 0) -> list[Chunk]:
    """Runs every ten seconds; in every tenth minute those of slot 0 fail."""
    its = Shard(shard, begin)
    tracks = [Track(its, slot, 15.0) for slot in range(slots)]
    for number in range(6 * minutes):
        at = begin + 10 * number
        if number % 6 == 0:
            its.turn(at)
        for slot, track in enumerate(tracks):
            bad = slot == 0 and number // 6 % 10 == 9
            track.add(at, 0.02 + 0.001 * slot, BAD if bad else GOOD)
    its.turn(begin + 60 * minutes)
    return its.take()


async def save(store: Store, chunks: list[Chunk], *, merge: bool = True, **more: object) -> None:
    shards = sorted({chunk.shard for chunk in chunks}) if merge else ()
    await store.results.save(
        Batch(now=NOON, run=1, chunks=chunks, merge=shards, **more)  # type: ignore[arg-type]
    )


async def test_runs_come_back_as_they_were(store: Store) -> None:
    await save(store, gathered(NOON, 3))
    found = await store.results.samples(0, NOON, NOON + 180, 1000)
    assert [one.at for one in found] == pytest.approx([NOON + 10 * n for n in range(18)], abs=TICK)
    assert {one.ok for one in found} == {True}
    assert [one.seconds for one in found] == pytest.approx([0.02] * 18, rel=0.001)
    assert await store.results.samples(0, NOON + 175, NOON + 180, 10) == []
    assert len(await store.results.samples(0, NOON, NOON + 180, 5)) == 5
    assert await store.results.samples(7, NOON, NOON + 180, 10) == []


@pytest.mark.parametrize("width", [60, 300, 900, 3600, 86_400])
@pytest.mark.parametrize("merge", [True, False])
async def test_columns_of_every_width_hold_every_run_summed_up_or_not(
    store: Store, width: int, merge: bool
) -> None:
    chunks = gathered(NOON - 3600, 120)
    await save(store, chunks[:-3], merge=merge)
    await save(store, chunks[-3:], merge=False)
    found = await store.results.series(0, width, NOON - 3600, NOON + 3600)
    whole = total(found.values())
    assert (whole.runs, whole.failures) == (720, 72)
    assert all(at % width == 0 for at in found)
    assert list(found) == sorted(found)
    assert whole.up * TICK == pytest.approx(108 * 60, abs=2)
    assert whole.down * TICK == pytest.approx(12 * 60, abs=2)


async def test_every_level_adds_up_to_the_same(store: Store) -> None:
    chunks = gathered(NOON - 7 * 3600 - 130, 8 * 60)
    shuffled = chunks[:]
    random.Random(3).shuffle(shuffled)
    for place in range(0, len(shuffled), 7):
        await save(store, shuffled[place : place + 7])
    whole = total(chunk.summary(1) for chunk in chunks)
    for level in LEVELS:
        found = total((await store.results.series(1, level, NOON - DAY, NOON + DAY)).values())
        assert (found.runs, found.up, found.down) == (whole.runs, whole.up, whole.down)
        assert found.steps == whole.steps


async def test_what_is_saved_again_is_not_counted_again(store: Store) -> None:
    chunks = gathered(NOON, 10)
    for _ in range(3):
        await save(store, chunks)
    found = await store.results.series(0, 3600, NOON, NOON + 3600)
    assert total(found.values()).runs == 60
    assert len(await store.results.samples(0, NOON, NOON + 3600, 1000)) == 60


async def test_chunks_that_were_not_summed_up_before_a_crash_are_after_it(store: Store) -> None:
    chunks = gathered(NOON, 10)
    await save(store, chunks, merge=False)
    await store.results.save(Batch(now=NOON, run=2, merge=[0]))
    found = await store.results.series(0, 300, NOON, NOON + 600)
    assert [its.runs for its in found.values()] == [30, 30]


async def test_days_are_told_of_many_at_once(store: Store) -> None:
    for day in (0, 1, 3):
        await save(store, gathered(NOON + day * DAY, 20) + gathered(NOON + day * DAY, 20, shard=2))
    await save(store, gathered(NOON + 4 * DAY, 20), merge=False)
    numbers = [0, 1, 128, 5]
    found = await store.results.days(numbers, NOON + DAY)
    midnight = NOON - DAY / 2
    assert sorted(found[0]) == [midnight + day * DAY for day in (1, 3, 4)]
    assert sorted(found[128]) == [midnight + day * DAY for day in (1, 3)]
    assert found[5] == {}
    assert found[0][midnight + DAY].uptime == pytest.approx(0.9, abs=0.01)
    assert found[1][midnight + DAY].uptime == 1


async def test_each_level_goes_when_its_time_is_over(store: Store) -> None:
    await save(store, gathered(NOON - 2 * DAY, 60), names={"a": 0, "b": 1})
    await save(store, gathered(NOON - 3600, 60))
    before = {RAW: NOON - 6 * 3600, 300: NOON - DAY, 3600: NOON - DAY, 86_400: NOON - 30 * DAY}
    assert await store.results.prune(before) > 0
    early = (NOON - 3 * DAY, NOON - DAY)
    assert await store.results.samples(0, *early, 1000) == []
    assert await store.results.series(0, 300, *early) == {}
    assert await store.results.series(0, 3600, *early) == {}
    assert total((await store.results.series(0, 86_400, *early)).values()).runs == 360
    assert len(await store.results.samples(0, NOON - 3600, NOON, 1000)) == 360
    assert await store.results.prune(before) == 0


async def test_a_component_that_is_gone_is_known_as_long_as_its_days(store: Store) -> None:
    opened = await store.results.begin(NOON)
    assert (opened.run, opened.names, opened.before) == (1, {}, None)
    await save(store, gathered(NOON, 10), names={"a": 0, "b": 1}, gone=[1])
    opened = await store.results.begin(NOON + 60)
    assert opened.names == {"a": 0, "b": 1}
    assert list(opened.absent) == [1]
    levels = {RAW: NOON, 300: NOON, 3600: NOON, 86_400: NOON + 1}
    await store.results.prune(levels)
    assert (await store.results.begin(NOON)).names == {"a": 0, "b": 1}, "not before its days"
    await store.results.prune(dict.fromkeys(levels, NOON + DAY))
    assert (await store.results.begin(NOON)).names == {"a": 0}


async def test_it_is_known_when_a_daemon_ran_and_how_it_ended(store: Store) -> None:
    first = await store.results.begin(NOON)
    await store.results.save(Batch(now=NOON + 60, run=first.run))
    second = await store.results.begin(NOON + 600)
    assert (second.before, second.orderly) == (Span(NOON, NOON + 60), False)
    await store.results.save(Batch(now=NOON + 700, run=second.run, orderly=True))
    third = await store.results.begin(NOON + 800)
    assert (third.before, third.orderly) == (Span(NOON + 600, NOON + 700), True)
    spans = await store.results.spans(NOON + 100)
    assert spans == [Span(NOON + 600, NOON + 700), Span(NOON + 800, NOON + 800)]


async def test_of_a_daemon_that_starts_again_and_again_only_the_last_runs_are_kept(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cbmon.store.results.KEPT_RUNS", 3)
    for number in range(5):
        await store.results.begin(NOON + number)
    assert [span.begin - NOON for span in await store.results.spans(0)] == [2, 3, 4]


async def test_a_row_that_cannot_be_read_costs_only_itself(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    await save(store, gathered(NOON, 10))
    backend = store._backend  # type: ignore[attr-defined]
    with backend.writing(durable=True) as connection:
        rows = connection.execute(
            text("SELECT id FROM results WHERE level IN (0, 300) ORDER BY id")
        )
        broken = [row.id for row in rows][:1]
        change = text("UPDATE results SET data = :data WHERE id = :id OR level = 3600")
        connection.execute(change, {"data": b"\x01rubbish", "id": broken[0]})
    assert 0 < len(await store.results.samples(0, NOON, NOON + 600, 100)) < 60
    assert await store.results.series(0, 3600, NOON, NOON + 600) == {}
    await save(store, gathered(NOON + 600, 5))
    found = await store.results.series(0, 3600, NOON, NOON + 3600)
    assert [its.runs for its in found.values()] == [30], (
        "what comes later is summed up all the same"
    )
    assert "results lost" in caplog.text


def test_an_empty_summary_is_nothing() -> None:
    assert total([]) == Summary()
