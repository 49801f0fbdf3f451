"""Rule: Redis, SSH and mail servers as Debian and PyPI have them are greeted as they expect."""

from __future__ import annotations

import os
import pwd
import shutil
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import SMTP

from cbmon.model import Reason
from tests.integration.harness.processes import Process, eventually, finished, free_port, program

_REDIS = """
port {port}
bind 127.0.0.1
requirepass sécret
user monitor on >other ~* +ping +info +auth
save ""
dir {directory}
unixsocket {directory}/redis.sock
tls-port {tls_port}
tls-cert-file {directory}/server.pem
tls-key-file {directory}/server.key
tls-auth-clients no
"""


@dataclass(frozen=True)
class Place:
    port: int
    directory: Path
    tls_port: int = 0


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A directory that a server of another user can reach."""
    made = Path(tempfile.mkdtemp(prefix="cbmon-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def listening(process: Process, port: int) -> None:
    import socket

    def look() -> bool:
        assert process.alive, process.log()
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True

    eventually(look, f"{process.name} to listen")


@pytest.fixture(scope="module")
def redis(home: Path, authority: Any) -> Iterator[Place]:
    """With a password for ``default`` and ``monitor``, over TCP, TLS and a socket."""
    directory = home / "redis"
    directory.mkdir()
    authority.write(directory, "redis.test")
    port, tls_port = free_port(), free_port()
    config = directory / "redis.conf"
    config.write_text(_REDIS.format(port=port, tls_port=tls_port, directory=directory))
    process = Process("redis", [program("redis-server", package="redis-server"), config], directory)
    process.start()
    try:
        listening(process, port)
        yield Place(port, directory, tls_port)
    finally:
        process.stop()


@pytest.mark.parametrize("command", [["PING"], ["SET", "a", "1"], ["LRANGE", "l", "0", "-1"]])
async def test_redis_answers_commands(command: list[str], redis: Place, look: Any) -> None:
    result = await look(
        "redis", url=f"redis://127.0.0.1:{redis.port}/2", password="sécret", command=command
    )

    assert result.ok, result.error


async def test_redis_says_what_it_is(redis: Place, look: Any) -> None:
    expect = {"fields": {"role": "master", "connected_slaves": 0}, "certificate_days": 1}

    result = await look(
        "redis",
        url=f"rediss://monitor@127.0.0.1:{redis.tls_port}",
        password="other",
        command=["INFO"],
        tls={"ca_file": str(redis.directory.parent / "x"), "insecure_skip_verify": True},
        expect=expect,
    )

    assert result.ok, result.error
    assert result.certificate_expiry


async def test_redis_is_reached_through_its_socket(redis: Place, look: Any) -> None:
    url = f"unix://{redis.directory}/redis.sock?db=1"

    result = await look("redis", url=url, password="sécret", expect={"value": "PONG"})

    assert result.ok, result.error


@pytest.mark.parametrize(
    ("reason", "options"),
    [
        (Reason.AUTH, {}),
        (Reason.AUTH, {"password": "wrong"}),
        (Reason.STATUS, {"password": "sécret", "command": ["NOSUCH"]}),
        (Reason.STATUS, {"password": "sécret", "command": ["LLEN", "a"]}),
        (Reason.BODY, {"password": "sécret", "expect": {"value": "PANG"}}),
    ],
)
async def test_redis_refuses_what_is_not_right(
    reason: Reason, options: dict[str, Any], redis: Place, look: Any
) -> None:
    url = f"redis://127.0.0.1:{redis.port}"
    await look("redis", url=url, password="sécret", command=["SET", "a", "1"])

    result = await look("redis", url=url, **options)

    assert result.reason is reason, result.error


@pytest.fixture(scope="module")
def sshd(home: Path) -> Iterator[Place]:
    """Run by a user without any privilege, with a host key of its own."""
    binary = program("sshd", package="openssh-server")
    directory = home / "sshd"
    directory.mkdir()
    key, port = directory / "key", free_port()
    finished(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key])
    command: list[str | Path] = [
        binary, "-D", "-e", "-f", "/dev/null", "-h", key, "-p", str(port),
        "-o", "ListenAddress=127.0.0.1", "-o", "UsePAM=no", "-o", "PidFile=none",
    ]  # fmt: skip
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        for path in (directory, key):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        setpriv = program("setpriv", package="util-linux")
        command = [setpriv, "--reuid=nobody", "--clear-groups", *command]
    process = Process("sshd", command, home)
    process.start()
    try:
        listening(process, port)
        yield Place(port, directory)
    finally:
        process.stop()


async def test_sshd_introduces_itself(sshd: Place, look: Any) -> None:
    result = await look(
        "ssh", address=f"127.0.0.1:{sshd.port}", expect={"matches": "^SSH-2.0-OpenSSH_"}
    )

    assert result.ok, result.error
    assert result.facts["server"].startswith("SSH-2.0-OpenSSH_")


async def test_sshd_sees_who_it_was(sshd: Place, look: Any) -> None:
    assert (await look("ssh", address=f"127.0.0.1:{sshd.port}")).ok

    def logged() -> bool:
        return "preauth" in (sshd.directory.parent / "sshd.log").read_text()

    assert eventually(logged, "sshd's log")


@pytest.fixture
def mail(authority: Any, tmp_path: Path) -> Iterator[Place]:
    authority.write(tmp_path, "mx.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")

    class Server(Controller):
        def factory(self) -> SMTP:
            return SMTP(Sink(), hostname="mx.test", tls_context=context, require_starttls=False)

    controller = Server(Sink(), hostname="127.0.0.1", port=free_port())
    controller.start()
    yield Place(controller.port, tmp_path)
    controller.stop()


@pytest.mark.parametrize("security", ["none", "starttls"])
async def test_a_mail_server_is_greeted(
    security: str, mail: Place, look: Any, authority: Any
) -> None:
    result = await look(
        "smtp",
        address=f"127.0.0.1:{mail.port}",
        security=security,
        tls={"ca_file": str(authority.file), "server_name": "mx.test"},
        expect={"banner": "^mx[.]test ", "capabilities": ["SIZE", "8BITMIME"]},
    )

    assert result.ok, result.error
    assert bool(result.certificate_expiry) == (security == "starttls")


async def test_a_mail_servers_certificate_must_be_valid(mail: Place, look: Any) -> None:
    result = await look("smtp", address=f"127.0.0.1:{mail.port}", security="starttls")

    assert result.reason is Reason.TLS
    assert "is not valid for 127.0.0.1" in result.error


def test_nothing_of_a_mail_server_is_needed_to_use_the_check() -> None:
    code = "import sys, cbmon.probes.smtp; sys.exit('aiosmtpd' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
