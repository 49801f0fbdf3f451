"""Probes against real servers: each is started once, on the loopback, and ended by its tool."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvloop

from cbmon.model import Result
from cbmon.probes import ProbeEnvironment, probe_type
from cbmon.probes.run import run_once
from tests.integration.harness import Prometheus
from tests.integration.harness.processes import (
    Process,
    absent,
    eventually,
    free_port,
    program,
    slowness,
)


class SystemClock:
    """The real time."""

    def monotonic(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return time.time()


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Both loops: they differ in how they end, cancel and report connections."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


Look = Callable[..., Any]


@pytest.fixture
async def environment() -> AsyncIterator[ProbeEnvironment]:
    made = ProbeEnvironment(clock=SystemClock())
    yield made
    await made.close()


@pytest.fixture
async def look(environment: ProbeEnvironment) -> Look:
    """``await look("postgres", dsn=…, timeout=…)`` runs a probe once."""

    async def run(kind: str, *, timeout: float = 5.0, **options: Any) -> Result:
        found = probe_type(kind)
        probe = found.build(found.options.model_validate(options), environment)
        try:
            return await run_once(probe, timeout * slowness(), environment.clock)
        finally:
            await probe.close()

    return run


@dataclass(frozen=True)
class Authority:
    """A certificate authority of the tests."""

    ca: trustme.CA
    file: Path

    def write(self, directory: Path, *names: str) -> None:
        """``server.pem`` and ``server.key`` for these names."""
        issued = self.ca.issue_cert(*names)
        issued.private_key_pem.write_to_path(directory / "server.key")
        for number, part in enumerate(issued.cert_chain_pems):
            part.write_to_path(directory / "server.pem", append=number > 0)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    ca = trustme.CA()
    file = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(file)
    return Authority(ca, file)


@contextmanager
def homes(user: str) -> Iterator[tuple[Path, str | None]]:
    """A directory for a server that does not run as root, and as whom it runs."""
    home = Path(tempfile.mkdtemp(prefix="cbmon-"))
    owner = None
    if os.geteuid() == 0:
        owner = user if any(one.pw_name == user for one in pwd.getpwall()) else "nobody"
    try:
        yield home, owner
    finally:
        shutil.rmtree(home, ignore_errors=True)


def given_to(owner: str | None, *paths: Path) -> None:
    if owner is not None:
        entry = pwd.getpwnam(owner)
        for path in paths:
            os.chown(path, entry.pw_uid, entry.pw_gid)


@dataclass(frozen=True)
class Database:
    """A server with the user ``cbmon`` and a password, over TCP, TLS and a socket."""

    port: int
    directory: Path
    ca_file: Path


_HBA = """\
local all all trust
host all clear 127.0.0.1/32 password
host all old 127.0.0.1/32 md5
hostssl all secure 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 scram-sha-256
"""
_ROLES = """\
CREATE ROLE cbmon LOGIN PASSWORD 'sécret';
CREATE ROLE secure LOGIN PASSWORD 'secret';
CREATE ROLE clear LOGIN PASSWORD 'secret';
SET password_encryption = 'md5';
CREATE ROLE old LOGIN PASSWORD 'secret';
CREATE DATABASE cbmon;
"""


@pytest.fixture(scope="session")
def postgres(authority: Authority) -> Iterator[Database]:
    """A throw-away cluster: TLS for ``db.test``, every password method."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not binaries:
        absent("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    tool = binaries[-1].parent
    with homes("postgres") as (home, owner):
        given_to(owner, home)

        def run(*command: str, text: str | None = None) -> None:
            subprocess.run(
                command, check=True, user=owner, cwd=home, capture_output=True, timeout=60,
                input=text, text=True,
            )  # fmt: skip

        data, port = home / "data", free_port()
        run(str(tool / "initdb"), "-D", str(data), "-U", "postgres", "--locale=C.UTF-8")
        authority.write(home, "db.test")
        (home / "server.key").chmod(0o600)
        given_to(owner, home / "server.key", home / "server.pem")
        (data / "pg_hba.conf").write_text(_HBA)
        options = (
            f"-c listen_addresses=127.0.0.1 -p {port} -k {home} -c ssl=on -c fsync=off "
            f"-c ssl_cert_file={home}/server.pem -c ssl_key_file={home}/server.key"
        )
        control = (str(tool / "pg_ctl"), "-D", str(data), "-w")
        run(*control, "-l", str(home / "log"), "-o", options, "start")
        try:
            run(
                str(tool / "psql"), "-h", str(home), "-p", str(port), "-U", "postgres",
                "-v", "ON_ERROR_STOP=1", "-q", text=_ROLES,
            )  # fmt: skip
            yield Database(port, home, authority.file)
        finally:
            run(*control, "-m", "immediate", "stop")


@pytest.fixture(scope="session")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that scrapes itself."""
    server = Prometheus(tmp_path_factory.mktemp("prometheus"), {})
    try:
        server.start()
        yield server
    finally:
        server.process.clean_up()


_USERS = """\
CREATE USER cbmon@'%' IDENTIFIED BY 'sécret';
CREATE USER cbmon@localhost IDENTIFIED BY 'sécret';
CREATE USER secure@'%' IDENTIFIED BY 'secret' REQUIRE SSL;
CREATE USER free@'%';
CREATE DATABASE cbmon;
CREATE TABLE cbmon.made (x int);
GRANT ALL ON cbmon.* TO cbmon@'%', secure@'%', free@'%';
CREATE USER signer@'%' IDENTIFIED VIA ed25519 USING PASSWORD('sécret of more than 32 bytes');
GRANT ALL ON cbmon.* TO signer@'%';
"""


@pytest.fixture(scope="session")
def mariadb(authority: Authority) -> Iterator[Database]:
    """A throw-away MariaDB: TLS for ``db.test``, users with and without a password."""
    server = program("mariadbd", package="mariadb-server")
    install = program("mariadb-install-db", package="mariadb-server")
    with homes("mysql") as (home, owner):
        given_to(owner, home)
        common = ["--no-defaults", f"--datadir={home}/data", f"--tmpdir={home}"]
        account = [f"--user={owner}"] if owner else []
        made = subprocess.run(
            [install, *common, *account, "--auth-root-authentication-method=normal"],
            cwd=home, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert made.returncode == 0, made.stdout + made.stderr
        authority.write(home, "db.test")
        (home / "users.sql").write_text(_USERS)
        given_to(owner, home / "server.key", home / "server.pem", home / "users.sql")
        port = free_port()
        process = Process(
            "mariadbd",
            [
                server, *common, *account, f"--port={port}", "--bind-address=127.0.0.1",
                f"--socket={home}/db.sock", f"--init-file={home}/users.sql",
                f"--ssl-cert={home}/server.pem", f"--ssl-key={home}/server.key",
                "--character-set-server=utf8mb4", "--skip-name-resolve",
                "--plugin-load-add=auth_ed25519",
            ],
            home,
        )  # fmt: skip
        process.start()
        try:

            def listens() -> bool:
                assert process.alive, process.log()
                socket.create_connection(("127.0.0.1", port), 1).close()
                return True

            eventually(listens, "MariaDB to listen", 30)
            yield Database(port, home, authority.file)
        finally:
            process.clean_up()
