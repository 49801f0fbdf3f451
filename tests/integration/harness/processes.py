"""Processes, free ports and waiting.

Rule: a wait has a deadline and says at its end what was last seen.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import pytest

T = TypeVar("T")

POLL: Final = 0.02
_SETPRIV: Final = shutil.which("setpriv")
DIES_WITH_US: Final = [_SETPRIV, "--pdeathsig", "KILL"] if _SETPRIV else []
"""Put before a command, so that it does not outlive a test run that was killed itself."""
_FIRST_PORT: Final = 11_000
_PROCESSES: Final = 8
"""Into how many parts the ports are split: test processes at once, at most."""
_MORE_PATHS: Final = ("/usr/sbin", "/sbin", "/usr/lib/postgresql/15/bin")


def absent(what: str) -> NoReturn:
    """Skip the test because something real is missing; fail it when CI=true."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


def program(*names: str, package: str) -> str:
    """The path of a program by one of its names, or :func:`absent` naming the package."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *_MORE_PATHS])
    for name in names:
        if (found := shutil.which(name, path=path)) is not None:
            return found
    absent(f"{names[0]} is not installed (Debian: apt-get install {package})")


def slowness() -> float:
    """Factor on deadlines: how many processes there are for each processor, at least 1.

    A test that waits for real processes measures the machine too; alone on it, this is 1.
    """
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on right now, and another one at each call.

    From below the range that the kernel takes ports of outgoing connections from, and from a part
    of it that is this test process's own: nobody takes it until the server under test binds it.
    """
    for port in _PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("the ports never end")


def _ports() -> Iterator[int]:
    first_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    size = (first_outgoing - _FIRST_PORT) // _PROCESSES
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _PROCESSES
    part = range(_FIRST_PORT + worker * size, _FIRST_PORT + (worker + 1) * size)
    start = random.randrange(size)  # another test run beside this one begins elsewhere
    yield from itertools.cycle([*part[start:], *part[:start]])


def eventually(look: Callable[[], T | None], what: str, timeout: float = 10.0) -> T:
    """The first truthy answer of ``look``; fails after ``timeout`` seconds, naming ``what``.

    An OSError or AssertionError of ``look`` counts as not yet, and the last one is shown.
    """
    limit = timeout * slowness()
    deadline = time.monotonic() + limit
    seen: object = None
    while True:
        try:
            seen = look()
        except (OSError, AssertionError) as error:
            seen = error
        else:
            if seen:
                return seen
        if time.monotonic() > deadline:
            pytest.fail(f"waited {limit:.1f} s for {what}; last seen: {seen!r}")
        time.sleep(POLL)


class Process:
    """A program that runs in the background, its output in a file."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        directory: Path,
        *,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.command = [str(word) for word in command]
        self.directory = directory
        self.log_path = directory / f"{name}.log"
        self._environ = dict(environ or {})
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; its output is appended to the log."""
        assert not self.alive, f"{self.name} runs already"
        self.directory.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [*DIES_WITH_US, *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env={**os.environ, **self._environ},
            )

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    def log(self) -> str:
        """Everything it has printed so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, timeout: float = 15.0) -> int:
        """Its exit code; fails when it has not ended by then."""
        assert self._process is not None
        limit = timeout * slowness()
        try:
            return self._process.wait(limit)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{self.name} has not ended after {limit:.1f} s:\n{self.log()}")

    def stop(self, timeout: float = 15.0) -> int:
        """SIGTERM and its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def kill(self) -> None:
        """SIGKILL, and its end awaited."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def clean_up(self) -> None:
        """End it whatever state it is in."""
        if self._process is None or not self.alive:
            return
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5.0)
        self.kill()


def finished(
    command: Sequence[str | Path], *, timeout: float = 30.0, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and return what it printed."""
    return subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        timeout=timeout * slowness(),
        check=False,
        **options,
    )


_PORTS: Final = _ports()
