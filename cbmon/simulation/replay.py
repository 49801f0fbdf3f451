"""What a breaker under other settings would have made of the same history.

Rule: the real engine runs, on a clock that the history moves; nothing here models it. A result
is seen only when the breaker admits a run, as it would have been in the daemon.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

from cbmon.breaker import BreakerPolicy, CircuitBreaker, State


class Sample(NamedTuple):
    """One recorded result: Unix time, whether it was good, how long it took (seconds)."""

    at: float
    ok: bool
    seconds: float | None = None


class Span(NamedTuple):
    """From ``begin`` until ``end`` (Unix time); None: not over when the history ends."""

    begin: float
    end: float | None

    def length(self, until: float) -> float:
        """Seconds, with ``until`` for what is not over."""
        return (until if self.end is None else self.end) - self.begin


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What would have happened. Times in seconds.

    ``pages`` are incidents, from leaving closed until closed again; ``for_blips`` those for
    failures that were over within the time that counts as a blip. ``outages`` are the longer
    runs of failures; of them ``missed`` were never told, and the rest after ``delays``.
    ``spared`` runs were not made, since the breaker held the target off.
    """

    pages: tuple[Span, ...]
    for_blips: int
    outages: tuple[Span, ...]
    missed: int
    delays: tuple[float, ...]
    recovery_delays: tuple[float, ...]
    runs: int
    spared: int
    time_open: float
    final: State

    @property
    def delay(self) -> float | None:
        """Median time from the first failure of an outage to its page."""
        return median(self.delays) if self.delays else None

    @property
    def slowest(self) -> float | None:
        """The longest of them."""
        return max(self.delays, default=None)

    @property
    def recovery_delay(self) -> float | None:
        """Median time from the first good result after an outage to the end of its incident."""
        return median(self.recovery_delays) if self.recovery_delays else None


def replay(samples: Sequence[Sample], policy: BreakerPolicy, *, blip: float = 0.0) -> Replay:
    """Run ``policy`` through the history, oldest first. Failures that are over within ``blip``
    seconds are no outage. Raises ValueError for a history that is empty or goes back in time."""
    _check(samples)
    run = _Run(policy, samples[0].at)
    for sample in samples:
        run.see(sample)
    last = samples[-1].at
    pages = run.pages()
    failing = [span for span in outages(samples) if span.length(last) > 0 or span.end is None]
    real = tuple(span for span in failing if span.length(last) > blip)
    blips = [span for span in failing if span.length(last) <= blip]
    told = [_told(span, pages, last) for span in real]
    return Replay(
        pages=pages,
        for_blips=sum(_is_for(page, blips) and not _is_for(page, real) for page in pages),
        outages=real,
        missed=told.count(None),
        delays=tuple(delay for delay in told if delay is not None),
        recovery_delays=tuple(_recoveries(real, pages)),
        runs=run.runs,
        spared=run.spared,
        time_open=sum(page.length(last) for page in pages),
        final=run.breaker.state,
    )


def outages(samples: Sequence[Sample]) -> list[Span]:
    """Runs of failures, each until the first good result after it."""
    found: list[Span] = []
    begin: float | None = None
    for sample in samples:
        if sample.ok and begin is not None:
            found.append(Span(begin, sample.at))
            begin = None
        elif not sample.ok and begin is None:
            begin = sample.at
    if begin is not None:
        found.append(Span(begin, None))
    return found


@dataclass(slots=True)
class _Clock:
    """Stands where the history stands."""

    now: float

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


@dataclass(slots=True)
class _Run:
    """One breaker on its way through the history."""

    policy: BreakerPolicy
    begin: float
    runs: int = 0
    spared: int = 0
    clock: _Clock = field(init=False)
    breaker: CircuitBreaker = field(init=False)
    moves: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = _Clock(self.begin)
        self.breaker = CircuitBreaker("replayed", self.policy, clock=self.clock, seed=0)
        self.breaker.add_listener(self.moves.append, kinds=("transition",))

    def see(self, sample: Sample) -> None:
        self.clock.now = sample.at
        permit = self.breaker.try_acquire()
        if permit is None:
            self.spared += 1
            return
        self.runs += 1
        self.breaker.record(permit, failed=not sample.ok, duration=sample.seconds)

    def pages(self) -> tuple[Span, ...]:
        found: list[Span] = []
        for move in self.moves:
            if move.from_state is State.CLOSED:
                found.append(Span(move.at, None))
            elif move.to_state is State.CLOSED:
                found[-1] = Span(found[-1].begin, move.at)
        return tuple(found)


def _check(samples: Sequence[Sample]) -> None:
    if not samples:
        raise ValueError("there is nothing to replay: no results in that time")
    for before, after in pairwise(samples):
        if after.at < before.at:
            raise ValueError(f"results go back in time: {after.at} comes after {before.at}")


def _told(outage: Span, pages: Sequence[Span], last: float) -> float | None:
    """Seconds until somebody knew; 0 when an incident was open anyway, None for never."""
    end = last if outage.end is None else outage.end
    for page in pages:
        if page.begin <= outage.begin and (page.end is None or page.end > outage.begin):
            return 0.0
        if outage.begin <= page.begin <= end:
            return page.begin - outage.begin
    return None


def _is_for(page: Span, spans: Sequence[Span]) -> bool:
    return any(
        span.begin <= page.begin and (span.end is None or page.begin <= span.end) for span in spans
    )


def _recoveries(real: Sequence[Span], pages: Sequence[Span]) -> list[float]:
    """For each incident that ended: how long after the end of the last outage in it."""
    found = []
    for page in pages:
        if page.end is None:
            continue
        ends = [span.end for span in real if span.end and page.begin <= span.end <= page.end]
        if ends:
            found.append(page.end - ends[-1])
    return found
