"""What is counted of one check, export or receiver: one slotted record each.

Rule: recording is a handful of assignments. Nothing is rendered, looked up or locked here; the
records belong to the event loop. What has been recorded is counted, so that those who render can
tell what is new to them.
"""

from __future__ import annotations

from bisect import bisect_left
from math import inf
from typing import Final, Protocol

from cbmon.backlog import Backlog
from cbmon.breaker.counts import Counts, Glance
from cbmon.breaker.policy import BreakerPolicy
from cbmon.breaker.states import State
from cbmon.metrics.families import CAUSES, DURATION_BOUNDS, LATENCY_BOUNDS
from cbmon.metrics.text import escape
from cbmon.model import NO_PHASES, BreakerInfo, Reason, Result, SkipCause

NO_BACKLOG: Final = Backlog()
_CAUSE: Final = {cause: index for index, cause in enumerate(CAUSES)}
_BREAKER: Final = _CAUSE[SkipCause.BREAKER]


class Distribution:
    """A histogram: the count of each bucket alone, and the sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value; one that equals a bound belongs below it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


class BreakerLike(Protocol):
    """A breaker, as far as a library's collector shows it."""

    category: str

    @property
    def name(self) -> str:
        """The ``component`` label."""
        ...

    @property
    def state(self) -> State:
        """The state now."""
        ...

    @property
    def counts(self) -> Counts:
        """The numbers of this moment."""
        ...

    def enable_duration_histogram(self) -> None:
        """Measure the duration of every call from now on."""
        ...


class DaemonBreaker(BreakerLike, Protocol):
    """A breaker, as far as the daemon's metrics are rendered from it."""

    @property
    def policy(self) -> BreakerPolicy:
        """The policy in force."""
        ...

    @property
    def next_deadline(self) -> float | None:
        """When the state moves by itself; None if never."""
        ...

    @property
    def version(self) -> int:
        """A number that has grown when the numbers have changed, but for what time changes."""
        ...

    def glance(self) -> Glance:
        """What every call changes of the numbers."""
        ...


class BreakerRecord:
    """A breaker and its label."""

    __slots__ = ("breaker", "edits", "encoded")

    def __init__(self, breaker: DaemonBreaker) -> None:
        self.breaker = breaker
        self.encoded = escape(breaker.name).encode()
        self.edits = 0
        """How many times something was recorded."""


class ComponentRecord(BreakerRecord):
    """The numbers of one check or export. Times named ``…_at`` are Unix seconds."""

    __slots__ = (
        "_info",
        "_others",
        "backlog",
        "certificate_expiry",
        "counts",
        "domain_expiry",
        "duration",
        "duration_sum",
        "events",
        "failures",
        "held_interval",
        "held_since",
        "last_run_at",
        "last_success_at",
        "name",
        "phases",
        "skips",
        "up",
    )

    def __init__(self, info: BreakerInfo, breaker: DaemonBreaker) -> None:
        super().__init__(breaker)
        self._info = info
        self.name = info.name
        self.up = 0
        self._others = 0
        """Of the edits, those that were no runs."""
        self.failures: dict[Reason, int] | None = None
        self.skips: list[int] | None = None
        self.duration = 0.0
        self.phases = NO_PHASES
        self.last_run_at = 0.0
        self.last_success_at = 0.0
        self.certificate_expiry: float | None = None
        self.domain_expiry: float | None = None
        self.counts = [0] * (len(DURATION_BOUNDS) + 1)
        self.duration_sum = 0.0
        self.held_since: float | None = None
        self.held_interval = 1.0
        self.backlog = NO_BACKLOG
        """What waits, for an export."""
        self.events = 0
        """How many times something other than a good run was recorded."""

    @property
    def runs(self) -> int:
        """How many runs have ended; each is an edit."""
        return self.edits - self._others

    @property
    def info(self) -> BreakerInfo:
        """What is configured; it may be replaced."""
        return self._info

    @info.setter
    def info(self, info: BreakerInfo) -> None:
        self._info = info
        self._happened()

    def observe(self, result: Result, at: float) -> None:
        """Count one run that ended at the Unix time ``at``."""
        self.edits += 1
        self.last_run_at = at
        self.duration = duration = result.duration
        self.phases = result.phases
        self.duration_sum += duration
        self.counts[bisect_left(DURATION_BOUNDS, duration)] += 1
        expiry = result.certificate_expiry
        if expiry is not None and expiry != self.certificate_expiry:
            self.certificate_expiry = expiry
            self.events += 1
        ends = result.domain_expiry
        if ends is not None and ends != self.domain_expiry:
            self.domain_expiry = ends
            self.events += 1
        if result.ok:
            self.last_success_at = at
            if not self.up:
                self.up = 1
                self.events += 1
        else:
            self.up = 0
            self._failed(result.reason or Reason.INTERNAL)

    def _failed(self, reason: Reason) -> None:
        self.events += 1
        if self.failures is None:
            self.failures = {}
        self.failures[reason] = self.failures.get(reason, 0) + 1

    def skip(self, cause: SkipCause, times: int = 1) -> None:
        """Count planned runs that did not happen."""
        if self.skips is None:
            self.skips = [0] * len(CAUSES)
        self.skips[_CAUSE[cause]] += times
        self._happened()

    def hold(self, interval: float, since: float) -> None:
        """From the monotonic moment ``since`` on its breaker passes over the planned runs.

        They are counted as skipped by ``breaker`` while time goes by, one per ``interval``.
        """
        self.release(since)
        self.held_interval, self.held_since = interval, since
        self._happened()

    def release(self, now: float) -> None:
        """Its runs are planned again; without :meth:`hold` before it, nothing happens."""
        if passed := self.passed_over(now):
            self.skip(SkipCause.BREAKER, passed)
        self.held_since = None
        self._happened()

    def _happened(self) -> None:
        self.edits += 1
        self._others += 1
        self.events += 1

    def passed_over(self, now: float) -> int:
        """Planned runs that were passed over since :meth:`hold`."""
        if self.held_since is None:
            return 0
        return max(0, int((now - self.held_since) // self.held_interval))

    def passes_over(self, now: float) -> float:
        """When the next planned run will have been passed over; infinite without :meth:`hold`."""
        if self.held_since is None:
            return inf
        return self.held_since + (self.passed_over(now) + 1) * self.held_interval

    def skipped(self, now: float) -> list[int] | None:
        """Skipped runs in the order of the causes, until now; None if there was none."""
        passed = self.passed_over(now)
        if not passed:
            return self.skips
        skips = [0] * len(CAUSES) if self.skips is None else list(self.skips)
        skips[_BREAKER] += passed
        return skips


class DiscoveryRecord:
    """The numbers of one source of targets."""

    __slots__ = ("failures", "label", "last_success_at", "rejected", "targets")

    def __init__(self, name: str) -> None:
        self.label = escape(name)
        self.targets = 0
        self.rejected = 0
        self.failures = 0
        self.last_success_at = 0.0


class ReceiverRecord:
    """The numbers of one receiver of messages."""

    __slots__ = (
        "attempts",
        "dead",
        "failures",
        "label",
        "latency",
        "oldest",
        "queue",
        "suppressed",
    )

    def __init__(self, name: str) -> None:
        self.label = escape(name)
        self.attempts = 0
        self.failures: dict[str, int] = {}
        self.suppressed: dict[str, int] = {}
        self.latency = Distribution(LATENCY_BOUNDS)
        self.queue = 0
        self.oldest = 0.0
        self.dead = 0
