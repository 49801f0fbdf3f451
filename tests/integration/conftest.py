"""Fixtures: each test gets its own servers and daemons, and all of them end with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.integration.harness import Daemon, Hooks, Nginx, Prometheus, Pushgateway, Targets
from tests.integration.harness.processes import Process
from tests.integration.harness.servers import NodeExporter, Server


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Ends what a test has started, last first."""
    with ExitStack() as opened:
        yield opened


@pytest.fixture
def run_daemon(tmp_path: Path, stack: ExitStack) -> Callable[..., Daemon]:
    """Makes daemons from a configuration; ``start=False`` only prepares one."""
    made = 0

    def run(config: dict[str, Any], *, start: bool = True, **options: Any) -> Daemon:
        nonlocal made
        made += 1
        daemon = Daemon(tmp_path / f"cbmon-{made}", config, **options)
        stack.callback(daemon.process.clean_up)
        if start:
            daemon.start()
        return daemon

    return run


@pytest.fixture
def started(stack: ExitStack) -> Callable[[Server], None]:
    """Starts a server that ends with the test."""

    def start(server: Server) -> None:
        stack.callback(server.process.clean_up)
        server.start()

    return start


@pytest.fixture
def nginx(tmp_path: Path, started: Callable[[Server], None]) -> Nginx:
    server = Nginx(tmp_path / "nginx")
    started(server)
    return server


@pytest.fixture
def pushgateway(tmp_path: Path, started: Callable[[Server], None]) -> Pushgateway:
    server = Pushgateway(tmp_path / "pushgateway")
    started(server)
    return server


@pytest.fixture
def node_exporter(tmp_path: Path, started: Callable[[Server], None]) -> NodeExporter:
    server = NodeExporter(tmp_path / "node-exporter")
    started(server)
    return server


@pytest.fixture
def prometheus(tmp_path: Path, started: Callable[[Server], None]) -> Callable[..., Prometheus]:
    """Starts a Prometheus on given jobs."""

    def start(jobs: dict[str, str], **options: Any) -> Prometheus:
        server = Prometheus(tmp_path / "prometheus", jobs, **options)
        started(server)
        return server

    return start


@pytest.fixture
def targets(stack: ExitStack) -> Targets:
    server = Targets()
    stack.callback(server.close)
    return server


@pytest.fixture
def hooks(stack: ExitStack) -> Hooks:
    server = Hooks()
    stack.callback(server.close)
    return server


@pytest.fixture
def end_with_test(stack: ExitStack) -> Callable[[Process], Process]:
    """Ends a process with the test."""

    def keep(process: Process) -> Process:
        stack.callback(process.clean_up)
        return process

    return keep
