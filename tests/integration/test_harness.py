"""The tests' own servers come up by themselves, come back on the same port, and leave nothing."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.harness import Alertmanager, Nginx, NodeExporter, Pushgateway
from tests.integration.harness.daemon import ROOT
from tests.integration.harness.servers import Server


@pytest.mark.parametrize("kind", [Alertmanager, Nginx, NodeExporter, Pushgateway])
def test_a_server_is_there_after_its_start_and_gone_after_its_stop(
    tmp_path: Path, started: Callable[[Server], None], kind: type[Server]
) -> None:
    server = kind(tmp_path / "server")
    started(server)
    assert server.get(server.ready_path).status == 200
    server.stop()
    with pytest.raises(OSError, match="refused"):
        server.get(server.ready_path)
    server.start()
    with socket.create_connection(("127.0.0.1", server.port), 5.0):
        pass


def test_what_a_test_may_miss_is_what_the_script_installs() -> None:
    script = (ROOT / "scripts" / "install-test-servers").read_text()
    harness = ROOT / "tests" / "integration" / "harness"
    wanted = {
        package
        for path in harness.glob("*.py")
        for package in re.findall(r'package="([^"]+)"', path.read_text())
    }
    assert wanted - {"apt"} <= set(re.findall(r"[a-z][a-z0-9-]+", script))
