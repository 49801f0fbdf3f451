"""What waits comes out in order, survives its process, and is bounded."""

from __future__ import annotations

from pathlib import Path

import pytest

from cbmon.exports.batch import MAGIC, Batch, Folder, Memory, Queue, Shelf


def batch(at: int, part: int = 0, size: int = 100) -> Batch:
    return Batch(at, part, 10, bytes([at % 256]) * size)


@pytest.fixture(params=["memory", "folder"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    return Memory() if request.param == "memory" else Folder(tmp_path / "a" / "b")


def drained(queue: Queue) -> list[tuple[int, int]]:
    found = []
    while (head := queue.head()[0]) is not None:
        found.append((head.at, head.part))
        queue.pop()
    return found


def test_first_in_is_first_out(shelf: Shelf) -> None:
    queue = Queue(shelf, 1 << 20)
    for one in (batch(1), batch(1, 5), batch(2)):
        assert queue.put(one) == 0
    assert (len(queue), queue.bytes, queue.oldest) == (3, 300, 1)
    assert drained(queue) == [(1, 0), (1, 5), (2, 0)]
    assert (len(queue), queue.bytes, queue.oldest) == (0, 0, None)


def test_what_does_not_fit_pushes_out_the_oldest(shelf: Shelf) -> None:
    queue = Queue(shelf, 250)
    assert [queue.put(batch(at)) for at in (1, 2, 3)] == [0, 0, 10]
    assert drained(queue) == [(2, 0), (3, 0)]


def test_what_just_fits_stays(shelf: Shelf) -> None:
    queue = Queue(shelf, 200)
    assert [queue.put(batch(at)) for at in (1, 2)] == [0, 0]


def test_what_is_too_old_goes(shelf: Shelf) -> None:
    queue = Queue(shelf, 1 << 20)
    for at in (1, 2, 3):
        queue.put(batch(at))
    assert queue.expire(3) == 20
    assert drained(queue) == [(3, 0)]


def test_another_process_goes_on_where_this_one_stopped(tmp_path: Path) -> None:
    first = Queue(Folder(tmp_path), 1 << 20)
    for at in (1, 2, 3):
        first.put(batch(at))
    first.pop()
    second = Queue(Folder(tmp_path), 1 << 20)
    head, _ = second.head()
    assert head == batch(2)
    assert second.bytes == 200
    assert drained(second) == [(2, 0), (3, 0)]
    assert list(tmp_path.iterdir()) == []


def test_damaged_files_are_passed_over_and_counted(tmp_path: Path) -> None:
    queue = Queue(Folder(tmp_path), 1 << 20)
    for at in (1, 2, 3, 4):
        queue.put(batch(at))
    files = sorted(tmp_path.iterdir())
    files[0].write_bytes(b"")
    files[1].write_bytes(MAGIC + b"1234 something else")
    files[2].unlink()
    head, damaged = Queue(Folder(tmp_path), 1 << 20).head()
    assert (head, damaged) == (batch(4), 20)


def test_what_a_kill_left_half_written_is_tidied_up(tmp_path: Path) -> None:
    (tmp_path / "000000000000001-000000-10.part").write_bytes(b"half")
    (tmp_path / "README").write_text("not ours")
    assert Queue(Folder(tmp_path), 1).head() == (None, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["README"]
