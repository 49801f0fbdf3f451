"""Lines that are kept between scrapes are always those that would be made anew."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cbmon.breaker import BreakerPolicy, InvalidTransitionError
from cbmon.breaker.breaker import CircuitBreaker
from cbmon.metrics import Exposition, columns
from cbmon.metrics.lines import _RUNS, ComponentLayout
from cbmon.metrics.records import ComponentRecord
from cbmon.model import BreakerInfo, Category, Phases, Reason, Result, SkipCause
from tests.unit.metrics.conftest import BAD, GOOD, Daemon

POLICIES = (
    BreakerPolicy(),
    BreakerPolicy(kind="percentage", minimum_calls=2, slow_call_seconds=1.0),
    BreakerPolicy(kind="time", minimum_calls=2, window_seconds=30.0),
    BreakerPolicy(kind="adaptive", minimum_calls=2),
)
SLOW = Result(ok=True, duration=7.5, phases=Phases(processing=7.5), certificate_expiry=1.9e9)
NAMES = ("a", "b", "c")


class Fleet:
    """A daemon in which anything may happen to a few checks and an export."""

    def __init__(self) -> None:
        self.daemon = Daemon()
        self.due: dict[str, float] = {}
        self.daemon.metrics.next_run = self.due.get
        self.made: dict[str, tuple[ComponentRecord, CircuitBreaker]] = {}
        self.permits: list[tuple[CircuitBreaker, int]] = []
        for number, name in enumerate(NAMES):
            self.add(name, POLICIES[number])
        self.guard = CircuitBreaker("oncall", clock=self.daemon.clock, category="receiver")
        self.daemon.metrics.add_breaker(self.guard)

    def add(self, name: str, policy: BreakerPolicy) -> None:
        category = Category.EXPORT if name == "c" else Category.CHECK
        record, breaker = self.daemon.add(name, category)
        breaker.reconfigure(policy)
        self.made[name] = record, breaker

    def rendered(self) -> str:
        return shown(self.daemon.text())

    def rendered_anew(self) -> str:
        """As by an exposition that has never rendered."""
        return shown(Exposition(self.daemon.metrics).text().decode())


def shown(text: str) -> str:
    lines = text.splitlines()
    return "\n".join(line for line in lines if not line.startswith(("process_", "python_")))


def run(result: Result) -> Callable[[Fleet, str], None]:
    def act(fleet: Fleet, name: str) -> None:
        record, breaker = fleet.made[name]
        permit = breaker.try_acquire()
        if permit is not None:
            breaker.record(permit, failed=not result.ok, duration=result.duration)
            record.observe(result, fleet.daemon.clock.time())

    return act


def begin(fleet: Fleet, name: str) -> None:
    breaker = fleet.made[name][1]
    if permit := breaker.try_acquire():
        fleet.permits.append((breaker, permit))


def end(fleet: Fleet, _: str) -> None:
    if fleet.permits:
        breaker, permit = fleet.permits.pop()
        breaker.release(permit)


def move(action: str) -> Callable[[Fleet, str], None]:
    def act(fleet: Fleet, name: str) -> None:
        with contextlib.suppress(InvalidTransitionError):
            getattr(fleet.made[name][1], action)(actor="someone")

    return act


def again(fleet: Fleet, name: str) -> None:
    fleet.daemon.metrics.remove_component(name)
    fleet.add(name, POLICIES[0])


def retarget(fleet: Fleet, name: str) -> None:
    record = fleet.made[name][0]
    record.info = BreakerInfo(
        name=name, category=record.info.category, target=f"{record.info.target}x"
    )


def hold(fleet: Fleet, name: str) -> None:
    fleet.made[name][0].hold(10.0, fleet.daemon.clock.monotonic())


def release(fleet: Fleet, name: str) -> None:
    fleet.made[name][0].release(fleet.daemon.clock.monotonic())


def plan(fleet: Fleet, name: str) -> None:
    fleet.due[name] = fleet.daemon.clock.monotonic() + 3.25


def use_guard(fleet: Fleet, _: str) -> None:
    with fleet.guard:
        fleet.daemon.clock.advance(0.02)


ACTIONS: dict[str, Callable[[Fleet, str], object]] = {
    "good run": run(GOOD),
    "bad run": run(BAD),
    "slow run": run(SLOW),
    "refused": run(Result(ok=False, duration=0.1, reason=Reason.CONNECT, error="refused")),
    "begin": begin,
    "end": end,
    "skip": lambda fleet, name: fleet.made[name][0].skip(SkipCause.OVERRUN),
    "hold": hold,
    "release": release,
    "a second": lambda fleet, _: fleet.daemon.clock.advance(1.0),
    "a minute": lambda fleet, _: fleet.daemon.clock.advance(61.0),
    "plan": plan,
    "park": lambda fleet, name: fleet.due.pop(name, None),
    "again": again,
    "retarget": retarget,
    "other policy": lambda fleet, name: fleet.made[name][1].reconfigure(
        POLICIES[(POLICIES.index(fleet.made[name][1].policy) + 1) % len(POLICIES)]
    ),
    "use guard": use_guard,
    "prepare": lambda fleet, _: fleet.daemon.metrics.exposition.prepare(),
    **{name: move(name) for name in ("open", "reset", "force_open", "observe", "close", "disable")},
}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    story=st.lists(
        st.tuples(st.sampled_from(sorted(ACTIONS)), st.sampled_from(NAMES), st.booleans()),
        max_size=25,
    )
)
def test_whatever_happens_a_scrape_shows_what_one_from_nothing_shows(
    story: list[tuple[str, str, bool]],
) -> None:
    fleet = Fleet()
    for action, name, scraped in story:
        ACTIONS[action](fleet, name)
        if scraped:
            assert fleet.rendered() == fleet.rendered_anew()
    assert fleet.rendered() == fleet.rendered_anew()


def test_a_component_that_nothing_happened_to_keeps_its_lines(daemon: Daemon) -> None:
    daemon.add("quiet")
    busy, breaker = daemon.add("busy")
    before = kept(daemon)
    daemon.clock.advance(1.0)
    daemon.run(busy, breaker, GOOD)
    after = kept(daemon)
    assert all(one is other for one, other in zip(before["quiet"], after["quiet"], strict=True))
    assert before["busy"] != after["busy"]


def test_a_component_keeps_its_lines_when_others_come_and_go(daemon: Daemon) -> None:
    record, breaker = daemon.add("b")
    daemon.add("c")
    daemon.run(record, breaker, BAD)
    before = kept(daemon)
    daemon.add("a")
    daemon.metrics.remove_component("c")
    after = kept(daemon)
    assert [*after] == ["a", "b"]
    assert all(one is other for one, other in zip(before["b"], after["b"], strict=True))
    assert shown(daemon.text()) == shown(Exposition(daemon.metrics).text().decode())


def test_a_scrape_shows_one_moment_whatever_another_one_shows_meanwhile(daemon: Daemon) -> None:
    record, breaker = daemon.add("api")
    daemon.text()
    slow = daemon.metrics.exposition._groups(openmetrics=False)
    begun = [b"".join(next(slow)) for _ in range(3)]
    daemon.run(record, breaker, GOOD)
    assert daemon.value('cbmon_check_runs_total{check="api"}') == 1
    text = b"".join([*begun, *(b"".join(pieces) for pieces in slow)]).decode()
    assert 'cbmon_check_runs_total{check="api"} 0\n' in text
    assert 'circuit_breaker_calls_total{category="check",component="api"} 0\n' in text
    assert 'cbmon_check_runs_total{check="api"} 1\n' in daemon.text()


def test_lines_are_made_before_a_scrape_that_is_to_be_expected(daemon: Daemon) -> None:
    record, breaker = daemon.add("api")
    exposition, clock = daemon.metrics.exposition, daemon.clock
    for _ in range(3):
        daemon.text()
        clock.advance(10.0)
    daemon.text()
    daemon.run(record, breaker, GOOD)
    clock.advance(9.0)
    for _ in range(3):
        exposition.prepare()
    assert runs_kept(daemon) == 0, "there is time yet"
    clock.advance(0.99)
    for _ in range(3):
        exposition.prepare()
    assert runs_kept(daemon) == 1
    daemon.run(record, breaker, GOOD)
    assert 'cbmon_check_runs_total{check="api"} 2\n' in daemon.text()


def test_lines_that_a_scrape_is_showing_are_not_made_under_its_hands(daemon: Daemon) -> None:
    record, breaker = daemon.add("api")
    for _ in range(3):
        daemon.text()
        daemon.clock.advance(10.0)
    slow = daemon.metrics.exposition._groups(openmetrics=False)
    begun = [b"".join(next(slow)) for _ in range(3)]
    daemon.run(record, breaker, GOOD)
    daemon.clock.advance(10.0)
    for _ in range(3):
        daemon.metrics.exposition.prepare()
    text = b"".join([*begun, *(b"".join(pieces) for pieces in slow)]).decode()
    assert 'cbmon_check_runs_total{check="api"} 0\n' in text
    assert 'circuit_breaker_calls_total{category="check",component="api"} 0\n' in text


def test_a_check_that_is_held_is_looked_at_when_another_run_was_passed_over(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, breaker = daemon.add("api")
    breaker.open(actor="someone")
    record.hold(10.0, daemon.clock.monotonic())
    seen: list[float] = []
    eventful = ComponentLayout._eventful

    def counted(self: Any, record: Any, sheet: Any, place: int, now: float) -> None:
        seen.append(now)
        eventful(self, record, sheet, place, now)

    daemon.text()
    monkeypatch.setattr(ComponentLayout, "_eventful", counted)
    for second in range(1, 26):
        daemon.clock.advance(1.0)
        skipped = 'cbmon_check_skipped_total{cause="breaker",check="api"}'
        assert daemon.value(skipped) == second // 10
    assert len(seen) == 2


def runs_kept(daemon: Daemon) -> int:
    _, (sheet,) = daemon.metrics.exposition._sheets[Category.CHECK]
    runs: int = sheet.numbers[_RUNS][0]
    return runs


def kept(daemon: Daemon) -> dict[str, list[object]]:
    """What a scrape has left of each check's lines."""
    daemon.text()
    _, (sheet,) = daemon.metrics.exposition._sheets[Category.CHECK]
    return {
        record.breaker.name: [*(column[place] for column in sheet.dense), sheet.bars[place]]
        for place, record in enumerate(sheet.records)
    }


def test_a_table_of_ends_does_not_grow_with_what_it_counts() -> None:
    ends = columns.Ends("%d\n")
    for value in range(5 * columns.LARGEST):
        assert ends[value] == b"%d\n" % value
        assert len(ends) <= columns.LARGEST


def test_components_that_are_unlike_the_others_stand_at_their_places(daemon: Daemon) -> None:
    names = [f"check-{number}" for number in range(8)]
    made = {name: daemon.add(name) for name in names}
    for name in ("check-0", "check-3", "check-4", "check-7"):
        daemon.run(*made[name], BAD)
    lines = [
        line
        for line in daemon.text().splitlines()
        if line.startswith("cbmon_check_failures_total") and 'reason="timeout"' in line
    ]
    assert [line.split('"')[1] for line in lines] == names
    assert [line[-1] for line in lines] == list("10011001")


def test_the_breaker_of_a_check_is_added_with_the_check_only(daemon: Daemon) -> None:
    with pytest.raises(ValueError, match="belongs to a component"):
        daemon.metrics.add_breaker(CircuitBreaker("api", category="check"))
