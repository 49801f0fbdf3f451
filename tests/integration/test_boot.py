"""The service as systemd runs it: booted for real, hardened as shipped, in a container."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.integration.harness.daemon import ROOT
from tests.integration.harness.machine import Machine, debian_tree, wheels
from tests.integration.harness.processes import eventually

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

UNIT: Final = "cbmon.service"
INSTALL: Final = """
python3 -m venv /opt/cbmon
/opt/cbmon/bin/pip install --quiet --no-index --find-links /given cbmon
"""
GET: Final = """
import sys, urllib.request
print(urllib.request.urlopen("http://127.0.0.1:9813" + sys.argv[1], timeout=5).read().decode())
"""
PING: Final = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as line:
    line.settimeout(5.0)
    line.sendto(bytes([8, 0, 0, 0, 0, 0, 0, 1]), ("127.0.0.1", 0))
    assert line.recv(64)[0] == 0, "no echo reply"
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    directory = tmp_path_factory.mktemp("machine")
    made = Machine(directory, debian_tree())
    made.prepare(INSTALL, see=wheels(directory / "wheels"))
    install_units(made.root)
    configure(made, {"checks": [own("itself")]})
    try:
        made.boot()
        yield made
        made.poweroff()
    finally:
        made.process.clean_up()


def install_units(root: Path) -> None:
    """What docs/systemd.md tells a person to do."""
    systemd = ROOT / "systemd"
    units = root / "etc/systemd/system"
    shutil.copy(systemd / UNIT, units)
    (units / "cbmon.service.d").mkdir()
    (units / "multi-user.target.wants" / UNIT).symlink_to(f"/etc/systemd/system/{UNIT}")
    for kind in ("sysusers.d", "tmpfiles.d", "sysctl.d"):
        for file in (systemd / kind).iterdir():
            shutil.copy(file, root / "usr/lib" / kind)


def configure(machine: Machine, config: dict[str, Any]) -> None:
    path = machine.root / "etc/cbmon/cbmon.yml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(config))


def own(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "http": {"url": "http://127.0.0.1:9813/-/healthy"},
        "interval": "1s",
        "timeout": "500ms",
    }


def get(machine: Machine, path: str) -> str:
    done = machine.run("/opt/cbmon/bin/python", "-c", GET, path)
    assert done.returncode == 0, done.stderr
    return done.stdout


def checks(machine: Machine) -> set[str]:
    found = json.loads(get(machine, "/api/v1/breakers"))
    entries = (
        found
        if isinstance(found, list)
        else next(value for value in found.values() if isinstance(value, list))
    )
    return {entry["name"] for entry in entries}


def settled(machine: Machine, state: str) -> dict[str, str]:
    """The unit's properties once it is in that state."""
    names = ("ActiveState", "SubState", "Result", "ExecMainStatus", "MainPID", "NRestarts")

    def look() -> dict[str, str] | None:
        found = machine.show(UNIT, *names, "StatusText", "WatchdogUSec")
        return found if found["ActiveState"] == state and found["SubState"] != "start" else None

    return eventually(look, f"{UNIT} to be {state}", 60.0)


def drop_in(machine: Machine, name: str, text: str) -> Path:
    path = machine.root / "etc/systemd/system/cbmon.service.d" / f"{name}.conf"
    path.write_text(text)
    assert machine.run("systemctl", "daemon-reload").returncode == 0
    return path


def test_it_comes_up_by_itself_and_says_when_it_is_ready(machine: Machine) -> None:
    found = settled(machine, "active")
    assert (found["Result"], found["NRestarts"]) == ("success", "0")
    assert found["StatusText"].startswith("watching 1 component")
    assert found["WatchdogUSec"] == "30s"
    assert checks(machine) == {"itself"}
    state = 'circuit_breaker_state{category="check",component="itself"} 1'
    assert state in get(machine, "/metrics")


def test_it_runs_as_its_own_user_on_its_own_directory(machine: Machine) -> None:
    pid = settled(machine, "active")["MainPID"]
    user = machine.run("stat", "--format=%U:%G", f"/proc/{pid}").stdout.strip()
    assert user == "cbmon:cbmon"
    kept = machine.run("stat", "--format=%U %a", "/var/lib/cbmon", "/var/lib/cbmon/cbmon.db").stdout
    assert kept.splitlines() == ["cbmon 750", "cbmon 600"]


def test_systemd_itself_has_nothing_to_complain_about(machine: Machine) -> None:
    checked = machine.run("systemd-analyze", "verify", "--man=no", f"/etc/systemd/system/{UNIT}")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "Unknown" not in machine.journal("init.scope")


def test_the_process_metrics_are_there_in_spite_of_the_hardening(machine: Machine) -> None:
    text = get(machine, "/metrics")
    for name in ("cpu_seconds_total", "start_time_seconds", "open_fds", "resident_memory_bytes"):
        assert f"\nprocess_{name} " in text


def test_it_may_ping_without_any_privilege(machine: Machine) -> None:
    """The unit itself with another program: same user, same sandbox."""
    lines = (ROOT / "systemd" / UNIT).read_text().splitlines()
    kept = [line for line in lines if not line.startswith(("ExecStart=", "ExecReload=", "Type="))]
    at = kept.index("[Service]") + 1
    kept[at:at] = ["Type=oneshot", "ExecStart=/opt/cbmon/bin/python /etc/cbmon/ping.py"]
    text = "\n".join(kept).replace("Restart=on-failure", "Restart=no")
    (machine.root / "etc/cbmon/ping.py").write_text(PING)
    (machine.root / "etc/systemd/system/ping.service").write_text(text)
    machine.run("systemctl", "daemon-reload")
    started = machine.run("systemctl", "start", "ping.service")
    assert started.returncode == 0, machine.journal("ping.service")


def test_a_reload_is_in_force_when_the_command_comes_back(machine: Machine) -> None:
    pid = settled(machine, "active")["MainPID"]
    configure(machine, {"checks": [own("itself"), own("another")]})
    assert machine.run("systemctl", "reload", UNIT).returncode == 0
    assert checks(machine) == {"itself", "another"}
    assert settled(machine, "active")["MainPID"] == pid


def test_a_reload_of_a_bad_file_fails_says_why_and_changes_nothing(machine: Machine) -> None:
    before = checks(machine)
    configure(machine, {"chekcs": []})
    assert machine.run("systemctl", "reload", UNIT).returncode != 0
    assert 'unknown key "chekcs"' in machine.journal(UNIT)
    assert checks(machine) == before
    configure(machine, {"checks": [own("itself")]})
    assert machine.run("systemctl", "reload", UNIT).returncode == 0


def test_a_daemon_that_hangs_is_shot_and_comes_back(machine: Machine) -> None:
    path = drop_in(machine, "watchdog", "[Service]\nWatchdogSec=3s\n")
    machine.run("systemctl", "restart", UNIT)
    before = settled(machine, "active")
    machine.run("systemctl", "kill", "--kill-whom=main", "--signal=STOP", UNIT)
    eventually(
        lambda: machine.show(UNIT, "NRestarts")["NRestarts"] == "1", "systemd to restart it", 60.0
    )
    after = settled(machine, "active")
    assert after["MainPID"] != before["MainPID"]
    assert "Watchdog timeout" in machine.journal(UNIT)
    path.unlink()
    drop_in(machine, "none", "")


def test_a_daemon_that_works_is_left_alone_by_the_watchdog(machine: Machine) -> None:
    path = drop_in(machine, "watchdog", "[Service]\nWatchdogSec=2s\n")
    machine.run("systemctl", "restart", UNIT)
    before = settled(machine, "active")
    machine.run("sleep", "8")
    after = settled(machine, "active")
    assert (after["MainPID"], after["NRestarts"]) == (before["MainPID"], "0")
    path.unlink()
    drop_in(machine, "none", "")


def test_a_killed_daemon_comes_back(machine: Machine) -> None:
    machine.run("systemctl", "restart", UNIT)
    before = settled(machine, "active")["MainPID"]
    machine.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", UNIT)
    others = eventually(lambda: {settled(machine, "active")["MainPID"]} - {before, "0"}, "another")
    assert len(others) == 1


def test_a_secret_arrives_as_a_credential_that_nobody_else_reads(machine: Machine) -> None:
    secret = machine.root / "etc/cbmon/credentials/ci"
    secret.write_text("s3cret-token\n")
    secret.chmod(0o600)
    path = drop_in(machine, "secret", "[Service]\nLoadCredential=ci:/etc/cbmon/credentials/ci\n")
    token = {"name": "ci", "role": "admin", "token_file": "${CREDENTIALS_DIRECTORY}/ci"}
    configure(machine, {"checks": [own("itself")], "web": {"tokens": [token]}})
    machine.run("systemctl", "restart", UNIT)
    settled(machine, "active")
    script = (
        "import urllib.request as u; r = u.Request('http://127.0.0.1:9813/-/reload', "
        "method='POST', headers={'Authorization': 'Bearer s3cret-token'}); "
        "print(u.urlopen(r, timeout=10).status)"
    )
    answer = machine.run("/opt/cbmon/bin/python", "-c", script)
    assert answer.stdout.strip() == "200", answer.stderr
    path.unlink()
    configure(machine, {"checks": [own("itself")]})
    drop_in(machine, "none", "")
    machine.run("systemctl", "restart", UNIT)
    settled(machine, "active")


def test_workers_do_their_part_in_the_hardened_unit(machine: Machine) -> None:
    example = ROOT / "systemd" / "cbmon.service.d" / "workers.conf.example"
    path = drop_in(machine, "workers", example.read_text())
    machine.run("systemctl", "restart", UNIT)
    main = settled(machine, "active")["MainPID"]
    workers = machine.run("cat", f"/proc/{main}/task/{main}/children").stdout.split()
    assert len(workers) == 2
    assert machine.run("sh", "-c", f"kill -KILL {workers[0]}").returncode == 0
    eventually(lambda: _workers_up(machine) == 2, "both workers again")
    assert settled(machine, "active")["MainPID"] == main
    assert machine.run("systemctl", "reload", UNIT).returncode == 0
    assert machine.run("systemctl", "stop", UNIT).returncode == 0
    assert settled(machine, "inactive")["Result"] == "success"
    path.unlink()
    drop_in(machine, "none", "")
    machine.run("systemctl", "start", UNIT)
    settled(machine, "active")


def _workers_up(machine: Machine) -> int:
    """How many look at targets after one was replaced; 0 as long as none was."""
    lines = get(machine, "/metrics").splitlines()
    told = {name: value for name, _, value in (line.rpartition(" ") for line in lines)}
    restarts = sum(float(told[f'cbmon_worker_restarts_total{{worker="{n}"}}']) for n in (1, 2))
    up = sum(float(told[f'cbmon_worker_up{{worker="{n}"}}']) for n in (1, 2))
    return int(up) if restarts else 0


def test_a_stop_is_orderly_and_quick(machine: Machine) -> None:
    assert machine.run("systemctl", "stop", UNIT).returncode == 0
    found = settled(machine, "inactive")
    assert (found["Result"], found["ExecMainStatus"]) == ("success", "0")
    assert "msg=stopped clean=true" in machine.journal(UNIT)


def test_a_configuration_that_cannot_be_used_is_not_tried_again(machine: Machine) -> None:
    configure(machine, {"chekcs": []})
    machine.run("systemctl", "stop", UNIT)
    assert machine.run("systemctl", "start", UNIT).returncode != 0
    machine.run("sleep", "4")
    found = settled(machine, "failed")
    assert (found["ExecMainStatus"], found["NRestarts"]) == ("2", "0")
