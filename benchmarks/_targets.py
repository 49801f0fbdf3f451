"""Real servers on the loopback to be looked at, each with the least configuration that works.

Rule: what is started is ended by its process, and everything lies in one directory that goes.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import trustme

NAME = "bench.test"
_NGINX = """
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    ssl_session_tickets off;
    ssl_session_cache off;
    server {{
        listen 127.0.0.1:{plain} backlog=4096;
        listen 127.0.0.1:{secure} ssl backlog=4096;
        ssl_certificate {directory}/server.pem;
        ssl_certificate_key {directory}/server.key;
        location / {{ return 200 "ok\\n"; }}
    }}
}}
"""


def program(*names: str) -> str:
    """The path of a program; SystemExit says which one is missing."""
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    for name in names:
        if found := shutil.which(name, path=path):
            return found
    raise SystemExit(f"{names[0]} is not installed; make servers installs it")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextlib.contextmanager
def running(command: Sequence[str | Path], port: int) -> Iterator[int]:
    """A server that listens on the port; its process id."""
    process = subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _wait(process, port)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def certificates(directory: Path) -> Path:
    """A certificate of 127.0.0.1 beside its authority's, whose file is returned."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", NAME)
    issued.private_key_pem.write_to_path(directory / "server.key")
    for number, part in enumerate(issued.cert_chain_pems):
        part.write_to_path(directory / "server.pem", append=number > 0)
    authority.cert_pem.write_to_path(directory / "ca.pem")
    return directory / "ca.pem"


def nginx(directory: Path, plain: int, secure: int) -> list[str | Path]:
    path = directory / "nginx.conf"
    path.write_text(_NGINX.format(directory=directory, plain=plain, secure=secure))
    return [program("nginx"), "-p", directory, "-c", path, "-e", "stderr"]


def dnsmasq(port: int) -> list[str | Path]:
    return [
        program("dnsmasq"), "--keep-in-foreground", "--conf-file=/dev/null", f"--port={port}",
        "--listen-address=127.0.0.1", "--bind-interfaces", "--no-resolv", "--no-hosts",
        "--pid-file=", "--user=root", f"--address=/{NAME}/192.0.2.1",
    ]  # fmt: skip


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"{process.args!r} ended at once")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise SystemExit(f"nobody listens on port {port}")
