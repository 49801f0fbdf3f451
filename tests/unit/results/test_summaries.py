"""Summaries add up: the sum of the parts is the whole, in any order and over any gaps."""

from __future__ import annotations

import itertools
import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon.model import Reason
from cbmon.results import chunks, summary
from cbmon.results.summary import GOOD, NUMBER_OF, REASONS, Summary, middle_of, step_of, total

halves = st.floats(0, 60_000, width=16)
verdicts = st.one_of(st.just(GOOD), st.sampled_from(sorted(NUMBER_OF.values())))
runs = st.lists(st.tuples(verdicts, halves), max_size=40)
spans = st.tuples(st.integers(0, 30_000), st.integers(0, 30_000))


def of(given_runs: list[tuple[int, float]], up: int = 0, down: int = 0) -> Summary:
    found = Summary(up=up, down=down)
    for verdict, seconds in given_runs:
        found.add(verdict, seconds)
    return found


@given(runs, st.lists(st.integers(0, 40), max_size=5), st.randoms())
def test_the_sum_of_the_parts_is_the_whole_in_any_order(
    all_runs: list[tuple[int, float]], cuts: list[int], shuffle: random.Random
) -> None:
    borders = [0, *sorted(min(cut, len(all_runs)) for cut in cuts), len(all_runs)]
    parts = [of(all_runs[begin:end]) for begin, end in itertools.pairwise(borders)]
    shuffle.shuffle(parts)
    assert total(parts) == of(all_runs)


@given(st.lists(st.tuples(runs, spans), max_size=6))
def test_sums_of_sums_are_the_sum(
    parts: list[tuple[list[tuple[int, float]], tuple[int, int]]],
) -> None:
    each = [of(its, *span) for its, span in parts]
    pairs = [total(each[place : place + 2]) for place in range(0, len(each), 2)]
    assert total(pairs) == total(each)
    assert total(reversed(each)) == total(each)


@given(st.dictionaries(st.integers(0, 63), st.tuples(runs, spans), max_size=8))
def test_what_is_unpacked_is_what_was_packed(
    parts: dict[int, tuple[list[tuple[int, float]], tuple[int, int]]],
) -> None:
    whole = {slot: of(its, *span) for slot, (its, span) in parts.items()}
    data = chunks.squeezed(whole)
    assert chunks.expanded(data) == whole
    some = [*list(whole)[:2], 63]
    assert chunks.expanded(data, some) == {slot: whole[slot] for slot in some if slot in whole}


@given(runs)
def test_many_at_once_are_the_same_as_one_by_one(all_runs: list[tuple[int, float]]) -> None:
    assert Summary.of([(seconds, verdict) for verdict, seconds in all_runs]) == of(all_runs)


@given(st.floats(summary.LEAST, 100_000))
def test_the_middle_of_a_step_is_at_most_a_twentieth_off(seconds: float) -> None:
    assert middle_of(step_of(seconds)) == pytest.approx(seconds, rel=0.05)


@given(st.lists(st.floats(2**-13, 100, width=16), min_size=1, max_size=60), st.floats(0, 1))
def test_a_quantile_is_near_the_run_of_that_rank(times: list[float], share: float) -> None:
    found = of([(GOOD, each) for each in times]).quantile(share)
    near = sorted(times)
    rank = max(0, min(len(near) - 1, int(share * len(near) + 1e-6)))
    around = (near[max(0, rank - 1)], near[rank])
    assert found is not None
    assert around[0] * 0.95 <= found <= around[1] * 1.05


def test_failures_are_counted_by_their_reason_and_say_nothing_of_how_fast_it_is() -> None:
    found = of([(GOOD, 0.25), (NUMBER_OF[Reason.CONNECT], 0.001), (NUMBER_OF[Reason.TIMEOUT], 5.0)])
    assert (found.runs, found.failures) == (3, 2)
    assert found.failed_for() == {"connect": 1, "timeout": 1}
    assert (found.least, found.most, found.mean) == (0.25, 0.25, 0.25)
    assert of([(NUMBER_OF[Reason.DNS], 0.1)]).quantile(0.5) is None


def test_uptime_is_the_part_that_was_up_of_the_time_that_is_known() -> None:
    assert Summary().uptime is None
    assert Summary(runs=3).uptime is None, "runs alone are no time"
    assert Summary(up=3000, down=1000).uptime == 0.75
    assert Summary(up=3000, down=1000).known_seconds == 40.0


def test_the_numbers_of_reasons_stay_what_they_are_in_every_database() -> None:
    assert [reason.value for reason in REASONS] == [
        "dns", "connect", "tls", "timeout", "protocol", "status", "header", "body", "size",
        "redirect", "latency", "certificate", "auth", "policy", "dependency", "config", "internal",
    ]  # fmt: skip
    assert summary.word_of(200) == "internal", "one that a newer version wrote"


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x02rest", b"\x01not zlib"])
def test_what_is_no_summary_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="summaries"):
        chunks.expanded(data)


def test_a_half_float_holds_a_duration_to_a_thousandth() -> None:
    for seconds in (0.000123, 0.0234, 1.23, 29.99, 59_999.0):
        held = struct.unpack("<e", struct.pack("<e", seconds))[0]
        assert held == pytest.approx(seconds, rel=0.001)
