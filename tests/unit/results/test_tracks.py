"""A result stands until the next one, but not over a time in which nobody looked."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon.results import chunks
from cbmon.results.chunks import LONGEST, SHARD, Chunk
from cbmon.results.store import LEVELS
from cbmon.results.summary import GOOD, TICK, Summary, total
from cbmon.results.tracks import BLIND, BUCKET, FULL, Shard, Track

NOON = 1_800_000_000.0 - 1_800_000_000.0 % 86_400 + 43_200
BAD = 4


def summed(found: list[Chunk], slot: int = 0) -> Summary:
    return total(chunk.summary(slot) for chunk in found)


def known(found: list[Chunk], slot: int = 0) -> tuple[float, float]:
    """Seconds up and down."""
    its = summed(found, slot)
    return round(its.up * TICK, 1), round(its.down * TICK, 1)


def watched(shard: Shard, track: Track, *, begin: float, end: float, every: float = 10.0) -> None:
    """Good runs, and a turn every minute as the sampler makes them."""
    at = begin
    while at < end:
        if (at - begin) % 60 == 0:
            shard.turn(at)
        track.add(at, 0.1, GOOD)
        at += every


def test_a_good_result_counts_as_up_until_the_next_one() -> None:
    shard = Shard(0, NOON)
    track = Track(shard, 0, 15.0)
    for second in (0, 10, 20):
        track.add(NOON + second, 0.1, GOOD)
    track.add(NOON + 30, 5.0, BAD)
    track.add(NOON + 40, 0.1, GOOD)
    shard.turn(NOON + 45)
    assert known(shard.take()) == (35.0, 10.0)


def test_without_a_next_one_it_counts_until_that_should_have_been_there() -> None:
    shard = Shard(0, NOON)
    track = Track(shard, 0, 15.0)
    track.add(NOON, 0.1, GOOD)
    shard.turn(NOON + 60)
    shard.turn(NOON + 120)
    track.add(NOON + 130, 0.1, GOOD)
    shard.turn(NOON + 140)
    assert known(shard.take()) == (27.0, 0.0)


def test_a_failure_stands_while_an_open_breaker_keeps_runs_off() -> None:
    shard = Shard(0, NOON)
    track = Track(shard, 0, 15.0)
    track.add(NOON, 0.1, BAD)
    track.hold()
    for minute in range(1, 11):
        shard.turn(NOON + 60 * minute)
    track.add(NOON + 605, 0.1, GOOD)
    shard.turn(NOON + 610)
    assert known(shard.take()) == (5.0, 605.0)


def test_a_good_result_does_not_stand_while_nobody_looks() -> None:
    shard = Shard(0, NOON)
    track = Track(shard, 0, 15.0)
    track.add(NOON, 0.1, GOOD)
    track.hold()
    shard.turn(NOON + 60)
    assert known(shard.take()) == (17.0, 0.0)


def test_what_is_out_of_service_is_not_known() -> None:
    shard = Shard(0, NOON)
    track = Track(shard, 0, 15.0)
    track.add(NOON, 0.1, BAD)
    track.hold()
    shard.turn(NOON + 60)
    track.leave(NOON + 90)
    shard.turn(NOON + 120)
    shard.turn(NOON + 180)
    assert known(shard.take()) == (0.0, 90.0)


def test_what_is_open_since_before_the_start_is_down_from_the_start_on() -> None:
    shard = Shard(0, NOON)
    track = Track(shard, 0, 15.0)
    track.hold(NOON + 5)
    shard.turn(NOON + 60)
    assert known(shard.take()) == (0.0, 55.0)


def test_a_process_that_stood_still_knows_nothing_of_that_time() -> None:
    shard = Shard(0, NOON)
    track = Track(shard, 0, inf)
    track.add(NOON, 0.1, BAD)
    shard.turn(NOON + 60)
    shard.turn(NOON + 60 + 7200)
    shard.turn(NOON + 60 + 7260)
    up, down = known(shard.take())
    assert up == 0
    assert 60 <= down <= 60 + BLIND + 60


def test_a_chunk_never_reaches_over_a_border_of_five_minutes() -> None:
    shard = Shard(0, NOON - 130)
    track = Track(shard, 0, 15.0)
    watched(shard, track, begin=NOON - 130, end=NOON + 130)
    shard.turn(NOON + 130)
    found = shard.take()
    assert all(chunk.begin // BUCKET == (chunk.end - TICK) // BUCKET for chunk in found)
    assert known(found) == (260.0, 0.0)
    before = [chunk for chunk in found if chunk.begin < NOON]
    assert known(before) == (130.0, 0.0)


def test_midnight_in_utc_parts_the_days_whatever_the_zone_does() -> None:
    # 2026-10-25T00:00Z: the night in which Europe sets its clocks back at 01:00Z.
    midnight = 1_792_886_400.0
    shard = Shard(0, midnight - 3600)
    track = Track(shard, 0, 15.0)
    watched(shard, track, begin=midnight - 3600, end=midnight + 3 * 3600)
    shard.turn(midnight + 3 * 3600)
    found = shard.take()
    day = LEVELS[-1]
    by_day = {
        at: [c for c in found if c.begin // day == at] for at in {c.begin // day for c in found}
    }
    assert {at * day - midnight: known(its)[0] for at, its in by_day.items()} == {
        -day: 3600.0, 0.0: 3 * 3600.0
    }  # fmt: skip


@pytest.mark.parametrize("step", [-3600.0, -7.0, 3600.0, 100_000.0])
def test_a_clock_that_is_set_adds_no_time(step: float) -> None:
    shard = Shard(0, NOON)
    track = Track(shard, 0, 15.0)
    watched(shard, track, begin=NOON, end=NOON + 60)
    watched(shard, track, begin=NOON + 60 + step, end=NOON + 120 + step)
    shard.turn(NOON + 120 + step)
    found = shard.take()
    assert summed(found).runs == 12
    up, down = known(found)
    assert down == 0
    assert 100 <= up <= 137


def test_many_runs_in_a_short_time_make_another_chunk() -> None:
    shard = Shard(0, NOON)
    track = Track(shard, 0, 15.0)
    for number in range(FULL + 10):
        track.add(NOON + number / 100, 0.1, GOOD)
    assert [len(chunk) for chunk in shard.take()] == [FULL]
    assert len(shard.chunk) == 10


def test_a_component_that_is_gone_leaves_no_trace_in_later_chunks() -> None:
    shard = Shard(0, NOON)
    track, other = Track(shard, 0, inf), Track(shard, 1, 15.0)
    track.add(NOON, 0.1, BAD)
    other.add(NOON, 0.1, GOOD)
    shard.turn(NOON + 10)
    track.close()
    shard.turn(NOON + 20)
    found = shard.take()
    assert known(found, 0) == (0.0, 10.0)
    assert known(found, 1) == (17.0, 0.0)


steps = st.lists(
    st.tuples(
        st.floats(0.0, 45.0), st.integers(0, 3), st.sampled_from([GOOD, GOOD, BAD]),
        st.floats(0, 90_000),
    ),
    max_size=80,
)  # fmt: skip


@given(steps, st.floats(0, 86_400))
def test_every_run_is_in_one_chunk_and_no_time_counts_twice(
    happened: list[tuple[float, int, int, float]], offset: float
) -> None:
    now = NOON + offset
    shard = Shard(0, now)
    tracks = [Track(shard, slot, 28.0) for slot in range(4)]
    added: dict[int, list[float]] = {slot: [] for slot in range(4)}
    begun = turned = now
    for wait, slot, verdict, seconds in happened:
        now += wait
        if now - turned >= 60:
            shard.turn(now)
            turned = now
        tracks[slot].add(now, seconds, verdict)
        added[slot].append(now)
    shard.turn(now)
    found = [chunks.unpacked(0, chunks.packed(chunk)) for chunk in shard.take()]
    for slot, moments in added.items():
        its = sorted(one for chunk in found for one in chunk.of(slot))
        assert [one.at for one in its] == pytest.approx(moments, abs=2 * TICK)
        assert summed(found, slot).runs == len(moments)
        up, down = known(found, slot)
        most = (
            sum(
                min(30.0, after - at)
                for at, after in zip(moments, [*moments[1:], now], strict=True)
            )
            if moments
            else 0.0
        )
        assert up + down <= now - begun + 1
        assert up + down == pytest.approx(most, abs=0.02 * (len(found) + len(moments)) + 0.1)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_chunk_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="results"):
        chunks.unpacked(0, data)


def test_a_duration_is_kept_to_a_thousandth_and_a_monstrous_one_as_the_longest() -> None:
    chunk = Chunk(0, NOON, NOON + 60)
    for slot, seconds in enumerate((0.0234, 1e6, -1.0)):
        chunk.slots.append(slot)
        chunk.steps.append(1)
        chunk.seconds.append(seconds)
        chunk.verdicts.append(GOOD)
    found = chunks.unpacked(0, chunks.packed(chunk))
    assert list(found.seconds) == pytest.approx([0.0234, LONGEST, 0.0], rel=0.001)
    assert len(found.up) == SHARD
