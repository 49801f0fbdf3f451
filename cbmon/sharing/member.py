"""One instance's breaker as a member of its group: what to take over, and what to write.

Rules:

* No clock and no IO: it is told what the store holds and what time it is there.
* The breaker decides by itself, at once, for every call; the group is caught up with between
  calls. Only the way out of an open breaker is the group's: the breaker is held open by a lease
  on itself that is renewed while the group is heard of, and becomes an ordinary open breaker when
  it is not.
* The trials belong to one instance at a time: the one whose lease is in the record.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from cbmon.breaker import CircuitBreaker, State
from cbmon.sharing.record import Record
from cbmon.sharing.store import Seen

ACTOR: Final = "shared state"
_BY_HAND: Final = frozenset({State.FORCED_OPEN, State.FORCED_CLOSED, State.OBSERVE, State.DISABLED})
_DOWN: Final = frozenset({State.OPEN, State.HALF_OPEN})


class Member:
    """Keeps ``breaker`` and the group's record of it in agreement.

    ``instance`` is unique in the group. ``lease`` and ``slack`` in seconds: for how long trials
    are one instance's, and for how long the breaker stays open without hearing of the group;
    ``interval`` is how often the group is asked.
    """

    def __init__(
        self,
        breaker: CircuitBreaker,
        *,
        instance: str,
        lease: float,
        slack: float,
        interval: float = 0.5,
    ) -> None:
        self.breaker = breaker
        self.instance = instance
        self.lease = lease
        self.slack = slack
        self.interval = interval
        self.version = 0
        """The version that has been taken over."""
        self.record: Record | None = None
        self.own_moves = 0
        """How often the breaker moved by itself or by hand here."""
        self._told = 0
        self._by_hand = False
        self._rejections = 0

    def moved(self, event: Any) -> bool:
        """Hear a transition of the breaker; whether it is one that the group does not know."""
        if event.actor == ACTOR:
            return False
        self.own_moves += 1
        self._by_hand = event.actor is not None
        if event.to_state is State.OPEN:
            self._rejections = self.breaker.counts.rejections
        return True

    # --- what the store holds ------------------------------------------------------------

    def decide(self, seen: Seen, now: float) -> Record | None:
        """Take over what is new; the record that should be written instead, if any."""
        state = self.breaker.state
        pending = self.own_moves != self._told
        if (seen.version, seen.record) != (self.version, self.record):
            # The record too: a store that lost everything counts from 0 again.
            if not (pending and self._goes_first(seen.record, state)):
                self._told = self.own_moves
                pending = False
                self._take_over(seen.record, now)
            self.version, self.record = seen.version, seen.record
        record, state = self.record, self.breaker.state
        if pending and state is not State.HALF_OPEN:
            return self._written(state, now)
        if record is None or record.state not in _DOWN:
            return self._written(state, now) if state is State.HALF_OPEN else None
        return self._during_outage(record, state, now)

    def wrote(self, record: Record, moves: int) -> None:
        """``record`` is in the store; ``moves`` were the own moves when it was made."""
        self.version += 1
        self.record = Record.load(record.dump())
        self._told = moves
        if record.state is State.HALF_OPEN and self.breaker.state is State.OPEN:
            self.breaker.follow(openings=record.openings, cycles=record.cycles)
            self.breaker.half_open(actor=ACTOR, reason="this instance has the trials")

    def let_go(self, now: float) -> Record | None:
        """On leaving the group: the record that gives the trials to another instance."""
        record = self.record
        if record is None or record.holder != self.instance:
            return None
        return replace(record, expires=now, by=self.instance, at=now)

    def alone(self, now: float) -> None:
        """The store is down: an opening ends when the group's would have ended."""
        record = self.record
        if record is not None and record.state in _DOWN and self.breaker.state is State.OPEN:
            end = record.expires if record.state is State.HALF_OPEN else record.until
            self.breaker.open(for_seconds=max(end - now, 0.001), actor=ACTOR)

    # --- inside --------------------------------------------------------------------------

    def _goes_first(self, record: Record | None, state: State) -> bool:
        """Whether a move made here stands against one that was written meanwhile."""
        if record is None or self._by_hand:
            return True
        if record.state in _BY_HAND:
            return False
        return state is State.OPEN and record.state is State.CLOSED

    def _during_outage(self, record: Record, state: State, now: float) -> Record | None:
        mine = record.holder == self.instance and record.state is State.HALF_OPEN
        if mine and state is State.HALF_OPEN:
            if record.expires - now > self.lease / 2:
                return None
            return self._leased(record, now)
        due = record.expires if record.state is State.HALF_OPEN else record.until
        if due <= now and (state is State.HALF_OPEN or self._wanted()):
            return self._leased(record, now)
        self._hold(record, now)
        return None

    def _wanted(self) -> bool:
        """Whether anybody was rejected since the breaker opened here: a trial needs a call."""
        return self.breaker.counts.rejections > self._rejections

    def _leased(self, record: Record, now: float) -> Record:
        return replace(
            record,
            state=State.HALF_OPEN,
            holder=self.instance,
            expires=now + self.lease,
            by=self.instance,
            at=now,
        )

    def _hold(self, record: Record, now: float) -> None:
        """Stay open until the group says otherwise, or has been silent for ``slack`` seconds.

        What callers are told is the group's wait; while another instance has the trials, whose
        verdict may come at any moment, that is the time until the group is asked again.
        """
        deadline = self.breaker.next_deadline if self.breaker.state is State.OPEN else None
        tried = record.state is State.HALF_OPEN
        remaining = max(0.0, (record.expires if tried else record.until) - now)
        if deadline is None:
            self.breaker.open(
                for_seconds=remaining + self.slack,
                actor=ACTOR,
                reason="the group's breaker is open",
            )
        margin = remaining + self.slack if tried else self.slack
        self.breaker.hold(remaining + self.slack, margin=margin, soonest=self.interval)

    def _take_over(self, record: Record | None, now: float) -> None:
        breaker = self.breaker
        if record is None:
            return
        why = f"{record.by}: {record.why}" if record.why else record.by
        if record.state is State.DISABLED:
            breaker.disable(actor=ACTOR, reason=why)
            return
        breaker.enable(actor=ACTOR, reason=why)
        match record.state:
            case State.CLOSED:
                breaker.close(actor=ACTOR, reason=why)
            case State.FORCED_OPEN:
                breaker.force_open(actor=ACTOR, reason=why)
            case State.FORCED_CLOSED:
                breaker.force_close(actor=ACTOR, reason=why)
            case State.OBSERVE:
                breaker.observe(actor=ACTOR, reason=why)
            case State.OPEN | State.HALF_OPEN:
                self._join(record, why, now)

    def _join(self, record: Record, why: str, now: float) -> None:
        """An outage that another instance has found, or goes on with."""
        if self.breaker.state is not State.OPEN:
            self._rejections = self.breaker.counts.rejections
        if self.breaker.state is not State.OPEN:
            due = record.expires if record.state is State.HALF_OPEN else record.until
            wait = max(0.0, due - now) + self.slack
            self.breaker.open(for_seconds=wait, actor=ACTOR, reason=why)
        self._hold(record, now)
        self.breaker.follow(openings=record.openings, cycles=record.cycles)

    def _written(self, state: State, now: float) -> Record:
        """The record of what the breaker is in by itself."""
        known = self.breaker.snapshot()
        failure, move = known["last_failure"] or {}, known["last_move"] or {}
        mine = state is State.HALF_OPEN
        return Record(
            state=state,
            at=now,
            by=self.instance,
            until=now + (self.breaker.retry_after or 0.0) if state is State.OPEN else 0.0,
            openings=known["now"]["openings"],
            cycles=known["now"]["cycles"],
            why=move.get("text") or "",
            error=failure.get("error"),
            holder=self.instance if mine else None,
            expires=now + self.lease if mine else 0.0,
        )
