"""Applications and their breakers, as the daemon keeps them.

Rule: state only; what happens to it is the hub's business. Times named ``…_at`` are Unix seconds,
``heard`` is monotonic.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from cbmon.apps.orders import OrderBook
from cbmon.apps.remote import RemoteBreaker
from cbmon.apps.report import BreakerReport, Report
from cbmon.breaker import State
from cbmon.model import UP_STATES, BreakerInfo, Category, Result

KEY: Final = "app"
"""Under which a snapshot in the store says that it is an application's."""


@dataclass(slots=True, kw_only=True)
class Process:
    """One process of an application."""

    application: str
    process: str
    owner: str
    """Whose token reported it first."""
    report: Report
    common: Mapping[str, str] = field(default_factory=dict)
    """Labels of everything that this daemon watches."""
    heard: float
    heard_at: float
    silent: bool = False
    orders: OrderBook = field(default_factory=OrderBook)
    ordered: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when there is an order to take."""

    @property
    def key(self) -> tuple[str, str]:
        """What it is known by."""
        return self.application, self.process


class Reported:
    """One breaker of an application, in the shape in which the web reads components."""

    __slots__ = (
        "breaker",
        "heard_at",
        "incident",
        "incident_started_at",
        "last_number",
        "name",
        "process",
        "run",
    )

    last: Result | None = None
    last_success_at: float | None = None
    sources: Mapping[str, str] = MappingProxyType({})

    def __init__(self, name: str, process: Process, breaker: RemoteBreaker) -> None:
        self.name = name
        self.process = process
        self.breaker = breaker
        self.run = ""
        self.last_number = 0
        self.heard_at = process.heard_at
        self.incident: str | None = None
        self.incident_started_at: float | None = None

    @property
    def info(self) -> BreakerInfo:
        """What is known of it besides its state."""
        report, told = self.process.report, self.breaker.report
        return BreakerInfo(
            name=self.name,
            category=Category.APP,
            group=self.process.application,
            target=self._target(),
            kind="app",
            tags=tuple(dict.fromkeys((*report.tags, *told.tags))),
            labels={**self.process.common, **report.labels, **told.labels},
        )

    @property
    def interval(self) -> float:
        """Seconds between two reports."""
        return self.process.report.interval

    @property
    def timeout(self) -> float:
        """Seconds for which a report is believed."""
        return self.process.report.ttl

    @property
    def last_run_at(self) -> float | None:
        """When it was heard of last."""
        return self.heard_at

    def _target(self) -> str:
        process = self.process.process
        where = f"{self.process.application} on {process}" if process else self.process.application
        if not self.breaker.silent:
            return where
        since = datetime.fromtimestamp(self.heard_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return f"{where}, silent since {since}"

    def snapshot(self) -> dict[str, Any]:
        """What a restart of the daemon needs."""
        return {
            KEY: {
                "application": self.process.application,
                "process": self.process.process,
                "owner": self.process.owner,
                "breaker": self.breaker.report.name,
                "run": self.run,
                "number": self.last_number,
                "state": self.breaker.state.value,
                "ttl": self.process.report.ttl,
                "heard_at": self.heard_at,
                "tags": list(self.info.tags),
                "labels": dict(self.info.labels),
            },
            "incident": self.incident,
            "incident_started_at": self.incident_started_at,
        }


def component_name(application: str, process: str, breaker: str) -> str:
    """``shop:redis``, or ``shop:redis@web-1`` when the process has a name.

    A slash, which cannot stand in an address, becomes a colon.
    """
    plain = breaker.strip("/").replace("/", ":") or ":"
    return f"{application}:{plain}@{process}" if process else f"{application}:{plain}"


def from_snapshot(row: Mapping[str, Any]) -> tuple[Report, str, int, str, float, str] | None:
    """Report, run, last number, breaker, when heard and owner; None for what is no snapshot."""
    told = row.get(KEY)
    if not isinstance(told, Mapping):
        return None
    try:
        state = State(told["state"])
        report = Report(
            application=str(told["application"]),
            process=str(told["process"]),
            run=str(told["run"]),
            ttl=float(told["ttl"]),
            labels=dict(told["labels"]),
            tags=tuple(told["tags"]),
            breakers=(bare_report(str(told["breaker"]), state),),
        )
        number, heard_at = int(told["number"]), float(told["heard_at"])
    except (KeyError, TypeError, ValueError):
        return None
    return report, report.run, number, report.breakers[0].name, heard_at, str(told.get("owner", ""))


def bare_report(name: str, state: State) -> BreakerReport:
    """A report that says nothing but a state."""
    from cbmon.apps.report import parse_report  # noqa: PLC0415 - beside its only use

    told = {"application": "x", "breakers": [{"name": name, "state": state.value}]}
    return parse_report(told).breakers[0]


def is_up(state: str) -> bool:
    """Whether there is no incident in this state."""
    return state in UP_STATES
