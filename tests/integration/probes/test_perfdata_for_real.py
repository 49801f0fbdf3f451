"""Rule: what Debian's plug-ins measure is on /metrics under the labels that are listed."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.harness import Daemon
from tests.integration.harness.processes import absent, eventually
from tests.integration.harness.servers import Nginx

PLUGINS = Path("/usr/lib/nagios/plugins")


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    server = Nginx(tmp_path_factory.mktemp("nginx"))
    server.start()
    yield server
    server.stop()


def check(name: str, *words: object, perfdata: Any = None, plugin: str = "") -> dict[str, Any]:
    program = PLUGINS / (plugin or f"check_{name}")
    if not program.exists():
        absent(
            f"{program.name} is not installed (Debian: apt-get install monitoring-plugins-basic)"
        )
    command = [str(program), *map(str, words)]
    listed = {"perfdata": perfdata} if perfdata else {}
    return {"name": name, "exec": {"command": command, **listed}, "interval": "1s", "timeout": "1s"}


def load(perfdata: Any) -> dict[str, Any]:
    return check("load", "-w", "1e4,1e4,1e4", "-c", "1e5,1e5,1e5", perfdata=perfdata)


def checks(nginx: Nginx) -> list[dict[str, Any]]:
    disk = check("disk", "-w", "1%", "-c", "0%", "-p", "/", perfdata={"/": "bytes"})
    units = {"time": "seconds", "size": "bytes"}
    http = check("http", "-I", "127.0.0.1", "-p", nginx.port, perfdata=units)
    units = {"rta": "seconds", "pl": "ratio"}
    ping = check(
        "ping", "-H", "127.0.0.1", "-w", "500,50%", "-c", "900,90%", "-p", 1, perfdata=units
    )
    data = "told|n=41c share=25% odd=1widgets unlisted=1"
    units = {"n": "counter", "share": "ratio", "odd": "value", "never": "value"}
    made = check("made", 0, data, perfdata=units, plugin="check_dummy")
    return [load(["load1", "load15"]), disk, http, ping, made]


def config(*listed: dict[str, Any]) -> dict[str, Any]:
    return {"global": {"exec_allow": [f"{PLUGINS}/*"]}, "checks": [*listed]}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, nginx: Nginx) -> Iterator[Daemon]:
    made = Daemon(tmp_path_factory.mktemp("perfdata"), config(*checks(nginx)))
    made.start()
    yield made
    made.process.clean_up()


def found(daemon: Daemon, end: str, name: str, label: str) -> float | None:
    return daemon.metric(f"cbmon_check_perfdata_{end}", check=name, label=label)


def told(daemon: Daemon, name: str, *labels: str) -> bool:
    return all(found(daemon, "told", name, label) == 1 for label in labels)


def test_load_disk_http_and_ping_tell_in_base_units(daemon: Daemon) -> None:
    expected = {
        "load": ["load1", "load15"], "disk": ["/"], "http": ["time", "size"], "ping": ["rta", "pl"],
    }  # fmt: skip
    for name, labels in expected.items():
        eventually(lambda: told(daemon, name, *labels), f"{name} to tell {labels}", 30)  # noqa: B023

    load1 = float(Path("/proc/loadavg").read_text().split()[0])
    assert found(daemon, "value", "load", "load1") == pytest.approx(load1, abs=3 + load1)
    assert 1e6 < (found(daemon, "bytes", "disk", "/") or 0) < 1e16
    assert 0 < (found(daemon, "seconds", "http", "time") or 0) < 1
    assert (found(daemon, "bytes", "http", "size") or 0) > 100
    assert 0 < (found(daemon, "seconds", "ping", "rta") or 0) < 0.5
    assert found(daemon, "ratio", "ping", "pl") == 0.0


def test_only_what_is_listed_is_told_and_what_is_not_told_is_there(daemon: Daemon) -> None:
    eventually(lambda: told(daemon, "made", "n", "share", "odd"), "the check to tell", 20)

    assert found(daemon, "total", "made", "n") == 41.0
    assert found(daemon, "ratio", "made", "share") == 0.25
    assert found(daemon, "value", "made", "odd") == 1.0
    assert math.isnan(found(daemon, "value", "made", "never") or 0)
    assert found(daemon, "told", "made", "never") == 0.0
    assert not [key for key in daemon.metrics() if "unlisted" in key or "load5" in key]


def test_a_reload_changes_the_series_and_a_removed_check_has_none(
    daemon: Daemon, nginx: Nginx
) -> None:
    eventually(lambda: told(daemon, "load", "load1"), "load to tell", 20)
    others = checks(nginx)[1:]
    daemon.write(config(load({"load1": "ratio", "load5": "value"}), *others[:-1]))

    daemon.signal(signal.SIGHUP)

    eventually(lambda: told(daemon, "load", "load5"), "the new label to be told", 20)
    series = [key for key in daemon.metrics() if key.startswith("cbmon_check_perfdata")]
    assert not [key for key in series if "load15" in key or 'check="made"' in key]
    assert found(daemon, "value", "load", "load1") is None
    assert found(daemon, "ratio", "load", "load1") is not None
