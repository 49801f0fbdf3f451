"""What lies in systemd/ is what systemd takes, by its own tools, and as hardened as promised."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

SYSTEMD: Final = Path(__file__).parents[2] / "systemd"
UNIT: Final = SYSTEMD / "cbmon.service"
EXPOSURE: Final = 1.2


def tool(name: str) -> str:
    """The path of a systemd tool; without it the test is skipped, or fails when CI=true."""
    path = shutil.which(name)
    if path is None:
        missing = f"{name} is not installed (Debian: apt-get install systemd)"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return path


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
    )


def service(path: Path = UNIT) -> dict[str, str]:
    """The [Service] section; of a key that stands there twice, the values joined by spaces."""
    values: dict[str, list[str]] = {}
    section = ""
    for line in path.read_text().splitlines():
        if line.startswith("["):
            section = line
        elif section == "[Service]" and "=" in line and not line.startswith("#"):
            key, value = line.split("=", 1)
            values.setdefault(key, []).append(value)
    return {key: " ".join(found) for key, found in values.items()}


def test_systemd_finds_nothing_to_complain_about(tmp_path: Path) -> None:
    """Debian's unit path is left out: a unit of the machine that is broken is not ours."""
    program = tmp_path / "cbmon"
    program.symlink_to("/bin/true")
    unit = tmp_path / "cbmon.service"
    unit.write_text(UNIT.read_text().replace("/opt/cbmon/bin/cbmon", str(program)))
    checked = run(tool("systemd-analyze"), "verify", "--man=no", "--recursive-errors=no", unit)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.mark.parametrize("example", sorted(SYSTEMD.glob("cbmon.service.d/*.example")), ids=str)
def test_every_example_drop_in_is_a_drop_in(tmp_path: Path, example: Path) -> None:
    unit = tmp_path / "cbmon.service"
    unit.write_text(UNIT.read_text().replace("/opt/cbmon/bin/cbmon", "/bin/true"))
    (tmp_path / "cbmon.service.d").mkdir()
    text = example.read_text().replace("/opt/cbmon/bin/cbmon", "/bin/true")
    (tmp_path / "cbmon.service.d" / example.stem).write_text(text)
    checked = run(tool("systemd-analyze"), "verify", "--man=no", "--recursive-errors=no", unit)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert service(example)


def test_the_exposure_is_as_low_as_promised() -> None:
    threshold = str(round(EXPOSURE * 10))
    checked = run(
        tool("systemd-analyze"), "security", "--offline=true", "--no-pager",
        f"--threshold={threshold}", UNIT,
    )  # fmt: skip
    found = re.search(r"exposure level for cbmon\.service: ([0-9.]+)", checked.stdout)
    assert found is not None, checked.stderr
    assert float(found[1]) <= EXPOSURE
    assert checked.returncode == 0


def test_no_line_of_the_unit_is_a_word_systemd_does_not_know() -> None:
    parser = configparser.RawConfigParser(strict=False, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    assert parser.sections() == ["Unit", "Service", "Install"]


def test_the_process_metrics_and_icmp_stay_possible() -> None:
    lines = service()
    assert "ProcSubset" not in lines
    assert {"AF_INET", "AF_INET6", "AF_UNIX"} == set(lines["RestrictAddressFamilies"].split())
    sysctl = (SYSTEMD / "sysctl.d" / "50-cbmon.conf").read_text()
    assert "\nnet.ipv4.ping_group_range = 0 2147483647\n" in sysctl


def test_systemd_waits_longer_than_the_daemon_takes_to_stop() -> None:
    from cbmon.app import STOP_DEADLINE

    assert float(service()["TimeoutStopSec"].removesuffix("s")) > STOP_DEADLINE


def test_a_bad_configuration_is_not_tried_again_and_anything_else_is() -> None:
    lines = service()
    assert (lines["Restart"], lines["RestartPreventExitStatus"]) == ("on-failure", "2")
    assert "StartLimitIntervalSec=0" in UNIT.read_text()


def test_systemd_252_would_take_notify_reload_for_simple() -> None:
    lines = service()
    assert (lines["Type"], lines["NotifyAccess"]) == ("notify", "main")
    assert lines["ExecReload"].split()[1:3] == ["reload", "--wait"]


def test_the_user_is_made(tmp_path: Path) -> None:
    rules = SYSTEMD / "sysusers.d" / "cbmon.conf"
    tried = run(tool("systemd-sysusers"), "--dry-run", f"--root={tmp_path}", rules)
    assert tried.returncode == 0
    assert "Creating user 'cbmon' (cbmon monitoring)" in tried.stderr


def test_the_directories_are_made_for_the_user_and_secrets_for_root(tmp_path: Path) -> None:
    program = tool("systemd-tmpfiles")
    if os.geteuid() != 0:
        pytest.skip("making directories for another user needs root")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text("root:x:0:0::/:/bin/sh\ncbmon:x:990:990::/:/\n")
    (tmp_path / "etc" / "group").write_text("root:x:0:\ncbmon:x:990:\n")
    rules = SYSTEMD / "tmpfiles.d" / "cbmon.conf"
    done = run(program, "--create", f"--root={tmp_path}", rules)
    assert (done.returncode, done.stderr) == (0, "")
    made = tmp_path / "etc" / "cbmon"
    assert (made.stat().st_mode & 0o7777, made.stat().st_gid) == (0o750, 990)
    assert (made / "credentials").stat().st_mode & 0o7777 == 0o700
