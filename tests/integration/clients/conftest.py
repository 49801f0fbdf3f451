"""Real servers for the clients' tests: Redis and PostgreSQL that can be stopped and paused.

Rule: each module has its own servers, ended by their process ids; a paused one is woken first.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from cbmon import CircuitBreaker
from tests.integration.harness import Process, eventually, free_port, program
from tests.integration.harness.processes import absent, slowness
from tests.integration.probes.conftest import given_to, homes


class Redis:
    """A Redis without persistence, on a port that it keeps."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.port = free_port()
        binary = program("redis-server", package="redis-server")
        command = [
            binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
            "--appendonly", "no", "--dir", str(directory), "--maxclients", "200",
            *options,
        ]  # fmt: skip
        self.process = Process("redis", command, directory)

    def start(self) -> None:
        self.process.start()
        eventually(lambda: listens(self.port), "Redis to listen", 10)

    def stop(self) -> None:
        self.process.kill()

    def pause(self) -> None:
        self.process.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.signal(signal.SIGCONT)

    def end(self) -> None:
        if self.process.alive:
            self.resume()
        self.process.clean_up()


class Postgres:
    """A throw-away cluster with the database ``shop``, on a port that it keeps."""

    def __init__(self, home: Path, owner: str | None) -> None:
        binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if not binaries:
            absent("PostgreSQL is not installed (Debian: apt-get install postgresql)")
        self.tool, self.home, self.owner = binaries[-1].parent, home, owner
        self.port = free_port()
        self.data = home / "data"
        given_to(owner, home)
        self.run("initdb", "-D", str(self.data), "-U", "shop", "--locale=C.UTF-8", "-A", "trust")

    @property
    def dsn(self) -> str:
        return f"postgresql://shop@127.0.0.1:{self.port}/shop"

    def run(self, name: str, *arguments: str, check: bool = True) -> None:
        subprocess.run(
            [str(self.tool / name), *arguments], check=check, user=self.owner, cwd=self.home,
            capture_output=True, timeout=60 * slowness(),
        )  # fmt: skip

    def control(self, *arguments: str, check: bool = True) -> None:
        self.run("pg_ctl", "-D", str(self.data), "-w", *arguments, check=check)

    def start(self) -> None:
        options = (
            f"-c listen_addresses=127.0.0.1 -p {self.port} -k {self.home} -c fsync=off "
            "-c max_connections=40"
        )
        self.control("-l", str(self.home / "log"), "-o", options, "start")

    def create(self) -> None:
        self.run("createdb", "-h", str(self.home), "-p", str(self.port), "-U", "shop", "shop")

    def stop(self) -> None:
        self.control("-m", "immediate", "stop")

    def pids(self) -> list[int]:
        master = int((self.data / "postmaster.pid").read_text().split()[0])
        found = [master]
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(path.read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent == master:
                found.append(int(path.parent.name))
        return found

    def pause(self) -> None:
        for pid in self.pids():
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        for pid in reversed(self.pids()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def end(self) -> None:
        if (self.data / "postmaster.pid").exists():
            self.resume()
            self.control("-m", "immediate", "stop", check=False)


def listens(port: int) -> bool:
    socket.create_connection(("127.0.0.1", port), 1).close()
    return True


@pytest.fixture(scope="module")
def running_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    server = Redis(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.end()


@pytest.fixture
def redis_server(running_redis: Redis) -> Redis:
    """It runs at the beginning of a test, whatever the one before did."""
    if running_redis.process.alive:
        running_redis.resume()
    else:
        running_redis.start()
    return running_redis


@pytest.fixture(scope="module")
def running_postgres() -> Iterator[Postgres]:
    with homes("postgres") as (home, owner):
        server = Postgres(home, owner)
        server.start()
        try:
            server.create()
            yield server
        finally:
            server.end()


@pytest.fixture
def postgres_server(running_postgres: Postgres) -> Postgres:
    """It runs at the beginning of a test, whatever the one before did."""
    if (running_postgres.data / "postmaster.pid").exists():
        running_postgres.resume()
    else:
        running_postgres.start()
    return running_postgres


@pytest.fixture
def breaker() -> CircuitBreaker:
    """Opens after three failures and tries again soon."""
    return CircuitBreaker("server", failure_threshold=3, recovery_timeout=0.2)


async def until(look: Callable[[], Any], what: str, timeout: float = 15.0) -> None:
    """Wait in the loop until ``look`` is true."""
    deadline = time.monotonic() + timeout * slowness()
    while not look():
        assert time.monotonic() < deadline, f"waited for {what}"
        await asyncio.sleep(0.01)


async def traffic(
    call: Callable[[], Awaitable[Any]], breaker: CircuitBreaker, state: str, seconds: float = 20.0
) -> list[BaseException]:
    """Call again and again until the breaker has been in ``state``; the errors on the way."""
    seen: list[str] = []
    breaker.add_listener(lambda event: seen.append(str(event.to_state)), kinds=["transition"])
    errors: list[BaseException] = []
    deadline = time.monotonic() + seconds * slowness()
    while state not in {*seen, str(breaker.state)}:
        assert time.monotonic() < deadline, f"{breaker.explain()}: {errors[-3:]}"
        try:
            await call()
        except Exception as error:  # noqa: BLE001 - they are what is looked at
            errors.append(error)
            await asyncio.sleep(0.005)
    return errors
