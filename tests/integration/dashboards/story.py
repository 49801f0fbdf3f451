"""Six hours of a daemon and an application, made by their own exposition code on a clock we move.

Rule: nothing is written by hand: the samples are what `/metrics` would have said at each scrape.
"""

from __future__ import annotations

import math
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest

from cbmon import BreakerRegistry, CircuitBreaker
from cbmon.backlog import Backlog, DropCause
from cbmon.build import config_types, info_of
from cbmon.config import CheckConfig, Config, ExportConfig, load_config
from cbmon.metrics import BreakerCollector, ComponentRecord, Metrics
from cbmon.metrics.records import DiscoveryRecord
from cbmon.model import Phases, Reason, Result, SkipCause, Unit
from cbmon.notify.policy import Why
from cbmon.testing import ManualClock
from tests.integration.harness import program

SCRAPE: Final = 60.0
TICKS: Final = 3600 / SCRAPE
HOURS: Final = 6.0
START: Final = 1_767_225_600.0
"""2026-01-01 00:00 UTC: a whole number of hours, so that pictures have round times."""
END: Final = START + HOURS * 3600
ODD: Final = r'odd "$job" [[x]] \d {a} ☂'

CONFIG: Final[dict[str, Any]] = {
    "global": {"external_url": "https://cbmon.example.net"},
    "alerting": {"scrape_interval": "60s"},
    "defaults": {"interval": "60s", "timeout": "5s"},
    "checks": [
        {
            "name": "shop-api",
            "group": "shop",
            "http": {"url": "https://shop.example.net/health"},
            "breaker": {
                "kind": "percentage",
                "window_size": 20,
                "minimum_calls": 5,
                "failure_rate_threshold": 0.4,
                "slow_call_seconds": 0.8,
                "slow_call_rate_threshold": 0.5,
            },
        },
        {
            "name": "shop-db",
            "group": "shop",
            "tcp": {"address": "db.example.net:5432"},
            "breaker": {"half_open_max_calls": 3, "success_threshold": 3},
        },
        {
            "name": "search",
            "http": {"url": "https://search.example.net/"},
            "breaker": {"failure_threshold": 3, "recovery_timeout": "10m", "recovery_backoff": 1.5},
        },
        {
            "name": "billing",
            "http": {"url": "https://billing.example.net/"},
            "breaker": {
                "recovery_timeout": "5m",
                "auto_disable_enabled": True,
                "max_failure_cycles": 4,
            },
        },
        {"name": "website", "http": {"url": "https://www.example.net/"}},
        {"name": "retired", "tcp": {"address": "old.example.net:80"}},
        {"name": ODD, "http": {"url": "https://odd.example.net/"}},
    ],
    "exports": [
        {"name": "textfile", "textfile": {"path": "/var/lib/node_exporter/cbmon.prom"}},
        {"name": "gateway", "pushgateway": {"url": "http://127.0.0.1:9091"}},
        {"name": "mimir", "remote_write": {"url": "https://mimir.example.net/api/v1/push"}},
    ],
    "notifications": {
        "route": {"receiver": "oncall"},
        "receivers": [
            {"name": "oncall", "webhook": {"url": "https://hooks.example.net/a"}},
            {"name": "chat", "webhook": {"url": "https://hooks.example.net/b"}},
        ],
    },
}

UNITS: Final[tuple[Unit, ...]] = ("value", "seconds", "bytes", "ratio", "counter")

Ends = Callable[[float], Result]
"""How a run at an hour of the story ends."""


def load(
    directory: Path, config: dict[str, Any] = CONFIG, environ: Mapping[str, str] | None = None
) -> Config:
    """The configuration as the daemon would have read it."""
    path = directory / "cbmon.yml"
    path.write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    return load_config(path, types=config_types(), environ=environ or {})


def _good(seconds: float, expiry_days: float | None = None) -> Result:
    phases = Phases(0.004, 0.1 * seconds, 0.2 * seconds, 0.6 * seconds, 0.1 * seconds)
    expiry = None if expiry_days is None else END + expiry_days * 86_400
    return Result(
        ok=True,
        duration=seconds,
        phases=phases,
        certificate_expiry=expiry,
        domain_expiry=None if expiry is None else expiry + 90 * 86_400,
    )


def _bad(reason: Reason, seconds: float) -> Result:
    return Result(ok=False, duration=seconds, reason=reason, error=str(reason))


def _wave(hour: float, base: float) -> float:
    return base * (1.2 + math.sin(hour * 9) / 3 + math.sin(hour * 47) / 9)


def _shop_api(hour: float) -> Result:
    if 1.0 <= hour < 1.4:
        return _good(_wave(hour, 1.1), 40)
    if 3.0 <= hour < 3.3 and int(hour * TICKS) % 2:
        return _bad(Reason.STATUS, 0.2)
    return _good(_wave(hour, 0.25), 40)


def _shop_db(hour: float) -> Result:
    down = 2.0 <= hour < 2.5 or 4.2 <= hour < 4.3
    return _bad(Reason.CONNECT, 0.01) if down else _good(_wave(hour, 0.008))


def _search(hour: float) -> Result:
    down = 0.5 <= hour < 0.7 or hour >= 5.0
    return _bad(Reason.TIMEOUT, 5.0) if down else _good(_wave(hour, 0.6), 9)


def _billing(hour: float) -> Result:
    return _bad(Reason.TLS, 0.05) if hour >= 3.5 else _good(_wave(hour, 0.1), 2)


def _gateway(hour: float) -> Result:
    return _bad(Reason.CONNECT, 0.01) if 1.5 <= hour < 2.0 else _good(0.03)


def _mimir(hour: float) -> Result:
    return _bad(Reason.STATUS, 0.02) if 2.5 <= hour < 3.0 else _good(0.08)


def _fine(hour: float) -> Result:
    return _good(_wave(hour, 0.12), 200)


STORY: Final[dict[str, Ends]] = {
    "shop-api": _shop_api,
    "shop-db": _shop_db,
    "search": _search,
    "billing": _billing,
    "gateway": _gateway,
    "mimir": _mimir,
}


@dataclass(slots=True)
class Part:
    """A check or export in the story."""

    record: ComponentRecord
    breaker: CircuitBreaker
    ends: Ends

    def run(self, clock: ManualClock, hour: float) -> None:
        permit = self.breaker.try_acquire()
        if permit is None:
            self.record.skip(SkipCause.BREAKER)
            return
        result = self.ends(hour)
        self.breaker.record(
            permit,
            failed=not result.ok,
            duration=result.duration,
            reason=result.reason,
            error=result.error,
        )
        self.record.observe(result, clock.time())


@dataclass
class Story:
    """The daemon, the receivers and an application, moved forward scrape by scrape."""

    config: Config
    clock: ManualClock = field(default_factory=lambda: ManualClock(wall=START))

    def __post_init__(self) -> None:
        self.metrics = Metrics(self.clock, suppressions=[str(why) for why in Why])
        self.parts = {item.name: self._part(item) for item in self._items()}
        self.metrics.next_run = lambda name: self.clock.monotonic() + len(name)
        self.receivers: dict[str, CircuitBreaker] = {}
        for receiver in self.config.notifications.receivers:
            guard = CircuitBreaker(
                receiver.name, receiver.policy, clock=self.clock, category="receiver"
            )
            self.receivers[receiver.name] = guard
            self.metrics.add_receiver(receiver.name)
            self.metrics.add_breaker(guard)
        self.metrics.reloaded(ok=True, at=START, hash=self.config.hash)
        self.mimir = self.parts["mimir"].record.backlog = Backlog()
        self.metrics.discoveries["fleet"] = DiscoveryRecord("fleet")
        self.workers = self.metrics.add_workers(2)
        self.perfdata = self.metrics.add_perfdata("website", {unit: unit for unit in UNITS})
        self.users = BreakerRegistry(failure_threshold=3, clock=self.clock)
        for name in ("payments", "geocoder"):
            self.users.get(name).enable_duration_histogram()
        self.scraped = CollectorRegistry()
        self.scraped.register(BreakerCollector(self.users))

    def _items(self) -> list[CheckConfig | ExportConfig]:
        return [*self.config.checks, *self.config.exports]

    def _part(self, item: CheckConfig | ExportConfig) -> Part:
        info = info_of(item, self.config)
        breaker = CircuitBreaker(
            item.name, item.policy, clock=self.clock, seed=1, category=info.category
        )
        record = self.metrics.add_component(info, breaker)
        return Part(record, breaker, STORY.get(item.name, _fine))

    @property
    def hour(self) -> float:
        return (self.clock.time() - START) / 3600

    def step(self) -> None:
        """What happens between two scrapes."""
        self.clock.advance(SCRAPE)
        hour = self.hour
        if hour >= 5.5 and "retired" in self.parts:
            del self.parts["retired"]
            self.metrics.remove_component("retired")
        for part in self.parts.values():
            part.run(self.clock, hour)
            self.metrics.lateness(0.0004 + 0.002 * (hour % 1))
        self.metrics.results_stored(len(self.parts))
        self.metrics.loop_lag(0.003 + 0.002 * math.sin(hour))
        if 2.0 <= hour < 2.05:
            self.metrics.store_error()
        if round(hour * TICKS) == 3 * TICKS:
            self.metrics.reloaded(ok=True, at=self.clock.time(), hash=self.config.hash)
        self._notify(hour)
        self._serve(hour)
        self._write(hour)
        self._report(hour)
        self._work(hour)

    def _work(self, hour: float) -> None:
        """Two workers, one of which dies once; and what the plug-in of a check says."""
        for number, worker in enumerate(self.workers):
            worker.up = int(not (number and 2.0 <= hour < 2.1))
            worker.restarts = int(number and hour >= 2.1)
            worker.repeated = 3 * worker.restarts
            worker.runs += 40
            worker.in_flight = 2 + number
            worker.cpu += 0.6
            worker.resident, worker.descriptors = 70_000_000, 60
        said = [{"label": unit, "value": hour} for unit in UNITS if hour < 5.0 or unit != "bytes"]
        self.perfdata.tell(said)

    def _report(self, hour: float) -> None:
        """Two processes of an application report; one is silent for a while."""
        for process in ("web-1", "web-2"):
            silent = process == "web-2" and 3.5 <= hour < 4.0
            at = START + 3.5 * 3600 if silent else self.clock.time()
            self.metrics.app("checkout", process, up=not silent, heard_at=at)
            if not silent:
                self.metrics.app_report(refused=2.0 <= hour < 2.1)

    def _write(self, hour: float) -> None:
        """The remote is away for half an hour and then catches up; a list of targets grows."""
        backlog = self.mimir
        away = 2.5 <= hour < 3.0
        backlog.queue = backlog.queue + 4 if away else max(0, backlog.queue - 12)
        backlog.bytes = backlog.queue * 61_000
        backlog.samples += 0 if away else 9_000
        backlog.oldest = START + 2.5 * 3600 if backlog.queue else 0.0
        if 4.0 <= hour < 4.1:
            backlog.drop(DropCause.REFUSED, 2000)
        fleet = self.metrics.discoveries["fleet"]
        fleet.targets, fleet.rejected = 40 + round(hour * 3), int(hour > 3)
        if 1.0 <= hour < 1.3:
            fleet.failures += 1
        else:
            fleet.last_success_at = self.clock.time()

    def _notify(self, hour: float) -> None:
        tick = round(hour * TICKS)
        if tick % 10 == 0:
            self._deliver("oncall", ok=not 2.0 <= hour < 2.2)
        if tick % 4 == 0:
            self._deliver("chat", ok=hour < 4.8)
        if tick % 25 == 0:
            self.metrics.notification_suppressed("oncall", str(Why.FOLDED))
        waiting = max(0, int((hour - 4.8) * 8))
        oldest = START + 4.8 * 3600 if waiting else None
        self.metrics.backlog("chat", waiting, oldest, 1 if hour > 5.5 else 0)

    def _deliver(self, receiver: str, *, ok: bool) -> None:
        guard = self.receivers[receiver]
        permit = guard.try_acquire()
        if permit is None:
            return
        guard.record(permit, failed=not ok, duration=0.3)
        if ok:
            self.metrics.notified(receiver, 0.4 + self.hour / 3)
        else:
            self.metrics.notification_failed(receiver, Reason.STATUS)

    def _serve(self, hour: float) -> None:
        for name in ("payments", "geocoder"):
            breaker = self.users.get(name)
            down = name == "geocoder" and 2.6 <= hour < 2.8
            for _ in range(5):
                if permit := breaker.try_acquire():
                    breaker.record(permit, failed=down, duration=_wave(hour, 0.05))

    def scrapes(self) -> Iterator[str]:
        """The sample lines of every scrape, with the labels that Prometheus gives them."""
        for _ in range(round(HOURS * 3600 / SCRAPE)):
            self.step()
            daemon = self.metrics.exposition.openmetrics().decode()
            at = self.clock.time()
            yield labelled(daemon, at, job="cbmon", instance="10.0.0.1:9813")
            if self.hour >= 5:
                yield labelled(daemon, at, job="cbmon", instance="10.0.0.2:9813")
            if self.hour >= 5.9:  # another cluster, whose daemon has the same name there
                yield labelled(daemon, at, job="cbmon", instance="10.0.0.1:9813", cluster="b")
            application = generate_latest(self.scraped).decode()  # type: ignore[no-untyped-call]
            yield labelled(application, at, job="shop", instance="10.0.0.3:8000")


_NAME: Final = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)")


def labelled(text: str, at: float, **labels: str) -> str:
    """The samples of an exposition with more labels and their time."""
    more = ",".join(f'{name}="{value}"' for name, value in labels.items())
    found = []
    for line in text.splitlines():
        if match := _NAME.fullmatch(line):
            name, own, value = match.groups()
            found.append(f"{name}{{{more}{f',{own}' if own else ''}}} {value} {at:.3f}\n")
    return "".join(found)


def backfill(directory: Path, story: Story) -> Path:
    """Blocks of a Prometheus' database with the whole story in them."""
    samples = directory / "story.om"
    with samples.open("w", encoding="utf-8") as file:
        file.writelines(story.scrapes())
        file.write("# EOF\n")
    blocks = directory / "data"
    blocks.mkdir(parents=True, exist_ok=True)
    tool = program("promtool", package="prometheus")
    done = subprocess.run(
        [tool, "tsdb", "create-blocks-from", "openmetrics", "--quiet", samples, blocks],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    samples.unlink()
    return blocks
