"""What was heard of a job, and what that means now.

Rule: pure; the caller gives the time, in Unix seconds. A heart that was restored gets its grace
anew: what was said while nobody listened is not held against the job.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final

from cbmon.model import Reason
from cbmon.probes.failure import ProbeError, seconds
from cbmon.probes.heartbeat.plan import Plan

MOST_RUNS: Final = 100
"""Runs that are followed at a time; the oldest is forgotten first."""


class Beat(StrEnum):
    """What a job can say."""

    START = "start"
    SUCCESS = "success"
    FAIL = "fail"


@dataclass(slots=True, kw_only=True)
class Heart:
    """The job's side of a check. Times are Unix seconds."""

    since: float
    """When it was first waited for."""
    succeeded_at: float | None = None
    failed_at: float | None = None
    exit_status: int | None = None
    took: float | None = None
    """Seconds that the last run took, if it said when it started."""
    runs: dict[str, float] = field(default_factory=dict)
    """When the runs that are going on have started, by their ids."""
    patient_until: float = 0.0
    """Nothing is late before."""

    def hear(
        self, beat: Beat, now: float, *, run_id: str = "", exit_status: int | None = None
    ) -> None:
        """The job says something; ``run_id`` keeps runs apart that go on at the same time."""
        if beat is Beat.START:
            self.runs.pop(run_id, None)
            self.runs[run_id] = now
            if len(self.runs) > MOST_RUNS:
                del self.runs[next(iter(self.runs))]
            return
        started = self.runs.pop(run_id, None)
        self.took = None if started is None else max(0.0, now - started)
        if beat is Beat.SUCCESS:
            self.succeeded_at, self.failed_at, self.exit_status = now, None, None
        else:
            self.failed_at, self.exit_status = now, exit_status

    def expected_at(self, plan: Plan) -> float:
        """When the next success is expected."""
        return plan.after(self.since if self.succeeded_at is None else self.succeeded_at)

    def judge(self, plan: Plan, now: float, *, grace: float, max_runtime: float | None) -> None:
        """ProbeError (``status``, ``timeout``) unless all is well."""
        if self.failed_at is not None:
            how = "" if self.exit_status is None else f" with exit status {self.exit_status}"
            text = f"the job failed{how} {seconds(max(0.0, now - self.failed_at))} ago"
            raise ProbeError(Reason.STATUS, text)
        oldest = min(self.runs.values(), default=None)
        if max_runtime is not None and oldest is not None and now - oldest > max_runtime:
            text = f"a run started {seconds(now - oldest)} ago, expected its end within "
            raise ProbeError(Reason.TIMEOUT, text + seconds(max_runtime))
        due = self.expected_at(plan) + grace
        if now <= max(due, self.patient_until):
            return
        if max_runtime is not None and oldest is not None and oldest <= due:
            return
        raise ProbeError(Reason.TIMEOUT, self._late(due - grace, now))

    def _late(self, expected: float, now: float) -> str:
        last = (
            "none came yet"
            if self.succeeded_at is None
            else f"the last one was {seconds(max(0.0, now - self.succeeded_at))} ago"
        )
        return f"got no heartbeat, expected one {seconds(max(0.0, now - expected))} ago; {last}"

    def snapshot(self) -> dict[str, Any]:
        """What a restart needs, JSON-able."""
        return asdict(self)

    @classmethod
    def restored(cls, snapshot: Mapping[str, Any], now: float, grace: float) -> Heart:
        """The heart of a snapshot; ValueError when it makes no sense."""
        times = {
            name: _time(snapshot.get(name), now) for name in ("since", "succeeded_at", "failed_at")
        }
        runs = snapshot.get("runs")
        status = snapshot.get("exit_status")
        return cls(
            since=now if times["since"] is None else times["since"],
            succeeded_at=times["succeeded_at"],
            failed_at=times["failed_at"],
            exit_status=status if isinstance(status, int) else None,
            runs={
                str(name): started
                for name, at in (runs.items() if isinstance(runs, dict) else ())
                if (started := _time(at, now)) is not None
            },
            patient_until=now + grace,
        )


def _time(value: object, now: float) -> float | None:
    """A time, not in the future: the clock may have been wrong."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return min(float(value), now)
