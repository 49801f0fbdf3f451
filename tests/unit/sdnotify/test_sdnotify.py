"""The service manager is told what happens, and is never in the way."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cbmon.sdnotify import Notifier


class Manager:
    """The other end of the line: what a service manager would have read."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(1.0)

    def read(self) -> list[str]:
        return self.socket.recv(4096).decode().split("\n")


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    end = Manager(str(tmp_path / "notify"))
    yield end
    end.socket.close()


@pytest.fixture
def notifier(tmp_path: Path, manager: Manager) -> Notifier:
    return Notifier(str(tmp_path / "notify"))


def test_ready_says_so_with_its_status(manager: Manager, notifier: Notifier) -> None:
    assert notifier.ready("12 checks") is True
    assert manager.read() == ["READY=1", "STATUS=12 checks"]


def test_a_reload_carries_the_monotonic_time_it_began_at(
    manager: Manager, notifier: Notifier
) -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert notifier.reloading()
    head, stamp = manager.read()
    assert head == "RELOADING=1"
    name, value = stamp.split("=")
    assert name == "MONOTONIC_USEC"
    assert before <= int(value) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def test_stopping_watchdog_and_more_time_are_one_assignment_each(
    manager: Manager, notifier: Notifier
) -> None:
    assert notifier.stopping()
    assert manager.read() == ["STOPPING=1"]
    assert notifier.watchdog()
    assert manager.read() == ["WATCHDOG=1"]
    assert notifier.extend_timeout(1.5)
    assert manager.read() == ["EXTEND_TIMEOUT_USEC=1500000"]


def test_a_status_cannot_smuggle_a_second_assignment(manager: Manager, notifier: Notifier) -> None:
    assert notifier.status("degraded\nREADY=1")
    assert manager.read() == ["STATUS=degraded READY=1"]


def test_an_empty_status_sends_nothing(notifier: Notifier) -> None:
    assert notifier.status(" \n") is False


def test_an_abstract_socket_is_reached() -> None:
    name = f"cbmon-test-{os.getpid()}"
    manager = Manager("\0" + name)
    try:
        assert Notifier(f"@{name}").ready()
        assert manager.read() == ["READY=1"]
    finally:
        manager.socket.close()


def test_without_a_service_manager_every_call_does_nothing() -> None:
    notifier = Notifier.from_environment({})
    assert notifier.listened is False
    assert notifier.ready() is False
    assert notifier.watchdog() is False
    assert notifier.watchdog_interval is None


def test_a_socket_that_is_gone_raises_nothing(tmp_path: Path) -> None:
    assert Notifier(str(tmp_path / "nobody")).ready() is False


def test_a_full_socket_gives_up_after_half_a_second(manager: Manager, notifier: Notifier) -> None:
    sent = 0
    began = time.monotonic()
    while notifier.watchdog():
        sent += 1
        assert sent < 100_000, "the socket never filled"
    assert time.monotonic() - began < 5.0


@pytest.mark.parametrize(
    ("environ", "interval"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_fed_twice_per_period_if_it_watches_this_process(
    environ: dict[str, str], interval: float | None
) -> None:
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": "/run/notify", **environ})
    assert notifier.watchdog_interval == interval


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "notify", "~"])
def test_an_address_it_does_not_know_is_nobody(address: str) -> None:
    assert Notifier.from_environment({"NOTIFY_SOCKET": address}).listened is False
