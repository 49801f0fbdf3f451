"""Applications that report, and the daemon's side that hears them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cbmon.apps import Apps, Bounds, parse_report
from cbmon.events import Event, Transition
from cbmon.model import BreakerInfo
from cbmon.testing import ManualClock


class FakeNumbers:
    def __init__(self) -> None:
        self.breakers: dict[str, Any] = {}
        self.up: dict[tuple[str, str], bool] = {}
        self.reports = [0, 0]

    def add_breaker(self, breaker: Any) -> None:
        self.breakers[breaker.name] = breaker

    def remove_breaker(self, breaker: Any) -> None:
        self.breakers.pop(breaker.name, None)

    def app(self, application: str, process: str, *, up: bool, heard_at: float) -> None:
        self.up[application, process] = up

    def remove_app(self, application: str, process: str) -> None:
        self.up.pop((application, process), None)

    def app_report(self, *, refused: bool) -> None:
        self.reports[refused] += 1


class World:
    def __init__(self, **bounds: Any) -> None:
        self.clock = ManualClock()
        self.numbers = FakeNumbers()
        self.events: list[Event] = []
        self.gone: list[str] = []
        self.checks: set[str] = set()
        self.bounds = Bounds(**bounds)
        self.apps = self.made()

    def made(self) -> Apps:
        return Apps(
            clock=self.clock,
            metrics=self.numbers,
            publish=self.events.append,
            forget=self._forget,
            taken=self.checks.__contains__,
            labels=lambda: {"site": "fra1"},
            bounds=self.bounds,
        )

    def _forget(self, gone: Sequence[BreakerInfo]) -> None:
        self.gone += [info.name for info in gone]

    def say(
        self,
        state: str = "closed",
        *moves: tuple[int, str, str],
        owner: str = "ci",
        name: str = "redis",
        breaker: dict[str, Any] | None = None,
        **head: Any,
    ) -> Any:
        told = [
            {"number": n, "from": a, "to": b, "at": self.clock.time(), "cause": "x"}
            for n, a, b in moves
        ]
        body = {
            "application": "shop",
            "run": "r1",
            "ttl_seconds": 30,
            "breakers": [{"name": name, "state": state, "moves": told, **(breaker or {})}],
            **head,
        }
        return self.apps.take(parse_report(body), owner)

    @property
    def moves(self) -> list[tuple[str, str]]:
        return [(e.from_state, e.to_state) for e in self.events if isinstance(e, Transition)]
