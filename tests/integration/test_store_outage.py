"""While the store cannot be written checks go on, cbmon says that it is not ready, and all that
happened is written and told when the store is back.

Rule: the same questions as after kills are asked of the database and of the receiver's own log.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.integration.harness import Daemon, Hooks, Targets, eventually
from tests.integration.harness.sinks import Reply
from tests.integration.test_crash import (
    all_closed,
    assert_consistent,
    assert_every_outage_was_told,
    configuration,
    flapping,
    waiting,
)

RunDaemon = Callable[..., Daemon]
Outage = Callable[[Daemon], AbstractContextManager[None]]
UNWRITABLE = "the store cannot be written"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MiB: what a minute of moves and messages takes is some 20."""
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(mount)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("mounting a small file system needs root")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


@contextmanager
def full(daemon: Daemon) -> Iterator[None]:
    """Its disk has no room left."""
    ballast = daemon.data / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            pass
    yield
    ballast.unlink()


@contextmanager
def locked(daemon: Daemon) -> Iterator[None]:
    """Somebody else writes to its database and does not end."""
    path = daemon.data / "cbmon.db"
    with closing(sqlite3.connect(path, isolation_level=None, timeout=20.0)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def runs(daemon: Daemon) -> float:
    return sum(daemon.metrics("cbmon_check_runs_total").values())


def more_runs_than(before: float, daemon: Daemon) -> bool:
    return runs(daemon) > before


def not_ready(daemon: Daemon) -> bool:
    answer = daemon.get("/-/ready")
    return answer.status == 503 and UNWRITABLE in answer.text


def go_on_for(daemon: Daemon, seconds: float) -> None:
    """All that time checks are run and the page answers, and it is not ready."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        eventually(partial(more_runs_than, runs(daemon), daemon), "checks to go on", 5.0)
        assert not_ready(daemon)
        assert daemon.get("/-/healthy").status == 200


SECONDS = [2.0, pytest.param(60.0, marks=[pytest.mark.long, pytest.mark.timeout(300)])]


@pytest.mark.parametrize("seconds", SECONDS)
@pytest.mark.parametrize("outage", [full, locked])
def test_an_outage_of_the_store_loses_and_doubles_nothing(
    small_disk: Path,
    run_daemon: RunDaemon,
    targets: Targets,
    hooks: Hooks,
    outage: Outage,
    seconds: float,
) -> None:
    targets.behave = flapping
    daemon = run_daemon(stored_on(small_disk, targets, hooks), start=False)
    daemon.data = small_disk
    daemon.start()
    eventually(lambda: hooks.ids, "messages", 15.0)
    with outage(daemon):
        eventually(lambda: not_ready(daemon), "it to say that it is not ready", 20.0)
        go_on_for(daemon, seconds)
    daemon.ready()
    assert_all_is_told(daemon, targets, hooks, kills=0)


def test_a_kill_while_the_disk_is_full_leaves_a_whole_story(
    small_disk: Path, run_daemon: RunDaemon, targets: Targets, hooks: Hooks
) -> None:
    targets.behave = flapping
    daemon = run_daemon(stored_on(small_disk, targets, hooks), start=False)
    daemon.data = small_disk
    daemon.start()
    eventually(lambda: hooks.ids, "messages", 15.0)
    with full(daemon):
        eventually(lambda: not_ready(daemon), "it to say that it is not ready", 20.0)
        daemon.kill()
    assert_consistent(daemon)
    daemon.start()
    assert_all_is_told(daemon, targets, hooks, kills=1)


def stored_on(disk: Path, targets: Targets, hooks: Hooks) -> dict[str, Any]:
    return {**configuration(targets, hooks), "storage": {"url": f"sqlite://{disk}/cbmon.db"}}


def assert_all_is_told(daemon: Daemon, targets: Targets, hooks: Hooks, *, kills: int) -> None:
    targets.behave = lambda _: Reply()
    eventually(lambda: all_closed(daemon), "every breaker to close", 30.0)
    eventually(lambda: not waiting(daemon), "every message to be delivered", 60.0)
    assert daemon.stop() == 0
    assert_consistent(daemon)
    assert_every_outage_was_told(daemon, hooks, kills)
