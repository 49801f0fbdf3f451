"""Which columns there are, and how a record becomes the lines in them.

Rule: a record's lines are made when a scrape finds that it has changed, and kept. What a healthy
run changes is cheap to make anew; what only failures and moves change is looked at when there
were some, and kept as the few lines that are not as usual.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import Final

from cbmon.breaker.counts import Counts
from cbmon.breaker.states import State
from cbmon.metrics import families as f
from cbmon.metrics.columns import Bars, Dense, Ends, Slice, Sparse
from cbmon.metrics.records import BreakerRecord, ComponentRecord
from cbmon.metrics.text import Family, escape, number, opening
from cbmon.model import Category

Column = Sparse | Dense | Bars

_CUT: Final = b"\xff"
"""Stands between lines that are made at once; no byte of UTF-8."""
_PLACE: Final = {state: place for place, state in enumerate(f.STATES)}
_GAUGE: Final = {state: f'"}} {number(state.gauge)}\n'.encode() for state in State}
_HOT: Final = [[f'",state="{state}"}} {on}\n'.encode() for on in (0, 1)] for state in f.STATES]
_WHOLE: Final = Ends('"} %d\n')
_OWN: Final = frozenset(f.OWN_MOVES)
_CALLS, _FAILURE_RATIO, _SLOW_RATIO = range(3)
_INFO, _CERTIFICATE, _DOMAIN, _NEXT_RUN, _RUNS, _MEASURED = range(3, 9)
"""Places of the dense columns. From _MEASURED on: duration, phases, last run, last success."""
_LAST_SUCCESS: Final = _MEASURED + 1 + len(f.PHASES) + 1
_WIDTH: Final = _LAST_SUCCESS + 1
_DRIFT: Final = 0.0005
"""Seconds by which the wall clock may leave the monotonic one before moments are written anew."""


class Moment:
    """What a scrape has to know besides the records: one time on both axes."""

    __slots__ = ("ahead", "next_run", "now")

    def __init__(self, now: float, wall: float, next_run: Callable[[str], float | None]) -> None:
        self.now = now
        self.ahead = wall - now
        self.next_run = next_run


class Lines:
    """What a record's lines consist of. ``restless``: time alone may change them."""

    __slots__ = (
        "ahead", "bars", "dense", "due", "in_flight", "odd", "rest", "restless", "version",
    )  # fmt: skip

    def __init__(self, width: int) -> None:
        self.dense = [b""] * width
        self.bars: tuple[bytes, ...] = ()
        self.odd: dict[int, bytes] = {}
        self.in_flight = 0
        self.due: float | None = None
        self.ahead = inf
        self.rest: object = None
        self.restless = False
        self.version = -1


class BreakerLayout:
    """The columns of breakers of one category, and how they are filled."""

    def __init__(self, category: Category) -> None:
        self.category = category
        self.columns: dict[Family, list[Column]] = {}
        self._sparse = 0
        self._states = self._add(f.STATE, [_GAUGE[State.CLOSED].decode()])
        usual = (ends[state is State.CLOSED] for state, ends in zip(f.STATES, _HOT, strict=True))
        self._status = self._add(f.STATUS, [end.decode() for end in usual])
        self._counted = (
            self._add(f.FAILURES, ['"} 0\n']),
            self._add(f.SLOW_CALLS, ['"} 0\n']),
            self._add(f.REJECTIONS, ['"} 0\n']),
            self._add(f.TRIPS, ['"} 0\n']),
            self._add(f.CONSECUTIVE_FAILURES, ['"} 0\n']),
            self._add(f.CYCLES, ['"} 0\n']),
        )
        self._moves = self._add(f.TRANSITIONS, [_moved(*move, 0) for move in f.OWN_MOVES])
        self._by_hand = self._add(f.TRANSITIONS, [None])
        self.in_flight = self._add(f.IN_FLIGHT, ['"} 0\n'])
        self._open_until = self._add(f.OPEN_UNTIL, [None])
        self._last_transition = self._add(f.LAST_TRANSITION, ['"} 0.000\n'])
        self._dense(f.CALLS, _CALLS)
        self._dense(f.FAILURE_RATIO, _FAILURE_RATIO, optional=True)
        self._dense(f.SLOW_RATIO, _SLOW_RATIO, optional=True)
        self.bars = Bars(f.CALL_DURATION.name, f.DURATION_BOUNDS, category=category)
        self.columns[f.CALL_DURATION] = [self.bars]

    def refresh(self, record: BreakerRecord, lines: Lines, _now: float) -> None:
        """Make the lines of a breaker that guards neither check nor export."""
        state, counts = record.breaker.state, record.breaker.counts
        self._fill(record.encoded, lines, counts)
        lines.odd = self._unusual(record.encoded, state, counts)
        lines.in_flight, lines.restless = counts.in_flight, True
        measured, bars = counts.histogram, self.bars
        lines.bars = ()
        if measured is not None:
            if measured.bounds != bars.bounds:
                bars = Bars(f.CALL_DURATION.name, measured.bounds, category=self.category)
            lines.bars = bars.fragments(measured.counts, measured.sum)

    def begin(self) -> Lines:
        """The lines of a record that is new."""
        return Lines(_INFO)

    def plan(
        self, records: Sequence[BreakerRecord], found: Sequence[Lines], moment: Moment
    ) -> None:
        """Breakers by themselves have no next run."""

    @staticmethod
    def _fill(name: bytes, lines: Lines, counts: Counts) -> None:
        lines.dense[_CALLS] = b'%b"} %d\n' % (name, counts.calls)
        lines.dense[_FAILURE_RATIO] = _valued(name, counts.failure_ratio)
        lines.dense[_SLOW_RATIO] = _valued(name, counts.slow_ratio)

    def _unusual(self, name: bytes, state: State, counts: Counts) -> dict[int, bytes]:
        odd: dict[int, bytes] = {}
        if state is not State.CLOSED:
            odd[self._states] = _GAUGE[state]
            odd[self._status + _PLACE[State.CLOSED]] = _HOT[_PLACE[State.CLOSED]][0]
            odd[self._status + _PLACE[state]] = _HOT[_PLACE[state]][1]
        numbers = (
            counts.failures,
            counts.slow_calls,
            counts.rejections,
            counts.trips,
            counts.consecutive_failures,
            counts.cycles,
        )
        for index, value in zip(self._counted, numbers, strict=True):
            if value:
                odd[index] = _WHOLE[value]
        if counts.transitions:
            self._count_moves(odd, name, counts)
        if counts.open_until is not None:
            odd[self._open_until] = b'"} %.3f\n' % counts.open_until
        if counts.last_transition_at:
            odd[self._last_transition] = b'"} %.3f\n' % counts.last_transition_at
        return odd

    def _count_moves(self, odd: dict[int, bytes], name: bytes, counts: Counts) -> None:
        made = counts.transitions
        for index, move in enumerate(f.OWN_MOVES, self._moves):
            if move in made:
                odd[index] = _moved(*move, made[move]).encode()
        if by_hand := sorted(made.keys() - _OWN):
            start = opening(f.TRANSITIONS.name, "component", category=self.category).encode()
            ends = (_moved(*move, made[move]).encode() for move in by_hand)
            odd[self._by_hand] = (start + name).join(ends)

    def _add(
        self, family: Family, usual: Iterable[str | None], key: str = "component", **fixed: str
    ) -> int:
        """Sparse columns of a family, the index of the first."""
        first, start = self._sparse, self._opening(family, key, **fixed)
        found = [Sparse(index, start, end) for index, end in enumerate(usual, first)]
        self._sparse += len(found)
        self.columns.setdefault(family, []).extend(found)
        return first

    def _dense(
        self, family: Family, index: int, key: str = "component", *, optional: bool = False
    ) -> None:
        column = Dense(index, self._opening(family, key), optional=optional)
        self.columns.setdefault(family, []).append(column)

    def _opening(self, family: Family, key: str, **fixed: str) -> str:
        if key == "component":
            fixed["category"] = self.category
        return opening(family.name, key, **fixed)


class ComponentLayout(BreakerLayout):
    """Those of checks or of exports, breaker included."""

    def __init__(self, category: Category, families: f.ComponentFamilies) -> None:
        super().__init__(category)
        word = families.word
        self._up = self._add(families.up, ['"} 1\n'], word)
        ends = [f'",reason="{reason}"}} 0\n' for reason in f.REASONS]
        self._failures = self._add(families.failures, ends, word)
        self._skipped = self._sparse
        for cause in f.CAUSES:  # the one label that stands before the component's
            self._add(families.skipped, ['"} 0\n'], word, cause=cause)
        self._dense(families.info, _INFO, word)
        self._dense(families.certificate, _CERTIFICATE, word, optional=True)
        if families.domain is not None:
            self._dense(families.domain, _DOMAIN, word, optional=True)
        self._dense(families.next_run, _NEXT_RUN, word)
        self._dense(families.runs, _RUNS, word)
        self._dense(families.duration, _MEASURED, word)
        for index, _ in enumerate(f.PHASES, _MEASURED + 1):
            self._dense(families.phases, index, word)
        self._dense(families.last_run, _LAST_SUCCESS - 1, word)
        self._dense(families.last_success, _LAST_SUCCESS, word)
        phases = (b'%%b",phase="%b"} %%.6f\n' % phase.encode() for phase in f.PHASES)
        self._measured = _CUT.join([b'%b"} %.6f\n', *phases, b'%b"} %.3f\n'])

    def begin(self) -> Lines:
        """The lines of a record that is new."""
        return Lines(_WIDTH)

    def plan(
        self, records: Sequence[BreakerRecord], found: Sequence[Lines], moment: Moment
    ) -> None:
        """Say when each runs next; the scheduler's number is the same object until it changes."""
        ahead, names = moment.ahead, [record.breaker.name for record in records]
        for record, lines, due in zip(records, found, map(moment.next_run, names), strict=True):
            if due is not lines.due or abs(ahead - lines.ahead) > _DRIFT:
                lines.due, lines.ahead = due, ahead
                at = 0.0 if due is None else due + ahead
                lines.dense[_NEXT_RUN] = b'%b"} %.3f\n' % (record.encoded, at)

    def refresh(self, record: BreakerRecord, lines: Lines, now: float) -> None:
        """Make anew what has changed of a component's lines."""
        assert isinstance(record, ComponentRecord)  # noqa: S101 - for the type checker
        breaker, dense, name = record.breaker, lines.dense, record.encoded
        calls, lines.in_flight, rest = breaker.glance()
        if record.eventful or rest is None or rest != lines.rest or lines.restless:
            self._eventful(record, lines, now)
        lines.rest = rest
        if record.changed:
            record.changed = False
            self._measure(record, lines)
        runs = record.runs
        dense[_CALLS] = dense[_RUNS] if calls == runs else b'%b"} %d\n' % (name, calls)
        lines.version = breaker.version

    def _measure(self, record: ComponentRecord, lines: Lines) -> None:
        dense, name, at = lines.dense, record.encoded, record.last_run_at
        dense[_RUNS] = b'%b"} %d\n' % (name, record.runs)
        resolve, connect, tls, processing, transfer = record.phases
        said = self._measured % (
            name, record.duration, name, resolve, name, connect, name, tls, name, processing,
            name, transfer, name, at,
        )  # fmt: skip
        dense[_MEASURED:_LAST_SUCCESS] = made = said.split(_CUT)
        good = record.last_success_at
        dense[_LAST_SUCCESS] = made[-1] if good == at else b'%b"} %.3f\n' % (name, good)
        lines.bars = self.bars.fragments(record.counts, record.duration_sum)

    def _eventful(self, record: ComponentRecord, lines: Lines, now: float) -> None:
        """What only failures, moves, skips and a new configuration change."""
        record.eventful = False
        breaker, name = record.breaker, record.encoded
        state, counts = breaker.state, breaker.counts
        self._fill(name, lines, counts)
        lines.odd = odd = self._unusual(name, state, counts)
        if not record.up:
            odd[self._up] = _WHOLE[0]
        failures = record.failures
        if failures is not None:
            for index, reason in enumerate(f.REASONS, self._failures):
                if reason in failures:
                    odd[index] = f'",reason="{reason}"}} {failures[reason]}\n'.encode()
        skips = record.skipped(now)
        if skips is not None:
            for index, times in enumerate(skips, self._skipped):
                if times:
                    odd[index] = _WHOLE[times]
        lines.dense[_CERTIFICATE] = _valued(name, record.certificate_expiry)
        lines.dense[_DOMAIN] = _valued(name, record.domain_expiry)
        lines.dense[_INFO] = name + _described(record)
        lines.restless = (
            record.held_since is not None
            or breaker.next_deadline is not None
            or breaker.policy.kind in _AGEING
        )


_AGEING: Final = frozenset({"time", "adaptive"})
"""Kinds whose windows change while nothing happens."""


def cut(layout: BreakerLayout, records: Sequence[BreakerRecord], moment: Moment) -> Slice:
    """A slice of records as lines, those that have changed made anew."""
    odd: dict[int, list[tuple[int, bytes]]] = {}
    found = []
    for place, record in enumerate(records):
        lines = record.lines
        if lines is None:
            lines = record.lines = layout.begin()
        if record.changed or lines.restless or record.breaker.version != lines.version:
            layout.refresh(record, lines, moment.now)
        for index, end in lines.odd.items():
            odd.setdefault(index, []).append((place, end))
        if lines.in_flight:
            odd.setdefault(layout.in_flight, []).append((place, _WHOLE[lines.in_flight]))
        found.append(lines)
    layout.plan(records, found, moment)
    return Slice(
        names=[record.encoded for record in records],
        dense=list(zip(*[lines.dense for lines in found], strict=True)),
        odd=odd,
        bars=[lines.bars for lines in found],
    )


def _moved(source: State, target: State, times: int) -> str:
    return f'",from_state="{source}",to_state="{target}"}} {times}\n'


def _valued(name: bytes, value: float | None) -> bytes:
    return b"" if value is None else b'%b"} %b\n' % (name, number(value).encode())


def _described(record: ComponentRecord) -> bytes:
    info = record.info
    group, kind, target = escape(info.group), escape(info.kind), escape(info.target)
    return f'",group="{group}",kind="{kind}",target="{target}"}} 1\n'.encode()
