"""Which columns there are, and how a record becomes the lines in them.

Rule: a record's lines are made when a scrape finds that it has changed, and kept in a
:class:`~cbmon.metrics.sheets.Sheet`. What a healthy run changes is cheap to make anew; what only
failures and moves change is looked at when there were some, and kept as the few lines that are not
as usual.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from math import inf
from typing import Final

from cbmon.breaker.counts import Counts
from cbmon.breaker.states import State
from cbmon.metrics import families as f
from cbmon.metrics.columns import Bars, Dense, Ends, Numbers, Slice, Sparse
from cbmon.metrics.records import BreakerRecord, ComponentRecord
from cbmon.metrics.sheets import Sheet
from cbmon.metrics.text import Family, escape, number, opening
from cbmon.model import Category

Column = Sparse | Dense | Numbers | Bars

_PLACE: Final = {state: place for place, state in enumerate(f.STATES)}
_GAUGE: Final = {state: f'"}} {number(state.gauge)}\n'.encode() for state in State}
_HOT: Final = [[f'",state="{state}"}} {on}\n'.encode() for on in (0, 1)] for state in f.STATES]
_WHOLE: Final = Ends('"} %d\n')
_OWN: Final = frozenset(f.OWN_MOVES)
_FAILURE_RATIO, _SLOW_RATIO, _INFO, _CERTIFICATE, _DOMAIN, _WIDTH = range(6)
"""Places of the dense columns, and how many there are."""
_CALLS, _RUNS, _NEXT_RUN, _DURATION, _LAST_RUN, _LAST_SUCCESS, _PHASES = range(7)
"""Places of the columns of numbers; from _PHASES on one for each phase."""
_NUMBERS: Final = "qqdddd" + "d" * len(f.PHASES)
"""Their types: whole numbers or floats of eight bytes."""
_COUNT: Final = '"} %d\n'
_SECONDS: Final = '"} %.6f\n'
_MOMENT: Final = '"} %.3f\n'


class Moment:
    """What a scrape has to know besides the records: one time on both axes."""

    __slots__ = ("ahead", "next_run", "now")

    def __init__(self, now: float, wall: float, next_run: Callable[[str], float | None]) -> None:
        self.now = now
        self.ahead = wall - now
        self.next_run = next_run


class BreakerLayout:
    """The columns of breakers of one category, and how they are filled."""

    width = _INFO
    """How many dense columns there are."""
    numbers = _NUMBERS[:_RUNS]
    """The types of the columns of numbers."""

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
        self._numbers(f.CALLS, _CALLS, _COUNT)
        self._dense(f.FAILURE_RATIO, _FAILURE_RATIO, optional=True)
        self._dense(f.SLOW_RATIO, _SLOW_RATIO, optional=True)
        self.bars = Bars(f.CALL_DURATION.name, f.DURATION_BOUNDS, category=category)
        self.columns[f.CALL_DURATION] = [self.bars]

    def refresh(self, record: BreakerRecord, sheet: Sheet, place: int, _now: float) -> None:
        """Make the lines of a breaker that guards neither check nor export."""
        state, counts = record.breaker.state, record.breaker.counts
        self._fill(record.encoded, sheet, place, counts)
        sheet.set_odd(place, self._unusual(record.encoded, state, counts))
        sheet.set_flying(place, _WHOLE[counts.in_flight] if counts.in_flight else b"")
        sheet.set_restless(place, -inf)
        measured, bars = counts.histogram, self.bars
        sheet.bars[place] = ()
        if measured is not None:
            if measured.bounds != bars.bounds:
                bars = Bars(f.CALL_DURATION.name, measured.bounds, category=self.category)
            sheet.bars[place] = bars.fragments(measured.counts, measured.sum)

    def plan(self, sheet: Sheet, moment: Moment) -> None:
        """Breakers by themselves have no next run."""

    @staticmethod
    def _fill(name: bytes, sheet: Sheet, place: int, counts: Counts) -> None:
        sheet.numbers[_CALLS][place] = counts.calls
        sheet.dense[_FAILURE_RATIO][place] = _valued(name, counts.failure_ratio)
        sheet.dense[_SLOW_RATIO][place] = _valued(name, counts.slow_ratio)

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

    def _numbers(self, family: Family, index: int, form: str, key: str = "component") -> None:
        column = Numbers(index, self._opening(family, key), form)
        self.columns.setdefault(family, []).append(column)

    def _opening(self, family: Family, key: str, **fixed: str) -> str:
        if key == "component":
            fixed["category"] = self.category
        return opening(family.name, key, **fixed)


class ComponentLayout(BreakerLayout):
    """Those of checks or of exports, breaker included."""

    width = _WIDTH
    numbers = _NUMBERS

    def __init__(self, category: Category, families: f.ComponentFamilies) -> None:
        super().__init__(category)
        self._rest: object = None
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
        self._numbers(families.next_run, _NEXT_RUN, _MOMENT, word)
        self._numbers(families.runs, _RUNS, _COUNT, word)
        self._numbers(families.duration, _DURATION, _SECONDS, word)
        for index, phase in enumerate(f.PHASES, _PHASES):
            self._numbers(families.phases, index, f'",phase="{phase}{_SECONDS}', word)
        self._numbers(families.last_run, _LAST_RUN, _MOMENT, word)
        self._numbers(families.last_success, _LAST_SUCCESS, _MOMENT, word)

    def plan(self, sheet: Sheet, moment: Moment) -> None:
        """Say when each runs next."""
        ahead = moment.ahead
        dues = map(moment.next_run, sheet.keys)
        sheet.numbers[_NEXT_RUN] = array("d", [0.0 if at is None else at + ahead for at in dues])

    def refresh(self, record: BreakerRecord, sheet: Sheet, place: int, now: float) -> None:
        """Make anew what has changed of a component's lines."""
        assert isinstance(record, ComponentRecord)  # noqa: S101 - for the type checker
        breaker = record.breaker
        calls, in_flight, rest = breaker.glance()
        if (
            record.events != sheet.events[place]
            or rest is None
            or rest != sheet.rests[place]
            or now >= sheet.restless.get(place, inf)
        ):
            self._eventful(record, sheet, place, now)
            # ten thousand that are well share one
            self._rest = sheet.rests[place] = self._rest if rest == self._rest else rest
        if in_flight or place in sheet.flying:
            sheet.set_flying(place, _WHOLE[in_flight] if in_flight else b"")
        if record.edits != sheet.edits[place]:
            sheet.edits[place] = record.edits
            self._measure(record, sheet, place)
        sheet.numbers[_CALLS][place] = calls
        sheet.versions[place] = breaker.version

    def _measure(self, record: ComponentRecord, sheet: Sheet, place: int) -> None:
        numbers = sheet.numbers
        numbers[_RUNS][place] = record.runs
        numbers[_DURATION][place] = record.duration
        numbers[_LAST_RUN][place] = record.last_run_at
        numbers[_LAST_SUCCESS][place] = record.last_success_at
        for index, seconds in enumerate(record.phases, _PHASES):
            numbers[index][place] = seconds
        sheet.bars[place] = self.bars.fragments(record.counts, record.duration_sum)

    def _eventful(self, record: ComponentRecord, sheet: Sheet, place: int, now: float) -> None:
        """What only failures, moves, skips and a new configuration change."""
        sheet.events[place] = record.events
        breaker, name = record.breaker, record.encoded
        state, counts = breaker.state, breaker.counts
        self._fill(name, sheet, place, counts)
        odd = self._unusual(name, state, counts)
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
        sheet.set_odd(place, odd)
        sheet.dense[_CERTIFICATE][place] = _valued(name, record.certificate_expiry)
        sheet.dense[_DOMAIN][place] = _valued(name, record.domain_expiry)
        sheet.dense[_INFO][place] = name + _described(record)
        sheet.set_restless(place, _stirs(record, now))


_AGEING: Final = frozenset({"time", "adaptive"})
"""Kinds whose windows change while nothing happens."""


def _stirs(record: ComponentRecord, now: float) -> float:
    """When time alone changes what is told of a component, though nothing happens to it."""
    if record.breaker.policy.kind in _AGEING:
        return -inf
    deadline = record.breaker.next_deadline
    return min(record.passes_over(now), inf if deadline is None else deadline)


def freshen(layout: BreakerLayout, sheet: Sheet, now: float) -> None:
    """Make the lines of a sheet anew that have changed."""
    edits, versions, restless = sheet.edits, sheet.versions, sheet.restless
    for place, record in enumerate(sheet.records):
        if (
            record.edits != edits[place]
            or record.breaker.version != versions[place]
            or now >= restless.get(place, inf)
        ):
            layout.refresh(record, sheet, place, now)


def cut(layout: BreakerLayout, sheet: Sheet, moment: Moment) -> Slice:
    """A sheet as lines, as it is at that moment."""
    freshen(layout, sheet, moment.now)
    layout.plan(sheet, moment)
    return sheet.slice(layout.in_flight)


def _moved(source: State, target: State, times: int) -> str:
    return f'",from_state="{source}",to_state="{target}"}} {times}\n'


def _valued(name: bytes, value: float | None) -> bytes:
    return b"" if value is None else b'%b"} %b\n' % (name, number(value).encode())


def _described(record: ComponentRecord) -> bytes:
    info = record.info
    group, kind, target = escape(info.group), escape(info.kind), escape(info.target)
    return f'",group="{group}",kind="{kind}",target="{target}"}} 1\n'.encode()
