"""Real servers as Debian packages them, each with the least configuration that works.

Rule: loopback only, no privilege, nothing outside its own directory; ready means it said so.
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from tests.integration.harness.processes import Process, eventually, free_port, program
from tests.integration.harness.web import Answer, fetch

_NGINX: Final = """
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{ return 200 "ok\\n"; }}
    }}
}}
"""


class Server:
    """A server on a free port of its own, which it keeps when it is started again."""

    ready_path = "/-/ready"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        directory.mkdir(parents=True, exist_ok=True)
        self.process = Process(type(self).__name__.lower(), self.command(), directory)

    def command(self) -> Sequence[str | Path]:
        raise AssertionError("every server says how it is started")

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self.process.start()
        eventually(self._ready, f"{self.process.name} to be ready", 15.0)

    def stop(self) -> None:
        self.process.stop()

    def get(self, path: str) -> Answer:
        return fetch(self.url + path)

    def _ready(self) -> bool:
        assert self.process.alive, f"{self.process.name} ended:\n{self.process.log()}"
        return self.get(self.ready_path).status == 200


class Nginx(Server):
    """Answers 200 "ok" to everything."""

    ready_path = "/"

    def command(self) -> Sequence[str | Path]:
        path = self.directory / "nginx.conf"
        path.write_text(_NGINX.format(directory=self.directory, port=self.port))
        binary = program("nginx", package="nginx-light")
        return [binary, "-p", self.directory, "-c", path, "-e", "stderr"]


class Pushgateway(Server):
    def command(self) -> Sequence[str | Path]:
        binary = program("prometheus-pushgateway", "pushgateway", package="prometheus-pushgateway")
        address = f"--web.listen-address=127.0.0.1:{self.port}"
        return [binary, address, "--persistence.file=", "--log.level=debug"]


class NodeExporter(Server):
    """Only its textfile collector, reading ``textfiles``."""

    ready_path = "/"

    def __init__(self, directory: Path) -> None:
        self.textfiles = directory / "textfiles"
        super().__init__(directory)
        self.textfiles.mkdir()

    def command(self) -> Sequence[str | Path]:
        binary = program(
            "prometheus-node-exporter", "node_exporter", package="prometheus-node-exporter"
        )
        return [
            binary,
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--collector.disable-defaults",
            "--collector.textfile",
            f"--collector.textfile.directory={self.textfiles}",
        ]


class Alertmanager(Server):
    def command(self) -> Sequence[str | Path]:
        path = self.directory / "alertmanager.yml"
        path.write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
        binary = program(
            "prometheus-alertmanager", "alertmanager", package="prometheus-alertmanager"
        )
        return [
            binary,
            f"--config.file={path}",
            f"--storage.path={self.directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--cluster.listen-address=",
        ]


class Prometheus(Server):
    """Scrapes what it is given, several times a second.

    ``jobs`` maps a job's name to an address ``host:port``; ``scrape`` holds more options for each.
    """

    def __init__(
        self,
        directory: Path,
        jobs: Mapping[str, str],
        *,
        interval: str = "200ms",
        scrape: Mapping[str, Any] | None = None,
    ) -> None:
        self._config = {
            "global": {"scrape_interval": interval, "scrape_timeout": interval},
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": [address]}], **(scrape or {})}
                for job, address in jobs.items()
            ],
        }
        super().__init__(directory)

    def command(self) -> Sequence[str | Path]:
        path = self.directory / "prometheus.yml"
        path.write_text(yaml.safe_dump(self._config))
        return [
            program("prometheus", package="prometheus"),
            f"--config.file={path}",
            f"--storage.tsdb.path={self.directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--log.level=debug",
        ]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The result of an instant query: metrics with ``value``, or ``values`` for a range."""
        answer = self.get("/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
        found = json.loads(answer.body)
        assert found["status"] == "success", found
        result: list[dict[str, Any]] = found["data"]["result"]
        return result

    def value(self, expression: str) -> float | None:
        """The value of the one series an expression gives; None when it gives none."""
        result = self.query(expression)
        assert len(result) <= 1, f"{expression} gives {len(result)} series"
        return float(result[0]["value"][1]) if result else None

    def samples(self, selector: str, window: str = "10m") -> list[tuple[float, float]]:
        """Every stored sample of one series as (time, value), oldest first."""
        result = self.query(f"{selector}[{window}]")
        assert len(result) == 1, f"{selector} gives {len(result)} series"
        return [(float(at), float(value)) for at, value in result[0]["values"]]

    def targets(self) -> list[dict[str, Any]]:
        """What it scrapes, with ``health`` and ``lastError``."""
        found: list[dict[str, Any]] = self.get("/api/v1/targets").json["data"]["activeTargets"]
        return found
