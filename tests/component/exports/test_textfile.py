"""A reader of the file sees the old one or the new one, whole, and the loop never waits for it."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from pathlib import Path

import pytest

from cbmon.exports import textfile
from cbmon.exports.base import ExportEnvironment
from cbmon.exports.textfile import TextfileExport, TextfileOptions
from cbmon.interfaces import Attempt, Exposition
from cbmon.model import Reason


class Metrics:
    def __init__(self, now: bytes) -> None:
        self.now = now

    def text(self) -> bytes:
        return self.now

    def openmetrics(self) -> bytes:
        raise AssertionError("the collector does not read OpenMetrics")

    async def render(self, *, openmetrics: bool = False) -> bytes:
        return self.openmetrics() if openmetrics else self.text()


UP = b'# HELP cbmon_check_up Up.\n# TYPE cbmon_check_up gauge\ncbmon_check_up{check="a"} 1\n'
OWN = b"# HELP process_open_fds Fds.\n# TYPE process_open_fds gauge\nprocess_open_fds 9\n"


def attempt() -> Attempt:
    return Attempt(asyncio.get_running_loop().time, 5.0)


@pytest.fixture
def metrics() -> Exposition:
    return Metrics(OWN + UP)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cbmon.prom"


def export(path: Path, **options: bool) -> TextfileExport:
    return textfile.build(TextfileOptions(path=path, **options), ExportEnvironment())


async def test_it_writes_what_the_collector_may_read(path: Path, metrics: Exposition) -> None:
    result = await export(path).run(attempt(), metrics)
    assert result.ok
    assert path.read_bytes() == UP
    assert result.facts == {"bytes": len(UP)}


async def test_everyone_may_read_it_whatever_the_umask(path: Path, metrics: Exposition) -> None:
    before = os.umask(0o077)
    try:
        await export(path).run(attempt(), metrics)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize("fsync", [False, True])
async def test_nothing_else_is_left_in_the_directory(
    path: Path, metrics: Exposition, fsync: bool
) -> None:
    for _ in range(3):
        assert (await export(path, fsync=fsync).run(attempt(), metrics)).ok
    assert list(path.parent.iterdir()) == [path]


async def test_the_file_is_replaced_never_written_into(path: Path, metrics: Exposition) -> None:
    path.write_bytes(b"old\n")
    with path.open("rb") as reader:
        await export(path).run(attempt(), metrics)
        assert reader.read() == b"old\n"
    assert path.read_bytes() == UP


async def test_a_link_laid_at_the_temporary_name_is_not_written_through(
    path: Path, metrics: Exposition
) -> None:
    victim = path.parent / "victim"
    victim.write_bytes(b"mine")
    path.with_name(".cbmon.prom.tmp").symlink_to(victim)
    assert (await export(path).run(attempt(), metrics)).ok
    assert victim.read_bytes() == b"mine"
    assert path.read_bytes() == UP


async def test_a_missing_directory_is_the_configurations_fault(
    tmp_path: Path, metrics: Exposition
) -> None:
    path = tmp_path / "gone" / "cbmon.prom"
    result = await export(path).run(attempt(), metrics)
    assert result.reason is Reason.CONFIG
    assert result.error == f"cannot write {path}: No such file or directory"


async def test_a_failed_write_leaves_the_old_file_and_no_other(
    path: Path, metrics: Exposition, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(b"old\n")

    def full(*_: object, **__: object) -> None:
        path.with_name(".cbmon.prom.tmp").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(textfile, "_write_new", full)
    result = await export(path).run(attempt(), metrics)
    assert result.reason is Reason.CONFIG
    assert result.error is not None
    assert result.error.endswith("No space left on device")
    assert path.read_bytes() == b"old\n"
    assert list(path.parent.iterdir()) == [path]


async def test_a_hanging_file_system_holds_up_neither_the_loop_nor_a_second_thread(
    path: Path, metrics: Exposition, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing, release = threading.Event(), threading.Event()

    def hang(*_: object, **__: object) -> None:
        writing.set()
        assert release.wait(10)
        path.with_name(".cbmon.prom.tmp").write_bytes(UP)

    monkeypatch.setattr(textfile, "_write_new", hang)
    subject = export(path)
    first = asyncio.create_task(subject.run(attempt(), metrics))
    assert await asyncio.to_thread(writing.wait, 5)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first

    second = await subject.run(attempt(), metrics)
    assert second.reason is Reason.TIMEOUT
    assert second.error == "the previous write is still going on"

    release.set()
    await subject.close()
    assert path.read_bytes() == UP
    monkeypatch.undo()
    assert (await subject.run(attempt(), metrics)).ok


async def test_the_file_stays_unless_it_is_to_be_deleted(path: Path, metrics: Exposition) -> None:
    kept = export(path)
    await kept.run(attempt(), metrics)
    await kept.close()
    assert path.exists()
    fleeting = export(path, delete_on_close=True)
    await fleeting.run(attempt(), metrics)
    await fleeting.close()
    assert not path.exists()
    await fleeting.close()


async def test_a_directory_that_went_away_does_not_fail_the_stop(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    await export(tmp_path / "file" / "cbmon.prom", delete_on_close=True).close()
    assert "textfile not deleted" in caplog.text


async def test_tens_of_megabytes_leave_the_loop_free(path: Path) -> None:
    series = b"".join(b'cbmon_check_up{check="check-%06d"} 1\n' % n for n in range(10_000))
    metrics = Metrics(OWN + UP + series * 60)
    loop = asyncio.get_running_loop()
    gaps: list[float] = []

    async def watch() -> None:
        while True:
            began = loop.time()
            await asyncio.sleep(0.005)
            gaps.append(loop.time() - began - 0.005)

    watcher = asyncio.create_task(watch())
    try:
        await asyncio.sleep(0.02)
        result = await export(path, fsync=True).run(attempt(), metrics)
    finally:
        watcher.cancel()
    assert result.ok
    assert path.stat().st_size > 20_000_000
    assert max(gaps) < 0.1


@pytest.mark.parametrize(("when_open", "stays"), [("hold", True), ("drop", False)])
async def test_while_the_breaker_is_open_the_file_stays_or_goes_as_it_is_told(
    path: Path, metrics: Exposition, when_open: str, stays: bool
) -> None:
    options = TextfileOptions.model_validate({"path": str(path), "when_open": when_open})
    subject = textfile.build(options, ExportEnvironment())
    await subject.run(attempt(), metrics)
    for _ in range(2):
        await subject.collect(metrics)
    assert path.exists() == stays
    assert (await subject.run(attempt(), metrics)).ok
    assert path.exists()
