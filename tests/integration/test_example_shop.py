"""The example shop: each dependency broken in turn is seen at the daemon, and told once.

Rule: only the example's own commands are used, as a reader would.
"""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from shutil import rmtree, which
from tempfile import mkdtemp

import pytest

from tests.integration.harness import eventually
from tests.integration.harness.processes import absent, slowness
from tests.integration.harness.web import fetch

SHOP = Path(__file__).parents[2] / "examples" / "shop"
PACKAGES = ("fastapi", "uvicorn", "httpx", "redis", "asyncpg", "mcp")


@dataclass
class Example:
    port: int
    daemon_port: int
    state: Path
    output: Path

    @property
    def picture(self) -> Path:
        return self.output.with_name("shop.svg")

    def messages(self) -> Counter[tuple[str, str]]:
        """How often each breaker's outage was told to begin, and to end."""
        found = re.findall(r">>> (\w+) +(\S+)", self.output.read_text())
        return Counter((status, component) for status, component in found)


@pytest.fixture
def example(tmp_path: Path) -> Iterator[Example]:
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        absent(f"not installed: {', '.join(missing)}")
    if not list(Path("/usr/lib/postgresql").glob("*/bin/postgres")) or not which("redis-server"):
        absent("PostgreSQL or Redis is not installed (Debian: postgresql, redis-server)")
    state = Path(mkdtemp(prefix="cbmon-shop-"))  # PostgreSQL's user does not get into tmp_path
    port = _block(8)
    made = Example(port, port + 6, state, tmp_path / "output")
    ports = ["--port", str(made.port), "--daemon-port", str(made.daemon_port)]
    with made.output.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, str(SHOP / "run.py"), *ports, "--state", str(made.state)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    try:
        eventually(lambda: _ready(process, made), "the shop to be open", 60.0)
        yield made
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30 * slowness())
        rmtree(state, ignore_errors=True)


def _block(size: int) -> int:
    """The first of so many ports in a row that nobody has, outside of those that are drawn."""
    for _ in range(100):
        first = random.randrange(20_000, 30_000)
        try:
            with ExitStack() as stack:
                for port in range(first, first + size):
                    taken = stack.enter_context(socket.socket())
                    taken.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    pytest.fail("there are no free ports")


def _ready(process: subprocess.Popen[bytes], made: Example) -> bool:
    if process.poll() is not None:
        pytest.fail(made.output.read_text())
    return "Ctrl-C ends everything" in made.output.read_text()


def _break(example: Example, *names: str) -> str:
    options = ["--state", str(example.state), "--daemon-port", str(example.daemon_port)]
    options += ["--picture", str(example.picture)]
    if which("prometheus") is None:
        absent("Prometheus is not installed (Debian: prometheus)")
    options += ["--prometheus-port", str(example.port + 7), "--scrapes", f"{2 * slowness():.1f}"]
    done = subprocess.run(
        [sys.executable, str(SHOP / "break_it.py"), *options, *names],
        capture_output=True,
        text=True,
        timeout=200 * slowness(),
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _told_once(example: Example, name: str) -> None:
    eventually(
        lambda: ("resolved", f"shop:{name}") in example.messages(), f"the end of {name}", 15.0
    )
    told = example.messages()
    assert told["resolved", f"shop:{name}"] == 1
    assert told["firing", f"shop:{name}"] >= 1


def test_a_broken_cache_is_seen_told_and_over(example: Example) -> None:
    said = _break(example, "redis")
    assert "shop:redis is open" in said
    assert "shop:redis is closed" in said
    assert said.count("Prometheus shows {'cbmon'") == 2
    assert ">redis</text>" in example.picture.read_text()
    _told_once(example, "redis")
    text = fetch(f"http://127.0.0.1:{example.port}/metrics/").text
    assert 'circuit_breaker_trips_total{category="app",component="redis"}' in text
    assert 'circuit_breaker_state{category="app",component="postgres"} 1.0' in text


@pytest.mark.long
def test_every_dependency_broken_in_turn(example: Example) -> None:
    said = _break(example)
    assert "everything was seen" in said
    assert said.count("Prometheus shows {'cbmon'") == 8
    for name in ("postgres", "redis", "llm", "shipping"):
        _told_once(example, name)
