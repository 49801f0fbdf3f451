"""Two thousand clients who say nothing and a hundred who drip: the others notice nothing.

Rule: measured from outside, against the daemon with the limits that it ships with.
"""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.integration.harness import Daemon

IDLE = 2000
DRIPPING = 100
HEADER = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"a" * 100
CHECKS = [
    {"name": f"check-{number}", "tcp": {"address": "127.0.0.1:1"}, "interval": "30s"}
    for number in range(50)
]


@pytest.fixture(autouse=True)
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8192 if hard == resource.RLIM_INFINITY else min(hard, 8192)
    if wanted < IDLE + DRIPPING + 200:
        pytest.skip(f"this machine allows {hard} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.long
def test_a_crowd_of_slow_clients_delays_nobody_and_is_closed(
    run_daemon: Callable[..., Daemon],
) -> None:
    daemon = run_daemon({"checks": CHECKS})
    with ExitStack() as opened:

        def connect() -> socket.socket:
            return opened.enter_context(socket.create_connection(("127.0.0.1", daemon.port), 5.0))

        for _ in range(IDLE):
            connect()
        dripping = [connect() for _ in range(DRIPPING)]
        began = time.monotonic()
        slowest, closed_after, sent = 0.0, None, 0
        while time.monotonic() - began < 20.0 and closed_after is None:
            dripping = [one for one in dripping if _drip(one, HEADER[sent : sent + 1])]
            sent += 1
            for path in ("/metrics", "/"):
                asked = time.monotonic()
                assert daemon.get(path).status == 200
                slowest = max(slowest, time.monotonic() - asked)
            if not dripping:
                closed_after = time.monotonic() - began
            time.sleep(0.5)
    assert closed_after is not None
    assert closed_after <= 15.0
    assert slowest < 1.0


def _drip(client: socket.socket, byte: bytes) -> bool:
    """Send one more byte of a header that never ends; False once the connection is closed."""
    try:
        client.setblocking(False)
        client.send(byte)
        return client.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False
