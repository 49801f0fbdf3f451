"""How each family's lines are made from the records.

Rule: a renderer takes a slice of records of one category and gives all their lines of one family.
Nothing is remembered between two scrapes: making a line anew from its record costs about as much
as finding out that it is still right, and takes no memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Final

from cbmon.breaker.counts import Counts
from cbmon.breaker.states import State
from cbmon.metrics import families as f
from cbmon.metrics.records import BreakerRecord, ComponentRecord
from cbmon.metrics.text import (
    MARK,
    Family,
    durations,
    escape,
    fill,
    histogram,
    histogram_template,
    integers,
    labelled,
    lines,
    moments,
    number,
    opening,
    optional,
    template,
)


class Slice:
    """Some records of one category and what their breakers say, all at one moment."""

    __slots__ = ("components", "counts", "encoded", "labels", "records", "states")

    def __init__(self, records: Sequence[BreakerRecord | ComponentRecord]) -> None:
        self.records = records
        self.components = [record for record in records if isinstance(record, ComponentRecord)]
        self.labels = [record.label for record in records]
        self.encoded = [label.encode() for label in self.labels]
        self.states = [record.breaker.state for record in records]
        self.counts = [record.breaker.counts for record in records]


class Moment:
    """What a scrape has to know besides the records: one time on both axes."""

    __slots__ = ("next_run", "now", "offset")

    def __init__(self, now: float, wall: float, next_run: Callable[[str], float | None]) -> None:
        self.now = now
        self.offset = wall - now
        self.next_run = next_run


Renderer = Callable[[Slice, Moment], bytes]
Rendered = tuple[Family, Renderer]

_GAUGE: Final = {state: number(state.gauge) for state in State}
_OWN: Final = frozenset(f.OWN_MOVES)


# --- breakers ------------------------------------------------------------------------------


def breaker_renderers(category: str) -> Iterator[Rendered]:
    """The families of breakers, in their order, for one category."""

    def start(family: Family) -> str:
        return opening(family.name, "component", category=category)

    def counted(family: Family, name: str) -> Rendered:
        line, value = start(family), attrgetter(name)
        return family, lambda part, _: integers(line, part.labels, map(value, part.counts))

    def present(family: Family, name: str, form: Callable[[float], str]) -> Rendered:
        line, value = start(family), attrgetter(name)
        return family, lambda part, _: optional(line, part.labels, map(value, part.counts), form)

    yield f.STATE, _state(start(f.STATE))
    yield f.STATUS, _status(category)
    yield counted(f.FAILURES, "failures")
    yield counted(f.SLOW_CALLS, "slow_calls")
    yield counted(f.CALLS, "calls")
    yield counted(f.REJECTIONS, "rejections")
    yield counted(f.TRIPS, "trips")
    yield f.TRANSITIONS, _transitions(category)
    yield counted(f.CONSECUTIVE_FAILURES, "consecutive_failures")
    yield present(f.FAILURE_RATIO, "failure_ratio", number)
    yield present(f.SLOW_RATIO, "slow_ratio", number)
    yield counted(f.CYCLES, "cycles")
    yield counted(f.IN_FLIGHT, "in_flight")
    yield present(f.OPEN_UNTIL, "open_until", "{:.3f}".format)
    yield f.LAST_TRANSITION, _last_transition(start(f.LAST_TRANSITION))
    yield f.CALL_DURATION, _call_durations(category)


def _state(start: str) -> Renderer:
    return lambda part, _: integers(start, part.labels, [_GAUGE[state] for state in part.states])


def _last_transition(start: str) -> Renderer:
    return lambda part, _: moments(
        start, part.labels, [counts.last_transition_at or 0.0 for counts in part.counts]
    )


def _status(category: str) -> Renderer:
    pattern = template(f.STATUS.name, "component", "state", f.STATES, category=category)
    shown = {state: pattern % tuple(other is state for other in f.STATES) for state in f.STATES}
    return lambda part, _: b"".join(
        [fill(shown[state], label) for state, label in zip(part.states, part.encoded, strict=True)]
    )


def _transitions(category: str) -> Renderer:
    fixed = {"category": category, "component": MARK}

    def pattern(moves: Sequence[tuple[State, State]]) -> bytes:
        states = ({**fixed, "from_state": source, "to_state": target} for source, target in moves)
        return lines((labelled(f.TRANSITIONS.name, labels) for labels in states), "%d")

    own = pattern(f.OWN_MOVES)
    none = own % ((0,) * len(f.OWN_MOVES))

    def some(counts: Counts, label: bytes) -> bytes:
        made = counts.transitions
        if not made:
            return fill(none, label)
        by_hand = sorted(made.keys() - _OWN)
        samples = tuple([made.get(move, 0) for move in (*f.OWN_MOVES, *by_hand)])
        return fill(own + pattern(by_hand) if by_hand else own, label, samples)

    return lambda part, _: b"".join(map(some, part.counts, part.encoded))


def _call_durations(category: str) -> Renderer:
    def pattern(bounds: Sequence[float]) -> bytes:
        return histogram_template(f.CALL_DURATION.name, "component", bounds, category=category)

    own = pattern(f.DURATION_BOUNDS)

    def some(record: BreakerRecord | ComponentRecord, counts: Counts, label: bytes) -> bytes:
        if isinstance(record, ComponentRecord):
            return histogram(own, label, record.counts, record.duration_sum)
        measured = counts.histogram
        if measured is None:
            return b""
        return histogram(pattern(measured.bounds), label, measured.counts, measured.sum)

    return lambda part, _: b"".join(map(some, part.records, part.counts, part.encoded))


# --- checks and exports ----------------------------------------------------------------------


def component_renderers(families: f.ComponentFamilies) -> Iterator[Rendered]:
    """The families of checks, or of exports, in their order."""
    word = families.word

    def read(
        family: Family, form: Callable[..., bytes], name: str, *more: Callable[[float], str]
    ) -> Rendered:
        line, value = opening(family.name, word), attrgetter(name)
        return family, lambda part, _: form(line, part.labels, map(value, part.components), *more)

    yield families.info, _info(families.info, word)
    yield read(families.up, integers, "up")
    yield families.failures, _failures(families.failures, word)
    yield read(families.runs, integers, "runs")
    yield families.skipped, _skipped(families.skipped, word)
    yield read(families.duration, durations, "duration")
    yield families.phases, _phases(families.phases, word)
    yield read(families.last_run, moments, "last_run_at")
    yield read(families.last_success, moments, "last_success_at")
    yield families.next_run, _next_run(families.next_run, word)
    yield read(families.certificate, optional, "certificate_expiry", number)


def _info(family: Family, word: str) -> Renderer:
    start = opening(family.name, word)

    def line(record: ComponentRecord) -> str:
        group, kind = escape(record.info.group), escape(record.info.kind)
        target = escape(record.info.target)
        return f'{start}{record.label}",group="{group}",kind="{kind}",target="{target}"}} 1\n'

    return lambda part, _: "".join(map(line, part.components)).encode()


def _failures(family: Family, word: str) -> Renderer:
    pattern = template(family.name, word, "reason", f.REASONS)
    none = pattern % ((0,) * len(f.REASONS))

    def some(record: ComponentRecord, label: bytes) -> bytes:
        failures = record.failures
        if failures is None:
            return fill(none, label)
        return fill(pattern, label, tuple([failures.get(reason, 0) for reason in f.REASONS]))

    return lambda part, _: b"".join(map(some, part.components, part.encoded))


def _skipped(family: Family, word: str) -> Renderer:
    pattern = template(family.name, word, "cause", f.CAUSES)
    none = pattern % ((0,) * len(f.CAUSES))

    def some(record: ComponentRecord, label: bytes, now: float) -> bytes:
        skips = record.skipped(now)
        return fill(none, label) if skips is None else fill(pattern, label, tuple(skips))

    return lambda part, moment: b"".join(
        [
            some(record, label, moment.now)
            for record, label in zip(part.components, part.encoded, strict=True)
        ]
    )


def _phases(family: Family, word: str) -> Renderer:
    labels = ({word: MARK, "phase": phase} for phase in f.PHASES)
    pattern = lines((labelled(family.name, each) for each in labels), "%.6f")
    return lambda part, _: b"".join(
        [
            fill(pattern, label, record.phases)
            for record, label in zip(part.components, part.encoded, strict=True)
        ]
    )


def _next_run(family: Family, word: str) -> Renderer:
    start = opening(family.name, word)

    def times(part: Slice, moment: Moment) -> Iterator[float]:
        for record in part.components:
            due = moment.next_run(record.name)
            yield 0.0 if due is None else due + moment.offset

    return lambda part, moment: moments(start, part.labels, times(part, moment))
