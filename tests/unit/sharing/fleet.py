"""Several instances of one program around a store, moved by hand."""

from __future__ import annotations

from dataclasses import dataclass, field

from cbmon import BreakerPolicy, CircuitBreaker
from cbmon.sharing import Record, Seen
from cbmon.sharing.member import Member
from cbmon.testing import ManualClock

LEASE = 10.0
SLACK = 3.0
INTERVAL = 0.5
WAIT = 30.0
POLICY = BreakerPolicy(
    failure_threshold=2,
    recovery_timeout=WAIT,
    recovery_backoff=2.0,
    half_open_max_calls=2,
    success_threshold=2,
)


@dataclass
class Shelf:
    """The store: versions, and a time of its own."""

    seen: Seen = field(default_factory=lambda: Seen(0, None))
    now: float = 1_000_000.0

    def swap(self, version: int, record: Record) -> bool:
        if version != self.seen.version:
            return False
        self.seen = Seen(version + 1, Record.load(record.dump()))
        return True


class Instance:
    """One process: its breaker, on a clock whose wall time may be wrong."""

    def __init__(self, name: str, policy: BreakerPolicy, wall: float) -> None:
        self.clock = ManualClock(wall=wall)
        self.breaker = CircuitBreaker("shop", policy, clock=self.clock, seed=1)
        self.member = Member(
            self.breaker, instance=name, lease=LEASE, slack=SLACK, interval=INTERVAL
        )
        self.breaker.add_listener(self.member.moved, kinds=("transition",))
        self.admitted = 0

    def sync(self, shelf: Shelf) -> None:
        for _ in range(5):
            moves = self.member.own_moves
            record = self.member.decide(shelf.seen, shelf.now)
            if record is None:
                return
            if shelf.swap(self.member.version, record):
                self.member.wrote(record, moves)
                return
        raise AssertionError("five swaps in a row were lost with nobody else there")

    def call(self, *, failed: bool = False) -> bool:
        """One call; whether it was let through."""
        permit = self.breaker.try_acquire()
        if permit is None:
            return False
        self.admitted += 1
        self.breaker.record(permit, failed=failed, error="boom" if failed else None)
        return True

    def trip(self) -> None:
        while self.breaker.state == "closed":
            self.call(failed=True)


class Fleet:
    """``size`` instances whose wall clocks are an hour apart from each other."""

    def __init__(self, size: int, policy: BreakerPolicy = POLICY) -> None:
        self.shelf = Shelf()
        self.instances = [
            Instance(f"i{number}", policy, 5_000.0 + 3600.0 * number) for number in range(size)
        ]

    def __getitem__(self, index: int) -> Instance:
        return self.instances[index]

    def sync(self, *who: int) -> None:
        for instance in [self[index] for index in who] or self.instances:
            instance.sync(self.shelf)

    def advance(self, seconds: float, *, every: float = 1.0) -> None:
        """Time passes, with everyone in touch."""
        while seconds > 0:
            step = min(every, seconds)
            self.let_pass(step)
            self.sync()
            seconds -= step

    def let_pass(self, seconds: float) -> None:
        """Time passes, and nobody hears of anybody."""
        self.shelf.now += seconds
        for instance in self.instances:
            instance.clock.advance(seconds)

    @property
    def states(self) -> list[str]:
        return [str(instance.breaker.state) for instance in self.instances]
