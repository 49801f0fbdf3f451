"""What to do with the head of a line, and when to try again: each case with its reason."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon.model import Message, MessageState
from cbmon.notify.messages import entries_of
from cbmon.notify.outbox import (
    FOLDED_INTO,
    Limits,
    Step,
    absorbed,
    dressed,
    judge,
    needs_line,
    past_of,
    said,
)

LIMITS = Limits()
NOW = 1_000_000.0
OLD = NOW - LIMITS.time_to_live - 1.0
LATE = NOW - LIMITS.fold_after - 1.0


def message(kind: str, sequence: int, **fields: Any) -> Message:
    values: dict[str, Any] = {
        "id": f"m{sequence}",
        "receiver": "hook",
        "incident": "i",
        "sequence": sequence,
        "kind": kind,
        "created_at": NOW,
        "body": {},
    }
    return Message(**(values | fields))


def opened(**fields: Any) -> Message:
    return message("opened", 1, **fields)


def recovered(**fields: Any) -> Message:
    return message("recovered", 2, **fields)


DEAD, DROPPED, DELIVERED = MessageState.DEAD, MessageState.DROPPED, MessageState.DELIVERED
CASES: dict[str, tuple[list[Message], Step]] = {
    "a fresh outage": ([opened()], Step.DELIVER),
    "a fresh outage whose end waits already": ([opened(), recovered()], Step.DELIVER),
    "an outage that failed once, not over": ([opened(attempts=1)], Step.DELIVER),
    "an outage that failed once and is over": ([opened(attempts=1), recovered()], Step.FOLD),
    "a late outage that is over": ([opened(created_at=LATE), recovered()], Step.FOLD),
    "a late outage that is withdrawn": (
        [opened(created_at=LATE), message("withdrawn", 2)],
        Step.FOLD,
    ),
    "a late outage that was disabled meanwhile": (
        [opened(created_at=LATE), message("disabled", 2)],
        Step.FOLD,
    ),
    "a late outage with an update of a line of its own": (
        [opened(created_at=LATE), message("disabled", 2, incident="other")],
        Step.DELIVER,
    ),
    "a too old outage, not over": ([opened(created_at=OLD)], Step.EXPIRE),
    "a too old outage that is over": ([opened(created_at=OLD), recovered()], Step.FOLD),
    "an end after its outage": ([opened(state=DELIVERED), recovered()], Step.DELIVER),
    "an end after a dead outage": ([opened(state=DEAD), recovered()], Step.DROP),
    "an end after a folded outage": (
        [opened(state=DROPPED, last_error=FOLDED_INTO), recovered()],
        Step.DELIVER_FOLDED,
    ),
    "an end after an outage dropped for another reason": (
        [opened(state=DROPPED, last_error="silenced"), recovered()],
        Step.DROP,
    ),
    "an end without any outage": ([recovered()], Step.DROP),
    "an end after a dead outage of which an update was told": (
        [opened(state=DEAD), message("disabled", 2, state=DELIVERED), message("recovered", 3)],
        Step.DELIVER,
    ),
    "a too old end": ([opened(state=DELIVERED), recovered(created_at=OLD)], Step.EXPIRE),
    "an end put back behind a delivered one": (
        [opened(state=DELIVERED), recovered(state=DELIVERED), message("withdrawn", 3)],
        Step.DELIVER,
    ),
}


@pytest.mark.parametrize(("line", "expected"), CASES.values(), ids=CASES.keys())
def test_the_next_step_for(line: list[Message], expected: Step) -> None:
    head = next(message for message in line if message.state is MessageState.PENDING)
    assert judge(head, line, NOW, LIMITS) == expected


@pytest.mark.parametrize(("line", "expected"), CASES.values(), ids=CASES.keys())
def test_the_line_is_read_wherever_it_matters(line: list[Message], expected: Step) -> None:
    head = next(message for message in line if message.state is MessageState.PENDING)
    if not needs_line(head, NOW, LIMITS):
        assert judge(head, [head], NOW, LIMITS) == expected


@given(attempts=st.integers(0, 10_000), seed=st.integers())
def test_a_wait_is_never_longer_than_allowed(attempts: int, seed: int) -> None:
    wait = LIMITS.wait(attempts, None, random.Random(seed))
    assert 0.0 <= wait <= min(60.0, 2.0 ** min(attempts, 60))


def test_waits_fill_the_whole_range() -> None:
    rng = random.Random(1)
    waits = [LIMITS.wait(3, None, rng) for _ in range(500)]
    assert min(waits) < 0.5
    assert max(waits) > 7.5


@pytest.mark.parametrize(
    ("asked", "waited"), [(0.0, 0.0), (3.0, 3.0), (-5.0, 0.0), (1e9, 3600.0), (3600.0, 3600.0)]
)
def test_a_wish_to_wait_is_heeded_within_reason(asked: float, waited: float) -> None:
    assert LIMITS.wait(0, asked, random.Random(0)) >= waited
    assert LIMITS.wait(0, asked, random.Random(0)) <= max(1.0, waited)


def entry(episode: str, kind: str) -> dict[str, Any]:
    over = kind == "recovered"
    return {"episode": episode, "component": episode, "kind": kind, "over": over}


def of(sequence: int, *entries: dict[str, Any], **fields: Any) -> Message:
    body = entries[0] if len(entries) == 1 else {"entries": list(entries)}
    return message(str(entries[0]["kind"]), sequence, body=body, **fields)


FOLDED = {"state": DROPPED, "last_error": FOLDED_INTO}
SAID: dict[str, tuple[list[Message], list[str]]] = {
    "alone": ([of(1, entry("a", "opened"))], ["a:opened"]),
    "an end after its outage": (
        [of(1, entry("a", "opened"), state=DELIVERED), of(2, entry("a", "recovered"))],
        ["a:recovered"],
    ),
    "an end with its outage folded in": (
        [of(1, entry("a", "opened"), **FOLDED), of(2, entry("a", "recovered"))],
        ["a:recovered:folded"],
    ),
    "another's outage folded in": (
        [of(1, entry("a", "opened"), **FOLDED), of(2, entry("b", "opened"))],
        ["a:opened", "b:opened"],
    ),
    "what is listed as unchanged was never told": (
        [
            of(1, entry("a", "opened"), **FOLDED),
            of(2, entry("b", "opened"), entry("a", "unchanged")),
        ],
        ["b:opened", "a:opened"],
    ),
    "two folded, one over": (
        [
            of(1, entry("a", "opened"), **FOLDED),
            of(2, entry("b", "opened"), entry("a", "recovered"), **FOLDED),
            of(3, entry("b", "recovered")),
        ],
        ["a:recovered:folded", "b:recovered:folded"],
    ),
    "folded into one that was delivered": (
        [
            of(1, entry("a", "opened"), **FOLDED),
            of(2, entry("b", "opened"), state=DELIVERED),
            of(3, entry("a", "recovered")),
        ],
        ["a:recovered"],
    ),
    "folded into a dead letter": (
        [
            of(1, entry("a", "opened"), **FOLDED),
            of(2, entry("b", "opened"), state=DEAD),
            of(3, entry("a", "recovered"), entry("c", "opened")),
        ],
        ["c:opened"],
    ),
    "an outage of an absorbed line": (
        [
            of(1, entry("a", "opened"), incident="other", **FOLDED),
            of(1, entry("a", "recovered"), entry("b", "recovered")),
        ],
        ["a:recovered:folded"],
    ),
    "an outage that an absorbed line has told": (
        [
            of(1, entry("a", "opened"), incident="other", state=DELIVERED),
            of(1, entry("a", "recovered")),
        ],
        ["a:recovered"],
    ),
    "over before it was told": (
        [of(1, {**entry("a", "recovered"), "folded": True})],
        ["a:recovered:folded"],
    ),
}


@pytest.mark.parametrize(("line", "expected"), SAID.values(), ids=SAID.keys())
def test_what_is_said_at_a_delivery(line: list[Message], expected: list[str]) -> None:
    found = [
        f"{one['episode']}:{one['kind']}{':folded' if one.get('folded') else ''}"
        for one in said(line[-1], line)
    ]
    assert found == expected


def test_what_is_said_of_the_message_itself_stays_when_others_are_folded_into_it() -> None:
    head = message("recovered", 2, body={"receiver": "mail", "instead_of": "a/x", "absorbs": ["t"]})
    whole: dict[str, Any] = {
        "receiver": "ops",
        "group_labels": {},
        "external_url": None,
        "labels": {},
    }
    more = {"category": "check", "incident": "i", "started_at": 0.0, "ended_at": 1.0, "at": 0.0}
    entries = [{**entry(name, "recovered"), **whole, **more} for name in ("a", "b")]
    told = dressed(head, entries, None)
    assert len(told.body["entries"]) == 2
    assert {name: told.body[name] for name in head.body} == head.body


def test_what_a_folded_message_took_over_is_taken_over_with_it() -> None:
    first = message("opened", 1, body={"absorbs": ["x", "y"]}, **FOLDED)
    told = message("opened", 2, body={"absorbs": ["told"]}, state=DELIVERED)
    head = message("opened", 3, body={"absorbs": ["y", "z"]})
    assert absorbed(head, [first, told, head]) == ("x", "y", "z")


AGAIN: dict[str, tuple[list[Message], set[str], set[str]]] = {
    "it goes on": ([of(1, entry("a", "opened"))], {"a"}, set()),
    "it is over, and nothing waits": ([of(1, entry("a", "opened"))], set(), {"a"}),
    "its end waits behind it": (
        [of(1, entry("a", "opened")), of(2, entry("a", "recovered"))],
        set(),
        set(),
    ),
    "it was told since": (
        [of(1, entry("a", "opened")), of(2, entry("a", "unchanged"), state=DELIVERED)],
        {"a"},
        {"a"},
    ),
    "an end": ([of(1, entry("a", "recovered"))], set(), set()),
    "one of two": ([of(1, entry("a", "opened"), entry("b", "opened"))], {"b"}, {"a"}),
}


@pytest.mark.parametrize(("line", "going_on", "past"), AGAIN.values(), ids=AGAIN.keys())
def test_of_what_is_sent_again_there_is_nothing_to_tell_of(
    line: list[Message], going_on: set[str], past: set[str]
) -> None:
    assert past_of(line[0], line, going_on) == past
    whole = past == {"a"} and len(entries_of(line[0].body)) == 1
    assert (judge(line[0], line, NOW, LIMITS, past) is Step.OVERTAKEN) is whole
