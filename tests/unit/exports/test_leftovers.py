"""Spools of exports that are gone are deleted after a day; nothing else ever is."""

from __future__ import annotations

from pathlib import Path

import pytest

from cbmon.exports.base import ExportEnvironment
from cbmon.exports.batch import Batch, Folder
from cbmon.exports.leftovers import KEPT, sweep
from cbmon.testing import ManualClock

NOW = 1_767_225_600.0


def spool(path: Path, *, age: float) -> Path:
    path.mkdir(parents=True)
    Folder(path).lay(Batch(at=int((NOW - age) * 1000), part=0, samples=3, body=b"x"))
    return path


@pytest.mark.parametrize(
    ("age", "kept"), [(0.0, True), (KEPT - 1.0, True), (KEPT + 1.0, False), (30 * KEPT, False)]
)
def test_a_spool_that_nobody_uses_is_kept_for_a_day(tmp_path: Path, age: float, kept: bool) -> None:
    old = spool(tmp_path / "gone-00000001", age=age)
    assert sweep([tmp_path], [], NOW) == ([] if kept else [old])
    assert old.exists() is kept


def test_its_newest_sample_counts_and_what_is_half_written_goes_too(tmp_path: Path) -> None:
    both = spool(tmp_path / "a-00000002", age=2 * KEPT)
    Folder(both).lay(Batch(at=int(NOW * 1000), part=0, samples=1, body=b"y"))
    (both / "x.part").write_bytes(b"")
    assert sweep([tmp_path], [], NOW) == []
    assert sweep([tmp_path], [], NOW + 2 * KEPT) == [both]


def test_what_is_used_or_is_no_spool_is_left_alone(tmp_path: Path) -> None:
    used = spool(tmp_path / "used-00000003", age=2 * KEPT)
    mixed = spool(tmp_path / "mixed-00000004", age=2 * KEPT)
    (mixed / "diary.txt").write_text("dear diary")
    away = spool(tmp_path.parent / f"{tmp_path.name}-away", age=2 * KEPT)
    (tmp_path / "link-00000005").symlink_to(away)
    (tmp_path / "file-00000006").write_text("")
    (tmp_path / "somebody's").mkdir()
    assert sweep([tmp_path, tmp_path / "missing"], [used], NOW) == []
    assert used.exists()
    assert mixed.exists()
    assert list(away.iterdir())
    assert (tmp_path / "somebody's").exists()


async def test_an_environment_sweeps_where_its_exports_have_their_spools(tmp_path: Path) -> None:
    environment = ExportEnvironment(clock=ManualClock(wall=NOW), data=tmp_path / "data")
    elsewhere = tmp_path / "elsewhere"
    paths = [
        environment.spool_of(name, directory)
        for name in ("stays", 'gone "{}\\ ä')
        for directory in (None, elsewhere)
    ]
    for path in paths:
        assert path is not None
        spool(path, age=2 * KEPT)
    await environment.sweep(["stays"])
    assert [path is not None and path.exists() for path in paths] == [True, True, False, False]
