"""What an application may say. Rule: every field has a bound, and a refusal names it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon import CircuitBreaker, State
from cbmon.apps import ReportError, parse_report
from cbmon.breaker import TransitionEvent
from cbmon.reporting.wire import BYTES, batches, breaker_report, move_report
from cbmon.testing import ManualClock


def report(**breaker: Any) -> dict[str, Any]:
    return {"application": "shop", "breakers": [{"name": "redis", "state": "open", **breaker}]}


def test_a_name_and_a_state_are_enough() -> None:
    found = parse_report(report())
    (redis,) = found.breakers
    assert (found.application, found.process, found.ttl) == ("shop", "", 45.0)
    assert (redis.name, redis.state, redis.counts.calls) == ("redis", State.OPEN, 0)
    assert redis.details["is_available"] is False


def test_a_process_without_a_name_is_the_only_one() -> None:
    assert parse_report({**report(), "process": ""}).process == ""


def test_what_the_library_says_is_what_the_daemon_reads() -> None:
    clock = ManualClock()
    moves: list[TransitionEvent] = []
    breaker = CircuitBreaker(
        "redis",
        clock=clock,
        kind="percentage",
        minimum_calls=2,
        window_size=4,
        slow_call_seconds=1,
        expected_exceptions=(ConnectionError,),
        is_failure=bool,
    )
    breaker.enable_duration_histogram()
    breaker.add_listener(moves.append, kinds=["transition"])
    for failed in (False, True):
        permit = breaker.try_acquire()
        assert permit is not None
        breaker.record(permit, failed=failed, duration=0.02, reason="connect", error="refused")
    told = breaker_report(breaker)
    told["moves"] = [move_report(move, number) for number, move in enumerate(moves, 1)]
    sent = json.loads(json.dumps({"application": "shop", "breakers": [told]}))
    (found,) = parse_report(sent).breakers
    assert found.state is State.OPEN
    counts = breaker.counts
    for name in ("calls", "successes", "failures", "trips", "failure_ratio", "transitions"):
        assert getattr(found.counts, name) == getattr(counts, name)
    assert found.counts.histogram is not None
    assert counts.histogram is not None
    assert found.counts.histogram.counts == counts.histogram.counts
    assert found.policy.kind == "percentage"
    assert found.details["last_error"] == "refused"
    assert found.retry_after == pytest.approx(60.0)
    assert found.explanation == breaker.explain()
    (move,) = found.moves
    assert (move.number, move.from_state, move.to_state) == (1, State.CLOSED, State.OPEN)
    assert move.last_reason == "connect"


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ([], "the body"),
        ({}, "application"),
        ({"application": "a/b"}, "application"),
        ({"application": "a:b"}, "application"),
        ({"application": "x" * 129}, "application"),
        ({"application": "a\n"}, "application"),
        ({"application": "a", "version": 2}, "version"),
        ({"application": "a", "process": 7}, "process"),
        ({"application": "a", "ttl_seconds": 1e9}, "ttl_seconds"),
        ({"application": "a", "ttl_seconds": float("nan")}, "ttl_seconds"),
        ({"application": "a", "labels": {"9x": "y"}}, "labels"),
        ({"application": "a", "labels": {"x": "y" * 201}}, "labels.x"),
        ({"application": "a", "tags": ["x"] * 51}, "tags"),
        ({"application": "a", "breakers": {}}, "breakers"),
        ({"application": "a", "breakers": [7]}, "breakers[0]"),
        ({"application": "a", "breakers": [{}]}, "breakers[0].state"),
        (report(name=""), "breakers[0].name"),
        (report(name=".."), "breakers[0].name"),
        (report(state="ajar"), "breakers[0].state"),
        (report(policy={"failure_threshold": 0}), "breakers[0].policy"),
        (report(policy={"failure_threshold": "x"}), "breakers[0].policy"),
        (report(policy=7), "breakers[0].policy"),
        (report(counts={"calls": -1}), "breakers[0].counts.calls"),
        (report(counts={"calls": True}), "breakers[0].counts.calls"),
        (report(counts={"calls": 10**30}), "breakers[0].counts.calls"),
        (report(counts={"failure_ratio": 1.5}), "breakers[0].counts.failure_ratio"),
        (report(last_failure_at=1e300), "breakers[0].last_failure_at"),
        (report(last_error=7), "breakers[0].last_error"),
        (report(explanation=7), "breakers[0].explanation"),
        (report(moves=[{"to": "open"}]), "breakers[0].moves[0].from"),
        (report(moves=[{}] * 201), "breakers[0].moves"),
        (report(transitions=[{"from": "open", "to": "x"}]), "breakers[0].transitions[0].to"),
        (report(durations={"bounds": [2, 1], "counts": [0, 0, 0]}), "breakers[0].durations.bounds"),
        (report(durations={"bounds": [1], "counts": [0]}), "breakers[0].durations.counts"),
        (report(durations={"bounds": [1], "counts": [0, -1]}), "breakers[0].durations.counts"),
        (
            {"application": "a", "breakers": [{"name": "x", "state": "open"}] * 501},
            "breakers",
        ),
    ],
)
def test_a_hostile_report_is_refused_with_its_place(body: Any, path: str) -> None:
    with pytest.raises(ReportError) as caught:
        parse_report(body)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("bad", [7, {}, {"name": "\ud800", "state": "open"}, {"name": "x" * 129},
                                 {"name": "a\nb", "state": "open"}, {"name": "b", "state": 3},
                                 {"name": "first", "state": "open"}], ids=ascii)  # fmt: skip
def test_a_bad_breaker_is_refused_by_itself(bad: Any) -> None:
    good = [{"name": name, "state": "open"} for name in ("first", "last")]
    found = parse_report({"application": "a", "breakers": [good[0], bad, good[1]]})
    assert [one.name for one in found.breakers] == ["first", "last"]
    (refusal,) = found.refused
    assert refusal.path.startswith("breakers[1]")
    assert refusal.message
    assert refusal.name is None or refusal.name.isprintable()


def test_long_and_strange_text_is_cut_and_cleaned() -> None:
    found = parse_report(
        report(last_error="a\x1b[31m\n" + "x" * 600, explanation="one\ntwo\x00\n" * 20)
    ).breakers[0]
    assert found.details["last_error"].startswith("a [31m x")
    assert len(found.details["last_error"]) == 500
    assert found.explanation.splitlines()[:2] == ["one", "two "]
    assert len(found.explanation.splitlines()) == 10


def test_unknown_fields_are_left_alone() -> None:
    assert parse_report({**report(new=1), "newer": {}}).breakers[0].state is State.OPEN


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["application", "breakers", "name", "state", "policy", "counts", "moves", "labels"]
            )
            | st.text(max_size=5),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@given(_JSON, _JSON)
def test_no_body_makes_it_raise_anything_else(data: Any, inner: Any) -> None:
    for body in (data, {"application": "a", "breakers": [inner]}, report(counts=inner)):
        try:
            found = parse_report(body)
        except ReportError:
            continue
        assert found.application


def test_policies_that_look_alike_are_told_apart() -> None:
    one = parse_report(report(policy={"failure_threshold": 1})).breakers[0].policy
    assert one.failure_threshold == 1
    with pytest.raises(ReportError, match="failure_threshold"):
        parse_report(report(policy={"failure_threshold": True}))
    with pytest.raises(ReportError, match="policy"):
        parse_report(report(policy={"kind": {}}))


def test_many_breakers_go_in_portions_that_a_daemon_takes() -> None:
    told = [breaker_report(CircuitBreaker(f"b{number}")) for number in range(300)]
    parts = list(batches(told))
    assert sum(map(len, parts)) == 300
    assert all(len(json.dumps(part)) <= BYTES + 2000 for part in parts)
    assert list(batches([])) == [[]]
