"""R25: breakers shared by instances. Decisions stay local; an outage, its deadline, its trials and
its end are the group's."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbmon import BreakerPolicy, CircuitOpenError
from cbmon.sharing import Record, Seen
from cbmon.sharing.member import ACTOR
from tests.unit.sharing.fleet import INTERVAL, LEASE, POLICY, SLACK, WAIT, Fleet


def opened(fleet: Fleet) -> Fleet:
    fleet[0].trip()
    fleet.sync()
    assert set(fleet.states) == {"open"}
    return fleet


class TestAnOutage:
    def test_found_by_one_is_known_to_all(self) -> None:
        fleet = opened(Fleet(3))
        assert "i0" in fleet[2].breaker.explain()
        assert not fleet[1].call()

    def test_is_one_when_two_find_it_at_once(self) -> None:
        fleet = Fleet(3)
        fleet[0].trip()
        fleet[1].trip()
        fleet.sync()
        fleet.sync()
        record = fleet.shelf.seen.record
        assert record is not None
        assert record.openings == 1
        assert fleet.shelf.seen.version == 1
        assert fleet.states == ["open"] * 3

    def test_ends_when_the_servers_clock_says_so_whatever_theirs_say(self) -> None:
        fleet = opened(Fleet(3))
        record = fleet.shelf.seen.record
        assert record is not None
        assert record.until == pytest.approx(fleet.shelf.now + WAIT)

    def test_costs_no_call_the_network(self) -> None:
        fleet = opened(Fleet(2))
        before = fleet.shelf.seen
        for _ in range(100):
            fleet[1].call()
        assert fleet.shelf.seen is before

    def test_is_joined_by_an_instance_that_starts_later(self) -> None:
        fleet = Fleet(2)
        fleet[0].trip()
        fleet.sync(0)
        fleet.let_pass(5.0)
        fleet.sync(1)
        assert fleet.states == ["open", "open"]
        its = fleet[1].breaker
        assert its.retry_after == pytest.approx(WAIT - 5.0)
        assert its.counts.open_until == pytest.approx(fleet[1].clock.time() + WAIT - 5.0)
        assert (its.next_deadline or 0.0) - fleet[1].clock.monotonic() == pytest.approx(
            WAIT - 5.0 + SLACK
        )

    def test_shows_the_groups_wait_and_no_margin_of_our_own(self) -> None:
        fleet = Fleet(2)
        fleet[0].trip()
        fleet.sync(0)
        fleet.sync(1, 0)
        assert [its.breaker.retry_after for its in fleet.instances] == pytest.approx([WAIT, WAIT])
        fleet.let_pass(WAIT + 1.0)  # nobody has asked for a trial yet
        assert {its.breaker.retry_after for its in fleet.instances} == {INTERVAL}
        with pytest.raises(CircuitOpenError) as rejected:
            fleet[1].breaker.call(print)
        assert rejected.value.retry_after == pytest.approx(INTERVAL)
        fleet.sync(1)
        fleet.sync(0)
        assert fleet.states == ["open", "half_open"]
        assert fleet[0].breaker.retry_after == INTERVAL  # the verdict may come at any moment


class TestTheTrials:
    def test_belong_to_one_instance_at_a_time(self) -> None:
        fleet = opened(Fleet(5))
        before = sum(one.admitted for one in fleet.instances)
        for one in fleet.instances:
            one.call()
        fleet.advance(WAIT + 1.0)
        for _ in range(3):
            permits = [one.breaker.try_acquire() for one in fleet.instances]
            fleet.sync()
            assert sum(permit is not None for permit in permits) <= 1
        assert sum(one.admitted for one in fleet.instances) == before
        assert fleet.states.count("half_open") == 1

    def test_wait_for_a_call(self) -> None:
        fleet = opened(Fleet(3))
        fleet.advance(10 * WAIT)
        assert fleet.states == ["open"] * 3
        fleet[2].call()
        fleet.sync()
        assert fleet.states == ["open", "open", "half_open"]

    def test_that_pass_close_the_breaker_of_everyone(self) -> None:
        fleet = opened(Fleet(3))
        fleet[1].call()
        fleet.advance(WAIT + 1.0)
        assert fleet[1].breaker.state == "half_open"
        fleet[1].call()
        fleet[1].call()
        fleet.sync()
        fleet.sync()
        assert fleet.states == ["closed"] * 3

    def test_that_fail_open_it_again_for_everyone_and_for_longer(self) -> None:
        fleet = opened(Fleet(3))
        for failures, trier in enumerate([1, 2, 0], start=1):
            fleet[trier].call()
            fleet.advance(WAIT * 2 ** (failures - 1) + 1.0)
            assert fleet.states.count("half_open") == 1
            assert fleet[trier].breaker.state == "half_open"
            fleet[trier].call(failed=True)
            fleet.sync()
            fleet.sync()
            record = fleet.shelf.seen.record
            assert record is not None
            assert fleet.states == ["open"] * 3
            assert record.cycles == failures
            assert record.openings == failures + 1
            assert record.until - fleet.shelf.now == pytest.approx(WAIT * 2**failures)
        assert [one.breaker.counts.cycles for one in fleet.instances] == [3, 3, 3]

    def test_are_taken_over_from_an_instance_that_died_with_them(self) -> None:
        fleet = opened(Fleet(3))
        fleet[0].call()
        fleet.advance(WAIT + 1.0)
        assert fleet[0].breaker.state == "half_open"
        fleet[1].call()
        for _ in range(int(LEASE) + 1):  # i0 is not heard of any more
            fleet.let_pass(1.0)
            fleet.sync(1, 2)
        assert fleet.states[1:] == ["half_open", "open"]
        fleet.sync(0)
        assert fleet.states == ["open", "half_open", "open"]

    def test_are_kept_by_renewing_the_lease(self) -> None:
        fleet = opened(Fleet(2))
        fleet[0].call()
        fleet.advance(WAIT + 1.0)
        fleet[1].call()
        fleet.advance(5 * LEASE)
        assert fleet.states == ["half_open", "open"]

    def test_too_many_failed_ones_disable_it_everywhere(self) -> None:
        policy = POLICY.replace(auto_disable_enabled=True, max_failure_cycles=2)
        fleet = opened(Fleet(2, policy))
        for trier, wait in ((1, WAIT), (0, 2 * WAIT)):
            fleet[trier].call()
            fleet.advance(wait + 1.0)
            fleet[trier].call(failed=True)
            fleet.sync()
            fleet.sync()
        assert fleet.states == ["disabled", "disabled"]

    def test_are_given_back_by_an_instance_that_leaves(self) -> None:
        fleet = opened(Fleet(2))
        fleet[0].call()
        fleet[1].call()
        fleet.advance(WAIT + 1.0)
        holder = fleet.states.index("half_open")
        record = fleet[holder].member.let_go(fleet.shelf.now)
        assert record is not None
        assert fleet.shelf.swap(fleet.shelf.seen.version, record)
        fleet.sync(1 - holder)
        assert fleet[1 - holder].breaker.state == "half_open"
        assert fleet[1 - holder].member.let_go(0.0) is not None
        assert fleet[holder].member.let_go(0.0) is not None


class TestByHand:
    @pytest.mark.parametrize(
        ("move", "state"),
        [
            ("force_open", "forced_open"),
            ("force_close", "forced_closed"),
            ("observe", "observe"),
            ("disable", "disabled"),
        ],
    )
    def test_a_state_set_at_one_instance_is_set_at_all_and_released_at_all(
        self, move: str, state: str
    ) -> None:
        fleet = Fleet(3)
        getattr(fleet[1].breaker, move)(actor="ann", reason="deploy")
        fleet.sync()
        fleet.sync()
        assert fleet.states == [state] * 3
        fleet[2].breaker.reset(actor="ben")
        fleet.sync()
        fleet.sync()
        assert fleet.states == ["closed"] * 3

    def test_an_order_stands_against_an_outage_found_meanwhile(self) -> None:
        fleet = Fleet(2)
        fleet[0].trip()
        fleet.sync(0)
        fleet[1].breaker.force_close(actor="ann")
        fleet.sync(1)
        fleet.sync(0)
        assert fleet.states == ["forced_closed"] * 2

    def test_an_outage_does_not_undo_an_order_found_meanwhile(self) -> None:
        fleet = Fleet(2)
        fleet[1].breaker.force_close(actor="ann")
        fleet.sync(1)
        fleet[0].trip()
        fleet.sync(0)
        assert fleet.states == ["forced_closed"] * 2

    def test_a_disabled_one_that_others_have_reopened_is_enabled_first(self) -> None:
        fleet = Fleet(2)
        fleet[0].breaker.disable(actor="ann")
        fleet.sync()
        fleet[0].breaker.enable(actor="ann")
        fleet.sync(0)
        fleet[0].trip()
        fleet.sync(0)
        fleet.sync(1)
        assert fleet.states == ["open", "open"]


class TestWithoutTheStore:
    def test_every_instance_goes_on_alone_when_the_outage_should_have_ended(self) -> None:
        fleet = opened(Fleet(2))
        fleet.let_pass(5.0)
        for one in fleet.instances:
            one.member.alone(fleet.shelf.now)
        fleet.let_pass(WAIT - 5.1)
        assert fleet.states == ["open", "open"]
        fleet.let_pass(0.2)
        assert fleet.states == ["half_open", "half_open"]

    def test_even_an_instance_that_was_not_told_becomes_an_ordinary_breaker(self) -> None:
        fleet = opened(Fleet(2))
        fleet.let_pass(WAIT + SLACK + 0.1)
        assert fleet.states == ["half_open", "half_open"]

    def test_what_an_instance_found_alone_counts_when_the_store_is_back(self) -> None:
        fleet = opened(Fleet(2))
        fleet.let_pass(WAIT + SLACK + 0.1)
        fleet[0].call()
        fleet[0].call()
        assert fleet[0].breaker.state == "closed"
        fleet.sync()
        fleet.sync()
        assert fleet.states == ["closed", "closed"]

    def test_trials_begun_alone_need_the_lease_when_the_store_is_back(self) -> None:
        fleet = opened(Fleet(3))
        fleet.let_pass(WAIT + SLACK + 0.1)
        assert fleet.states == ["half_open"] * 3
        fleet.sync()
        assert fleet.states == ["half_open", "open", "open"]

    def test_an_outage_begun_alone_is_told_when_the_store_is_back(self) -> None:
        fleet = Fleet(2)
        fleet[1].trip()
        fleet.let_pass(7.0)
        fleet.sync()
        fleet.sync()
        record = fleet.shelf.seen.record
        assert fleet.states == ["open", "open"]
        assert record is not None
        assert record.until == pytest.approx(fleet.shelf.now + WAIT - 7.0)

    def test_a_store_that_lost_everything_is_written_to_again(self) -> None:
        fleet = opened(Fleet(3))
        fleet.shelf.seen = Seen(0, None)
        fleet[2].breaker.force_open(actor="ann")
        fleet.sync(2)
        assert fleet.shelf.seen.version == 1
        fleet.sync()
        assert fleet.states == ["forced_open"] * 3


class TestARecord:
    def test_comes_back_as_it_was(self) -> None:
        fleet = opened(Fleet(1))
        record = fleet.shelf.seen.record
        assert record is not None
        assert record.error == "boom"
        assert Record.load(record.dump()) == record

    def test_that_cannot_be_read_is_written_over(self) -> None:
        fleet = opened(Fleet(2))
        fleet.shelf.seen = Seen(7, None)
        fleet[1].breaker.force_open(actor="ann")
        fleet.sync(1)
        fleet.sync(0)
        assert fleet.states == ["forced_open"] * 2
        assert fleet.shelf.seen.version == 8

    @given(st.text() | st.from_regex(r'\{"state": .*\}') | st.just("x" * 20_000))
    def test_refuses_everything_else_with_a_value_error(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"."):
            Record.load(text)

    @pytest.mark.parametrize(
        ("field", "value"),
        [("at", "now"), ("until", float("nan")), ("openings", -1), ("cycles", True), ("by", None)],
    )
    def test_names_the_field_that_is_wrong(self, field: str, value: object) -> None:
        import json

        fleet = opened(Fleet(1))
        assert fleet.shelf.seen.record is not None
        data = json.loads(fleet.shelf.seen.record.dump())
        with pytest.raises(ValueError, match=field):
            Record.load(json.dumps({**data, field: value}))


def test_follow_refuses_numbers_below_zero() -> None:
    breaker = Fleet(1)[0].breaker
    with pytest.raises(ValueError, match="cycles: -1"):
        breaker.follow(openings=0, cycles=-1)
    with pytest.raises(ValueError, match="openings: True"):
        breaker.follow(openings=True, cycles=0)
    assert breaker.counts.cycles == 0


STEP = st.tuples(st.integers(0, 3), st.sampled_from(["call", "fail", "sync", "wait", "dead"]))


@settings(max_examples=300, deadline=None)
@given(st.lists(STEP, max_size=80))
def test_whatever_happens_one_instance_has_the_trials_and_in_the_end_all_agree(
    steps: list[tuple[int, str]],
) -> None:
    fleet = Fleet(4, BreakerPolicy(failure_threshold=1, recovery_timeout=20.0))
    silent: set[int] = set()
    for who, what in steps:
        if what == "call":
            fleet[who].call()
        elif what == "fail":
            fleet[who].call(failed=True)
        elif what == "sync":
            silent.discard(who)
            fleet.sync(who)
        elif what == "dead":
            silent.add(who)
        else:
            fleet.let_pass(1.0)
            fleet.sync(*({0, 1, 2, 3} - silent or {who}))
        record = fleet.shelf.seen.record
        if record is not None and record.state == "half_open" and record.expires > fleet.shelf.now:
            others = {0, 1, 2, 3} - silent - {int(str(record.holder)[1:])}
            moved = {who for who in others if fleet[who].member.version != fleet.shelf.seen.version}
            assert all(fleet[who].breaker.state != "half_open" for who in others - moved)
    for _ in range(3):
        fleet.sync()
    record = fleet.shelf.seen.record
    if record is None:
        assert set(fleet.states) == {"closed"}
    elif record.state == "half_open":
        assert fleet.states.count("half_open") <= 1
        assert set(fleet.states) <= {"open", "half_open"}
    else:
        assert set(fleet.states) == {record.state}


def test_moves_that_were_taken_over_say_that_they_were() -> None:
    fleet = Fleet(2)
    told: list[str | None] = []
    fleet[1].breaker.add_listener(lambda event: told.append(event.actor), kinds=("transition",))
    opened(fleet)
    assert told == [ACTOR]
