"""The daemon as a user runs it: ``python -m cbmon run`` on a file, in a directory of its own.

Rule: the tests see it only through its command line, its HTTP side, its signals, its log and its
database.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.harness.processes import Process, eventually, finished, free_port
from tests.integration.harness.web import Answer, fetch

ROOT: Final = Path(__file__).parents[3]
ENVIRON: Final = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
START_DEADLINE: Final = 15.0


class Daemon:
    """One daemon; its configuration may be written again while it runs."""

    def __init__(
        self,
        directory: Path,
        config: Mapping[str, Any],
        *,
        flags: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.address}"
        self.config_path = directory / "cbmon.yml"
        self.data = directory / "data"
        self.data.mkdir(exist_ok=True)
        self.write(config)
        self.process = Process(
            "cbmon",
            [*self.program(), "run", "--config.file", self.config_path, *flags],
            directory,
            environ={**ENVIRON, **(environ or {})},
        )

    @staticmethod
    def program() -> list[str]:
        """How this interpreter starts cbmon, installed or not."""
        return [sys.executable, "-m", "cbmon"]

    def write(self, config: Mapping[str, Any]) -> None:
        """Write the file, with storage and address filled in unless they are given."""
        filled: dict[str, Any] = {
            "storage": {"url": f"sqlite://{self.data / 'cbmon.db'}"},
            "web": {"listen": [self.address]},
        }
        beside = self.config_path.with_suffix(".new")
        beside.write_text(yaml.safe_dump({**filled, **config}, sort_keys=False))
        beside.replace(self.config_path)

    # --- life ------------------------------------------------------------------------------

    def start(self) -> float:
        """Start it and wait until it is ready; how long that took, in seconds."""
        began = time.monotonic()
        self.process.start()
        self.ready()
        return time.monotonic() - began

    def ready(self) -> None:
        """Wait until it says that it is ready."""
        eventually(self._is_ready, "cbmon to be ready", START_DEADLINE)

    def _is_ready(self) -> bool:
        if not self.process.alive:
            pytest.fail(f"cbmon ended with {self.process.wait()}:\n{self.log()}")
        return self.get("/-/ready").status == 200

    def signal(self, number: signal.Signals) -> None:
        self.process.signal(number)

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        return self.process.stop(25.0)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()

    def restart(self) -> float:
        """Stop in order and start again; seconds until ready."""
        assert self.stop() == 0, self.log()
        return self.start()

    def log(self) -> str:
        return self.process.log()

    def logged(self, *parts: str) -> list[str]:
        """The log lines that hold all these texts."""
        return [line for line in self.log().splitlines() if all(part in line for part in parts)]

    # --- HTTP ------------------------------------------------------------------------------

    def get(self, path: str, *, accept: str = "*/*") -> Answer:
        return fetch(self.url + path, headers={"Accept": accept})

    def post(self, path: str, body: bytes = b"") -> Answer:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        return fetch(self.url + path, method="POST", body=body, headers=headers, timeout=15.0)

    def breaker(self, name: str) -> dict[str, Any]:
        """What the API says of a breaker."""
        answer = self.get(f"/api/v1/breakers/{name}")
        assert answer.status == 200, answer
        found: dict[str, Any] = answer.json
        return found

    def metrics(self, name: str = "") -> dict[str, float]:
        """Samples by ``name{label="value",…}`` with sorted labels, of one name or all."""
        text = self.get("/metrics").text
        return {
            _spelled(sample.name, sample.labels): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if not name or sample.name == name
        }

    def metric(self, name: str, **labels: str) -> float | None:
        """One sample; None when it is not there."""
        return self.metrics(name).get(_spelled(name, labels))

    # --- command line and database -----------------------------------------------------------

    def cli(self, *arguments: str) -> tuple[int, str, str]:
        """Run ``cbmon …``: exit code, standard output, standard error."""
        environ = {**os.environ, **ENVIRON, "COLUMNS": "200"}
        done = finished([*self.program(), *arguments], env=environ, cwd=self.directory)
        return done.returncode, done.stdout, done.stderr

    def rows(self, query: str) -> list[dict[str, Any]]:
        """What the database of a stopped or killed daemon says.

        Read from a copy: opening the file itself would tidy up what the daemon is to find.
        """
        with tempfile.TemporaryDirectory() as copies:
            for file in self.data.glob("cbmon.db*"):
                shutil.copy(file, copies)
            with closing(sqlite3.connect(Path(copies, "cbmon.db"))) as connection:
                return _selected(connection, query)

    def live_rows(self, query: str) -> list[dict[str, Any]]:
        """What the database says while the daemon is at work; read only, as a backup would."""
        address = f"file:{self.data / 'cbmon.db'}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=5.0)) as connection:
            return _selected(connection, query)


def _selected(connection: sqlite3.Connection, query: str) -> list[dict[str, Any]]:
    connection.row_factory = sqlite3.Row
    return [dict(row) for row in connection.execute(query)]


def _spelled(name: str, labels: Mapping[str, str]) -> str:
    inside = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return f"{name}{{{inside}}}" if inside else name
