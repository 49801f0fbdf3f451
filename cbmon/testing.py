"""Aids for tests of code that uses a breaker, a registry, a bulkhead or a retry.

Rule: nothing here sleeps, reads the system's clock or draws from an unseeded random source, and
importing it needs nothing but the standard library. Hypothesis is imported only by the functions
that make strategies.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cbmon.breaker import BreakerPolicy, CircuitBreaker, State

if TYPE_CHECKING:
    from types import ModuleType

    from hypothesis.strategies import SearchStrategy

__all__ = [
    "KINDS",
    "ManualClock",
    "Outcome",
    "StateRecorder",
    "opening_waits",
    "outcome_sequences",
    "play",
    "policies",
]

KINDS: Final = ("count", "time", "percentage", "adaptive")
_NEW_YEAR_2026: Final = 1_767_225_600.0


class ManualClock:
    """A clock that moves only when told to. Give it as ``clock=`` to whatever takes one.

    ``start`` is the first reading of :meth:`monotonic`, ``wall`` that of :meth:`time`, a Unix time
    (default: 2026-01-01 00:00 UTC). Both in seconds. Threads may share it.

        >>> clock = ManualClock()
        >>> clock.advance(1.5)
        1.5
        >>> clock.monotonic(), clock.time()
        (1.5, 1767225601.5)
    """

    def __init__(self, start: float = 0.0, wall: float = _NEW_YEAR_2026) -> None:
        self._lock = threading.Lock()
        self._monotonic = float(start)
        self._wall = float(wall)
        self.slept: list[float] = []
        """Every wait that went through :meth:`sleep` or :meth:`sleep_async`, in order."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary point."""
        return self._monotonic

    def time(self) -> float:
        """Unix time in seconds."""
        return self._wall

    def advance(self, seconds: float) -> float:
        """Let ``seconds`` pass on both clocks; gives monotonic time. ValueError if negative."""
        if not seconds >= 0.0:
            raise ValueError(f"seconds: got {seconds!r}, expected a number >= 0; time goes forward")
        with self._lock:
            self._monotonic += seconds
            self._wall += seconds
            return self._monotonic

    def set_wall(self, unix_time: float) -> None:
        """Set the wall clock, as an operator or NTP would; monotonic time does not notice."""
        with self._lock:
            self._wall = float(unix_time)

    def sleep(self, seconds: float) -> None:
        """Stands in for :func:`time.sleep`: advances at once and notes the wait in ``slept``."""
        self.slept.append(seconds)
        self.advance(seconds)

    async def sleep_async(self, seconds: float) -> None:
        """Stands in for :func:`asyncio.sleep`, like :meth:`sleep`."""
        self.sleep(seconds)

    def __repr__(self) -> str:
        return f"ManualClock(monotonic={self._monotonic!r}, wall={self._wall!r})"


class StateRecorder:
    """A listener that remembers what a breaker told: ``CircuitBreaker(…, listeners=[recorder])``.

    >>> recorder = StateRecorder()
    >>> breaker = CircuitBreaker("api", clock=ManualClock(), listeners=[recorder])
    >>> breaker.open(actor="test")
    >>> recorder.moves
    [('closed', 'open')]
    """

    def __init__(self) -> None:
        self.events: list[Any] = []
        """Every event, in the order in which it was told."""

    def __call__(self, event: Any) -> None:
        """Take one event in."""
        self.events.append(event)

    @property
    def told(self) -> list[str]:
        """The kind of each event, such as ``failure`` or ``transition``."""
        return [str(event.kind) for event in self.events]

    @property
    def transitions(self) -> list[Any]:
        """The transition events alone."""
        return self.of("transition")

    @property
    def moves(self) -> list[tuple[str, str]]:
        """Each transition as (from, to)."""
        return [(str(move.from_state), str(move.to_state)) for move in self.transitions]

    def of(self, kind: str) -> list[Any]:
        """The events of one kind."""
        return [event for event in self.events if event.kind == kind]

    def clear(self) -> None:
        """Forget what was told so far."""
        self.events.clear()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one made-up call ends: after ``pause`` seconds without traffic it runs ``duration``."""

    failed: bool = False
    duration: float = 0.0
    pause: float = 0.0


def play(
    breaker: CircuitBreaker, clock: ManualClock, outcomes: Iterable[Outcome]
) -> list[State | None]:
    """Drive ``breaker`` through ``outcomes``; its state after each, None for a rejected call.

    >>> clock = ManualClock()
    >>> breaker = CircuitBreaker("api", failure_threshold=2, clock=clock)
    >>> [str(state) for state in play(breaker, clock, [Outcome(failed=True)] * 3)]
    ['closed', 'open', 'None']
    """
    return [_play_one(breaker, clock, outcome) for outcome in outcomes]


def _play_one(breaker: CircuitBreaker, clock: ManualClock, outcome: Outcome) -> State | None:
    clock.advance(outcome.pause)
    permit = breaker.try_acquire()
    if permit is None:
        return None
    clock.advance(outcome.duration)
    breaker.record(permit, failed=outcome.failed, duration=outcome.duration)
    return breaker.state


def opening_waits(policy: BreakerPolicy, *, seed: int | None, openings: int) -> list[float]:
    """Seconds that each of the first ``openings`` in a row waits under ``policy`` and ``seed``.

    For tests of jitter and backoff: a breaker with the same policy and seed draws these waits.

        >>> opening_waits(
        ...     BreakerPolicy(recovery_timeout=10, recovery_backoff=2), seed=1, openings=3
        ... )
        [10.0, 20.0, 40.0]
    """
    clock = ManualClock()
    breaker = CircuitBreaker("waits", policy, clock=clock, seed=seed)
    waits: list[float] = []
    for _ in range(openings):
        breaker.open()
        wait = breaker.retry_after or 0.0
        waits.append(wait)
        clock.advance(wait)
        breaker.poll()
    return waits


def policies(
    *, kinds: Sequence[str] = KINDS, jitter: bool = False
) -> SearchStrategy[BreakerPolicy]:
    """A Hypothesis strategy for valid policies with small numbers, so that they trip in a test.

    ``kinds`` limits it to these kinds. With ``jitter`` waits vary, else they are exact.
    Raises ImportError when Hypothesis is not installed.
    """
    st = _strategies()

    def draw_policy(draw: Callable[[Any], Any]) -> BreakerPolicy:
        kind = draw(st.sampled_from(list(kinds)))
        fields: dict[str, Any] = {"kind": kind, **_recovery_fields(draw, st, jitter)}
        if kind == "count":
            fields["failure_threshold"] = draw(st.integers(1, 5))
        else:
            fields |= _rate_fields(draw, st, kind)
        return BreakerPolicy(**fields)

    strategy: SearchStrategy[BreakerPolicy] = st.composite(draw_policy)()
    return strategy


def _recovery_fields(draw: Callable[[Any], Any], st: Any, jitter: bool) -> dict[str, Any]:
    timeout = draw(st.sampled_from([0.5, 5.0, 60.0]))
    trials = draw(st.none() | st.integers(1, 4))
    needed = draw(st.none() | st.integers(1, trials or 4))
    return {
        "recovery_timeout": timeout,
        "recovery_backoff": draw(st.sampled_from([1.0, 1.5, 2.0])),
        "max_recovery_timeout": draw(st.none() | st.just(timeout * 4)),
        "recovery_jitter": draw(st.sampled_from([0.1, 0.5])) if jitter else 0.0,
        "half_open_max_calls": trials,
        "success_threshold": needed,
        "half_open_max_wait": draw(st.none() | st.sampled_from([2.0, 30.0])),
        "auto_disable_enabled": draw(st.booleans()),
        "max_failure_cycles": draw(st.integers(1, 3)),
    }


def _rate_fields(draw: Callable[[Any], Any], st: Any, kind: str) -> dict[str, Any]:
    fields: dict[str, Any] = {"minimum_calls": draw(st.integers(1, 5))}
    if kind == "adaptive":
        return fields
    fields["failure_rate_threshold"] = draw(st.sampled_from([0.1, 0.25, 0.5, 0.75, 1.0]))
    fields["slow_call_seconds"] = draw(st.none() | st.just(1.0))
    fields["slow_call_rate_threshold"] = draw(st.sampled_from([0.5, 1.0]))
    if kind == "time":
        fields["window_seconds"] = draw(st.sampled_from([5.0, 10.0, 60.0]))
    else:
        fields["window_size"] = draw(st.integers(fields["minimum_calls"], 12))
    return fields


def outcome_sequences(*, max_size: int = 50) -> SearchStrategy[list[Outcome]]:
    """A Hypothesis strategy for lists of :class:`Outcome`, at most ``max_size`` long.

    Raises ImportError when Hypothesis is not installed.
    """
    st = _strategies()
    outcome = st.builds(
        Outcome,
        failed=st.booleans(),
        duration=st.sampled_from([0.0, 0.5, 1.0, 1.5]),
        pause=st.sampled_from([0.0, 0.25, 1.0, 5.0, 60.0]),
    )
    sequences: SearchStrategy[list[Outcome]] = st.lists(outcome, max_size=max_size)
    return sequences


def _strategies() -> ModuleType | Any:
    try:
        from hypothesis import strategies  # noqa: PLC0415 (optional: only for users of strategies)
    except ImportError as missing:
        message = "cbmon.testing makes strategies with hypothesis: pip install hypothesis"
        raise ImportError(message, name="hypothesis") from missing
    return strategies
