"""What is packed comes out as it was, and what repeats itself becomes small."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon.exports.snappy import FARTHEST, Snappy
from tests.unit.exports.unsnappy import unsnappy

pieces = st.lists(
    st.tuples(st.booleans(), st.one_of(st.binary(min_size=4), st.sampled_from([b"abcd" * 40]))),
    max_size=40,
)


@given(pieces)
def test_every_sequence_of_pieces_comes_out_whole(parts: list[tuple[bool, bytes]]) -> None:
    block = Snappy()
    for again, piece in parts:
        (block.again if again else block.once)(piece)
    assert unsnappy(block.finish()) == b"".join(piece for _, piece in parts)


def test_a_piece_that_came_before_takes_three_bytes() -> None:
    block = Snappy()
    for _ in range(1000):
        block.again(b"a label of some length")
    assert len(block.finish()) < 1000 * 3 + 30


@pytest.mark.parametrize(("offset", "written"), [(FARTHEST, 1), (FARTHEST + 1, 2)])
def test_a_piece_too_far_back_is_written_again(offset: int, written: int) -> None:
    block = Snappy()
    block.again(b"label")
    block.once(bytes(offset - 5))
    block.again(b"label")
    made = block.finish()
    assert made.count(b"label") == written
    assert unsnappy(made) == b"label" + bytes(offset - 5) + b"label"


def test_pieces_that_follow_each_other_there_as_here_are_one_copy() -> None:
    block = Snappy()
    for _ in range(2):
        for piece in (b"one label", b"another", b"third"):
            block.again(piece)
    assert len(block.finish()) == 1 + 1 + 21 + 3


def test_literals_of_every_length_of_length_come_out() -> None:
    for size in (1, 59, 60, 61, 255, 256, 257, 65535, 65536, 70000):
        block = Snappy()
        block.once(bytes(size))
        assert unsnappy(block.finish()) == bytes(size)
