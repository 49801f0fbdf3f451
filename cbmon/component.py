"""A component: one check or export, with its breaker and what was last seen of it.

Rule: state only. What is done with it is the monitor's business.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, Protocol, cast

from cbmon.backlog import Collecting
from cbmon.breaker import CircuitBreaker, State, TransitionEvent
from cbmon.events import Transition, new_id
from cbmon.interfaces import Attempt, Lasting
from cbmon.logs import fields
from cbmon.metrics import ComponentRecord
from cbmon.model import BreakerInfo, Reason, Result
from cbmon.probes.run import ONCE, Elsewhere, Plan
from cbmon.results.tracks import NO_TRACK, Recording

log = logging.getLogger(__name__)

CALM: Final = frozenset({State.CLOSED, State.FORCED_CLOSED, State.OBSERVE})
"""The states in which there is no incident."""
HELD: Final = frozenset({State.OPEN, State.FORCED_OPEN, State.DISABLED})
"""The states in which a component is not run."""


class Runner(Protocol):
    """What a component runs: a probe, or an export bound to the exposition."""

    async def run(self, attempt: Attempt) -> Result:
        """One run; never raises but ``CancelledError``."""
        ...

    async def close(self) -> None:
        """Give back what it holds between runs."""
        ...


@cache
def is_a(kind: type, role: type) -> bool:
    """Whether runners of a kind play a role; to look a protocol through takes microseconds."""
    return issubclass(kind, role)


class Component:
    """One check or export as the monitor knows it. Times named ``…_at`` are Unix seconds."""

    __slots__ = (
        "breaker",
        "held_since",
        "incident",
        "incident_started_at",
        "info",
        "interval",
        "last",
        "last_run_at",
        "last_success_at",
        "plan",
        "record",
        "recovery_wake",
        "runner",
        "sources",
        "streak",
        "task",
        "timeout",
        "track",
    )

    def __init__(
        self,
        *,
        info: BreakerInfo,
        breaker: CircuitBreaker,
        record: ComponentRecord,
        runner: Runner,
        interval: float,
        timeout: float,
        plan: Plan = ONCE,
    ) -> None:
        self.info = info
        self.breaker = breaker
        self.record = record
        self.runner = runner
        self.interval = interval
        self.timeout = timeout
        self.plan = plan
        self.sources: Mapping[str, str] = {}
        """Where the policy's fields come from that are not YAML's."""
        self.task: asyncio.Future[None] | None = None
        """The run that is going on."""
        self.last: Result | None = None
        self.track: Recording = NO_TRACK
        """Where its results are gathered for the store."""
        self.last_run_at: float | None = None
        self.last_success_at: float | None = None
        self.incident: str | None = None
        self.incident_started_at: float | None = None
        self.held_since: float | None = None
        self.streak = False
        self.recovery_wake: asyncio.TimerHandle | None = None

    @property
    def name(self) -> str:
        """The component's name, unique over checks and exports."""
        return self.info.name

    @property
    def is_light(self) -> bool:
        """Whether its runs need no task (:class:`cbmon.interfaces.Light`)."""
        plan = self.plan
        if plan.confirmations or plan.every_address:
            return False
        return getattr(self.runner, "light", False)

    @property
    def is_elsewhere(self) -> bool:
        """Whether its runs are in another process."""
        return is_a(type(self.runner), Elsewhere)

    @property
    def collects(self) -> bool:
        """Whether it has something to do while its breaker is open."""
        collecting = is_a(type(self.runner), Collecting)
        return collecting and self.breaker.state is not State.DISABLED

    async def collect(self) -> None:
        """Instead of a run: keep what it cannot hand on, for at most its timeout."""
        if not isinstance(self.runner, Collecting):
            return
        try:
            async with asyncio.timeout(self.timeout):
                await self.runner.collect()
        except TimeoutError:
            log.warning("nothing kept in time", extra=fields(component=self.name))

    def transition(self, moved: TransitionEvent) -> Transition:
        """A move of its breaker as the daemon's event; opens and ends the incident.

        An incident lasts from first leaving closed until closed again; the closing move still
        belongs to it.
        """
        to_state = State(moved.to_state)
        if self.incident is None and to_state not in CALM:
            self.incident = new_id(moved.at)
            self.incident_started_at = moved.at
        incident, started = self.incident, self.incident_started_at
        if to_state in CALM:
            self.incident = self.incident_started_at = None
        return Transition(
            id=new_id(moved.at),
            at=moved.at,
            component=self.name,
            category=self.info.category,
            from_state=moved.from_state,
            to_state=moved.to_state,
            cause=moved.cause,
            text=moved.text,
            reason=Reason(moved.last_reason) if moved.last_reason else None,
            last_error=moved.last_error,
            actor=moved.actor,
            incident=incident,
            incident_started_at=started,
            retry_after=moved.retry_after,
            failure_count=moved.failure_count,
            cycles=moved.cycles,
            trips=self.breaker.counts.trips,
            info=self.info,
            snapshot=self.snapshot(),
        )

    def snapshot(self) -> dict[str, Any]:
        """What a restart needs to go on where this process stopped."""
        last = self.last
        lasting = is_a(type(self.runner), Lasting)
        return {
            "breaker": self.breaker.snapshot(),
            "incident": self.incident,
            "incident_started_at": self.incident_started_at,
            "last_run_at": self.last_run_at,
            "last_success_at": self.last_success_at,
            "last_reason": last.reason if last else None,
            "last_error": last.error if last else None,
            **({"probe": cast("Lasting", self.runner).snapshot()} if lasting else {}),
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Take up a snapshot; one that makes no sense leaves the component as new."""
        incident = snapshot.get("incident")
        self.incident = incident if isinstance(incident, str) else None
        self.incident_started_at = _number(snapshot.get("incident_started_at"))
        breaker = snapshot.get("breaker")
        self.breaker.restore(breaker if isinstance(breaker, dict) else {})
        if self.breaker.state in CALM:
            self.incident = self.incident_started_at = None
        self.last_run_at = _number(snapshot.get("last_run_at"))
        self.last_success_at = _number(snapshot.get("last_success_at"))
        probe = snapshot.get("probe")
        if isinstance(self.runner, Lasting) and isinstance(probe, dict):
            self.runner.restore(probe)


def _number(value: object) -> float | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    return None
