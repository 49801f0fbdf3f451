"""A whole Debian with systemd as its first process, in a container of its own.

Rule: made from the machine's own apt source, kept as a tree to copy from, given nothing of the
network; it ends by its own poweroff, or with the process that holds it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.integration.harness.daemon import ROOT
from tests.integration.harness.processes import Process, absent, eventually, finished, program

PACKAGES: Final = "systemd,systemd-sysv,dbus,python3,python3-venv"
MAKE_TIMEOUT: Final = 600.0


def cache() -> Path:
    """Where trees and wheels are kept between runs: $CBMON_TEST_CACHE, or in the user's cache."""
    chosen = os.environ.get("CBMON_TEST_CACHE")
    if chosen is None:
        chosen = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        chosen += "/cbmon-tests"
    path = Path(chosen)
    path.mkdir(parents=True, exist_ok=True)
    return path


def debian_tree() -> Path:
    """A minimal Debian of this machine's release; absent when it cannot be had."""
    if os.geteuid() != 0:
        absent("a container needs root")
    mirror, suite = _mirror()
    tree = cache() / f"debian-{suite}"
    if not tree.exists():
        debootstrap = program("debootstrap", package="debootstrap")
        with tempfile.TemporaryDirectory(dir=cache()) as beside:
            made = Path(beside) / "tree"
            command = [debootstrap, "--variant=minbase", f"--include={PACKAGES}"]
            done = finished([*command, suite, made, mirror], timeout=MAKE_TIMEOUT)
            if done.returncode:
                absent(f"debootstrap failed: {done.stdout[-500:]}{done.stderr[-500:]}")
            made.rename(tree)
    return tree


def _mirror() -> tuple[str, str]:
    """The address and release of the machine's main Debian source, as apt has them."""
    apt = program("apt-get", package="apt")
    form = "$(LABEL)|$(COMPONENT)|$(CREATED_BY)|$(SITE)|$(CODENAME)"
    found = finished([apt, "indextargets", "--format", form]).stdout.splitlines()
    main = [line.split("|")[3:] for line in found if line.startswith("Debian|main|Packages|")]
    if not main:
        absent("apt has no source of Debian's main packages")
    site, codename = main[0]
    return site, codename


def wheels(directory: Path) -> Path:
    """cbmon as it lies here, and what it needs by its lock, as wheels in ``directory``."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    lock = ROOT / "requirements" / "run.txt"
    kept = cache() / f"wheels-{hashlib.sha256(lock.read_bytes()).hexdigest()[:16]}"
    if not kept.exists():
        with tempfile.TemporaryDirectory(dir=cache()) as beside:
            made = Path(beside) / "wheels"
            _done(
                [*pip, "download", "--only-binary", ":all:", "--dest", str(made), "-r", str(lock)]
            )
            made.rename(kept)
    shutil.copytree(kept, directory)
    _done([*pip, "wheel", "--no-deps", "--wheel-dir", str(directory), str(ROOT)])
    return directory


def _done(command: Sequence[str]) -> None:
    done = finished(command, timeout=MAKE_TIMEOUT)
    if done.returncode:
        absent(f"{' '.join(command[:4])} failed: {done.stderr[-500:]}")


class Machine:
    """One container with its tree, from before its boot to its poweroff."""

    def __init__(self, directory: Path, tree: Path) -> None:
        self.root = directory / "root"
        finished(["cp", "--archive", "--reflink=auto", tree, self.root]).check_returncode()
        self._nspawn = [
            program("systemd-nspawn", package="systemd-container"),
            "--quiet",
            f"--directory={self.root}",
            f"--machine=cbmon-test-{os.getpid()}",
            "--private-network",
            "--register=no",
            "--keep-unit",
            "--link-journal=no",
        ]
        command = [*self._nspawn, "--console=read-only", "--boot"]
        self.process = Process("machine", command, directory)

    def prepare(self, script: str, *, see: Path) -> None:
        """Run a shell script in the tree before the boot; it sees a directory as /given."""
        command = [*self._nspawn, "--pipe", f"--bind-ro={see}:/given", "/bin/sh", "-euc", script]
        done = finished(command, timeout=MAKE_TIMEOUT)
        assert done.returncode == 0, done.stdout + done.stderr

    def boot(self) -> None:
        """Boot it, and wait until systemd has started everything."""
        self.process.start()
        eventually(self._leader, "the container's first process")
        eventually(self._is_up, "systemd to be up", 60.0)

    def run(self, *command: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a command inside."""
        inside = ["nsenter", "--target", str(self._leader()), "--all", "--", *command]
        return finished(inside, timeout=timeout)

    def poweroff(self) -> None:
        self.run("systemctl", "poweroff")
        self.process.wait(60.0)

    def show(self, unit: str, *names: str) -> dict[str, str]:
        """Properties of a unit."""
        lines = self.run("systemctl", "show", unit, "-p", ",".join(names)).stdout.splitlines()
        return dict(line.split("=", 1) for line in lines)

    def journal(self, unit: str) -> str:
        """Everything a unit has logged."""
        return self.run("journalctl", "--unit", unit, "--no-pager", "--output=cat").stdout

    def _leader(self) -> int:
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        children = path.read_text().split()
        assert children, self.process.log()
        return int(children[0])

    def _is_up(self) -> bool:
        state = self.run("systemctl", "is-system-running").stdout.strip()
        return state in {"running", "degraded"}
