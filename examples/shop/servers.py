"""The processes around the shop: started in a directory, ended by their ids, frozen and thawed.

PostgreSQL and Redis are those of the system (Debian: postgresql, redis-server). So is Prometheus
(Debian: prometheus), which is started where there is one.
"""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
NAMES = ("postgres", "redis", "llm", "shipping")
"""The dependencies, as their breakers are called."""
SCRAPE = "1s"
"""How often Prometheus looks."""


class MissingServerError(Exception):
    """A server of the system is not installed."""


def environment(state: Path, port: int, daemon_port: int) -> dict[str, str]:
    """What every process of the example is told."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")]),
        "SHOP_STATE": str(state),
        "SHOP_PORT": str(port),
        "SHOP_HOOK_PORT": str(port + 5),
        "SHOP_DAEMON_PORT": str(daemon_port),
    }


def commands(state: Path, port: int, daemon_port: int) -> dict[str, list[str]]:
    """How each process is started."""
    python, stubs = sys.executable, str(HERE / "stubs.py")
    redis = ["--port", str(port + 2), "--bind", "127.0.0.1", "--save", "", "--dir", str(state)]
    return {
        "postgres": _postgres(state / "postgres", port + 1),
        "redis": [_program("redis-server"), *redis],
        "llm": [python, stubs, "llm", str(port + 3)],
        "shipping": [python, stubs, "mcp", str(port + 4)],
        "daemon": [python, "-m", "cbmon", "run", "--config.file", str(HERE / "cbmon.yml"),
                   "--storage.path", str(state / "daemon")],
        "shop": [python, "-m", "uvicorn", "shop:app", "--app-dir", str(HERE), "--port", str(port),
                 "--log-level", "warning", "--no-access-log"],
        **_prometheus(state, port, daemon_port),
    }  # fmt: skip


async def start(name: str, command: list[str], state: Path, env: dict[str, str]) -> int:
    """Start one of them; its process id, which is also kept in the directory."""
    with (state / f"{name}.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=env,
            start_new_session=True,
            user=_owner() if name == "postgres" else None,
            cwd=state / "postgres" if name == "postgres" else None,
        )
    (state / f"{name}.pid").write_text(str(process.pid))
    return process.pid


def freeze(state: Path, name: str) -> None:
    """Let it hang: connections stay, nothing answers."""
    _tell(state, name, signal.SIGSTOP)


def thaw(state: Path, name: str) -> None:
    """Let it go on."""
    _tell(state, name, signal.SIGCONT)


def end(state: Path, name: str) -> None:
    """End it, frozen or not."""
    thaw(state, name)
    number = signal.SIGINT if name == "postgres" else signal.SIGTERM
    _send(int((state / f"{name}.pid").read_text()), number)


def _tell(state: Path, name: str, number: signal.Signals) -> None:
    for pid in _family(int((state / f"{name}.pid").read_text())):
        _send(pid, number)


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it has ended by itself


def _family(pid: int) -> list[int]:
    """A process and its children: PostgreSQL has one for each connection."""
    found = [pid]
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if parent == pid:
            found.append(int(path.parent.name))
    return found


def prometheus_port(port: int) -> int:
    """Where Prometheus listens."""
    return port + 7


def _prometheus(state: Path, port: int, daemon_port: int) -> dict[str, list[str]]:
    """Scrapes the daemon and the shop every second; none where it is not installed."""
    found = shutil.which("prometheus")
    if found is None:
        return {}
    token = {"authorization": {"credentials_file": str(state / "operator.token")}}
    config = {
        "global": {"scrape_interval": SCRAPE, "scrape_timeout": SCRAPE},
        "scrape_configs": [
            {"job_name": "cbmon", **token, **_scraped(daemon_port)},
            {"job_name": "shop", "metrics_path": "/metrics/", **_scraped(port)},
        ],
    }
    file = state / "prometheus.yml"
    file.write_text(json.dumps(config))  # JSON is YAML
    listen = f"--web.listen-address=127.0.0.1:{prometheus_port(port)}"
    home = f"--storage.tsdb.path={state / 'prometheus'}"
    return {"prometheus": [found, f"--config.file={file}", home, listen, "--log.level=warn"]}


def _scraped(port: int) -> dict[str, object]:
    return {"static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}


def _postgres(home: Path, port: int) -> list[str]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        raise MissingServerError("PostgreSQL is not installed (Debian: postgresql)")
    tools, owner = found[-1].parent, _owner()
    if not (home / "data").exists():
        home.mkdir(parents=True, exist_ok=True)
        if owner is not None:
            shutil.chown(home, owner)
        subprocess.run(
            [tools / "initdb", "-D", home / "data", "-U", "shop", "-A", "trust"],
            check=True, user=owner, cwd=home, stdout=subprocess.DEVNULL,
        )  # fmt: skip
    options = ["-p", str(port), "-k", str(home), "-c", "listen_addresses=127.0.0.1"]
    return [str(tools / "postgres"), "-D", str(home / "data"), *options, "-c", "fsync=off"]


def _owner() -> str | None:
    """PostgreSQL does not run as root."""
    return pwd.getpwnam("postgres").pw_name if os.getuid() == 0 else None


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise MissingServerError(f"{name} is not installed (Debian: {name})")
    return found
