"""The store's seam, on each database: what was written is there, once, whatever is repeated."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from cbmon.errors import StoreError, UnstorableError
from cbmon.events import Action, Transition, as_json
from cbmon.interfaces import Commit, Store
from cbmon.model import Message, MessageState
from cbmon.store import open_store

MakeMove = Callable[..., Transition]
MakeMessage = Callable[..., Message]


async def test_a_new_store_is_empty(store: Store) -> None:
    assert await store.breakers() == {}
    assert await store.transitions() == []
    assert await store.incidents() == []
    assert await store.backlog() == {}
    assert await store.next_attempt("hook") is None


async def test_a_commit_is_there_after_a_restart(
    url: str, move: MakeMove, message: MakeMessage
) -> None:
    first = open_store(url)
    await first.open()
    opened = move("api", "open")
    sent = message("m1")
    await first.commit(Commit(transitions=[opened], messages=[sent]))
    await first.close()

    second = open_store(url)
    await second.open()
    assert await second.breakers() == {"api": opened.snapshot}
    assert await second.transitions() == [json.loads(json.dumps(as_json(opened)))]
    assert await second.pending("hook", now=2000.0) == [sent]
    await second.close()


async def test_a_commit_that_is_repeated_changes_nothing(
    store: Store, move: MakeMove, message: MakeMessage
) -> None:
    opened = move("api", "open")
    commit = Commit(transitions=[opened], messages=[message("m1")])
    await store.commit(commit)
    await store.delivered("m1", at=1500.0)
    await store.save_snapshots({"api": {"state": "newer"}})
    await store.commit(commit)
    assert len(await store.transitions()) == 1
    assert (await store.incidents())[0]["moves"] == 1
    assert await store.pending("hook", now=2000.0) == []
    assert await store.breakers() == {"api": {"state": "newer"}}


async def test_snapshots_beside_a_repeated_move_do_not_replace_newer_ones(
    store: Store, move: MakeMove
) -> None:
    commit = Commit(transitions=[move("api")], snapshots={"db": {"n": 1}})
    await store.commit(commit)
    await store.commit(Commit(snapshots={"db": {"n": 2}}))
    await store.commit(commit)
    assert (await store.breakers())["db"] == {"n": 2}


async def test_one_event_twice_in_a_commit_is_one_row(store: Store, move: MakeMove) -> None:
    opened = move()
    await store.commit(Commit(transitions=[opened, opened]))
    assert len(await store.transitions()) == 1


async def test_a_commit_is_all_or_nothing(
    store: Store, move: MakeMove, message: MakeMessage
) -> None:
    bad = message("m1", body={"unknown": object()})
    with pytest.raises(UnstorableError, match="refuses this content"):
        await store.commit(Commit(transitions=[move()], messages=[bad]))
    assert await store.transitions() == []
    assert await store.breakers() == {}


async def test_one_callers_bad_content_costs_nobody_else_anything(
    store: Store, move: MakeMove
) -> None:
    good = [store.commit(Commit(transitions=[move()])) for _ in range(20)]
    bad = store.commit(Commit(transitions=[replace(move(), snapshot={"x": object()})]))
    results = await asyncio.gather(*good[:10], bad, *good[10:], return_exceptions=True)
    assert [type(result) for result in results if result is not None] == [UnstorableError]
    assert len(await store.transitions()) == 20


async def test_text_from_a_target_that_databases_refuse_is_kept_readable(
    store: Store, move: MakeMove
) -> None:
    await store.commit(Commit(transitions=[move(last_error="a\0b\ud800c \U0001f600")]))
    [row] = await store.transitions()
    assert row["last_error"] == "a\ufffdb\ufffdc \U0001f600"


async def test_transitions_are_paged_newest_first(store: Store, move: MakeMove) -> None:
    moves = [move("api" if n % 2 else "db") for n in range(10)]
    await store.commit(Commit(transitions=moves))
    first = await store.transitions(limit=4)
    assert [row["id"] for row in first] == [m.id for m in reversed(moves[6:])]
    second = await store.transitions(limit=100, before=first[-1]["id"])
    assert [row["id"] for row in second] == [m.id for m in reversed(moves[:6])]
    assert {row["component"] for row in await store.transitions(component="db")} == {"db"}


async def test_an_incident_runs_from_leaving_closed_until_closed(
    store: Store, move: MakeMove, message: MakeMessage
) -> None:
    states = ["open", "half_open", "open", "half_open", "closed"]
    moves = [move("api", state, at=1000.0 + n) for n, state in enumerate(states)]
    moves[-1] = replace(moves[-1], reason=None, last_error=None)
    await store.commit(Commit(transitions=moves[:3], messages=[message("m1")]))
    [running] = await store.incidents(open_only=True)
    assert running["ended_at"] is None
    assert running["receivers"] == ["hook"]

    await store.commit(Commit(transitions=moves[3:], messages=[message("m2", sequence=2)]))
    assert await store.incidents(open_only=True) == []
    [ended] = await store.incidents()
    assert (ended["started_at"], ended["ended_at"]) == (1000.0, 1004.0)
    assert (ended["moves"], ended["trials"], ended["last_state"]) == (5, 2, "closed")
    assert (ended["reason"], ended["last_error"]) == ("connect", "connection refused")
    assert ended["sequence"] == 2


async def test_what_is_no_longer_configured_is_forgotten(store: Store, move: MakeMove) -> None:
    await store.commit(Commit(transitions=[move("api"), move("db")]))
    await store.forget(["api", "never-seen"])
    assert list(await store.breakers()) == ["db"]
    assert [row["component"] for row in await store.incidents(open_only=True)] == ["db"]


async def test_actions_are_the_audit_log(store: Store) -> None:
    actions = [
        Action(id=f"a{n}", at=float(n), component="api", action="open", actor="anna", text="deploy")
        for n in range(3)
    ]
    await store.commit(Commit(actions=actions))
    await store.commit(Commit(actions=actions))
    assert [row["id"] for row in await store.audit()] == ["a2", "a1", "a0"]
    assert [row["id"] for row in await store.audit(before="a1")] == ["a0"]


async def test_only_the_head_of_each_line_is_pending(store: Store, message: MakeMessage) -> None:
    await store.commit(
        Commit(
            messages=[
                message("a2", incident="a", sequence=2, created_at=3.0),
                message("a1", incident="a", sequence=1, created_at=1.0),
                message("b1", incident="b", sequence=1, created_at=2.0),
                message("c1", incident="c", sequence=1, receiver="other"),
            ]
        )
    )
    assert [m.id for m in await store.pending("hook", now=9.0)] == ["a1", "b1"]
    await store.delivered("a1", at=9.0)
    assert [m.id for m in await store.pending("hook", now=9.0)] == ["b1", "a2"]


async def test_a_postponed_head_holds_back_its_own_line_only(
    store: Store, message: MakeMessage
) -> None:
    await store.commit(
        Commit(
            messages=[
                message("a1", incident="a"),
                message("a2", incident="a", sequence=2),
                message("b1", incident="b"),
            ]
        )
    )
    await store.postponed("a1", next_attempt_at=50.0, error="503")
    assert [m.id for m in await store.pending("hook", now=10.0)] == ["b1"]
    await store.delivered("b1", at=10.0)
    assert await store.next_attempt("hook") == 50.0
    [due] = await store.pending("hook", now=50.0)
    assert (due.id, due.attempts, due.last_error) == ("a1", 1, "503")


async def test_a_wall_clock_that_went_back_does_not_hold_a_message(
    store: Store, message: MakeMessage
) -> None:
    await store.commit(Commit(messages=[message("a1")]))
    await store.postponed("a1", next_attempt_at=100_000.0, error="503")
    assert await store.pending("hook", now=99_000.0) == []
    assert [m.id for m in await store.pending("hook", now=90_000.0)] == ["a1"]


async def test_a_settled_message_stays_as_it_is(store: Store, message: MakeMessage) -> None:
    await store.commit(Commit(messages=[message("a1")]))
    await store.delivered("a1", at=5.0)
    await store.buried("a1", at=6.0, error="too late")
    await store.postponed("a1", next_attempt_at=7.0, error="too late")
    [row] = await store.line("hook", "incident-api")
    assert (row.state, row.attempts) == (MessageState.DELIVERED, 1)


async def test_dead_letters_are_seen_and_sent_again(store: Store, message: MakeMessage) -> None:
    await store.commit(Commit(messages=[message("a1"), message("a2", sequence=2)]))
    await store.buried("a1", at=5.0, error="410 gone")
    await store.dropped(["a2"], at=6.0, reason="its outage was not delivered")
    assert await store.backlog() == {"hook": (0, None, 1)}
    [dead] = await store.messages(state=MessageState.DEAD)
    assert (dead.id, dead.last_error) == ("a1", "410 gone")

    assert await store.resend("a2", now=2000.0) is False
    assert await store.resend("a1", now=2000.0) is True
    line = await store.line("hook", "incident-api")
    assert [(m.id, m.state) for m in line] == [("a1", "pending"), ("a2", "pending")]
    assert await store.backlog() == {"hook": (2, 2000.0, 0)}


async def test_messages_are_paged_newest_first(store: Store, message: MakeMessage) -> None:
    made = [message(f"m{n}", incident=f"i{n}", created_at=float(n // 2)) for n in range(6)]
    await store.commit(Commit(messages=made))
    first = await store.messages(limit=3)
    rest = await store.messages(limit=3, before=first[-1].id)
    assert [m.id for m in [*first, *rest]] == ["m5", "m4", "m3", "m2", "m1", "m0"]
    assert await store.messages(receiver="other") == []


async def test_messages_of_a_removed_receiver_are_buried_in_time(
    store: Store, message: MakeMessage
) -> None:
    await store.commit(
        Commit(
            messages=[
                message("old", receiver="gone", incident="a", created_at=1.0),
                message("new", receiver="gone", incident="b", created_at=9.0),
                message("kept", receiver="hook", incident="c", created_at=1.0),
            ]
        )
    )
    assert await store.expire(before=5.0, at=10.0, keep=["hook"]) == 1
    assert await store.backlog() == {"gone": (1, 9.0, 1), "hook": (1, 1.0, 0)}


async def test_retention_drops_history_but_nothing_of_an_open_incident(
    store: Store, move: MakeMove, message: MakeMessage
) -> None:
    ended = [
        move("old", "open" if n % 2 == 0 else "closed", incident=f"old-{n // 2}", at=float(n))
        for n in range(1200)
    ]
    running = move("api", "open", incident="running", at=5.0)
    told = message("told", incident="running")
    done = message("done", incident="old-1")
    waiting = message("waiting", incident="old-2")
    await store.commit(Commit(transitions=[*ended, running], messages=[told, done, waiting]))
    await store.delivered("told", at=6.0)
    await store.delivered("done", at=6.0)

    assert await store.prune(before=1100.0) == 1100 + 550 + 1
    assert running.id in {row["id"] for row in await store.transitions(limit=1000)}
    assert len(await store.incidents(limit=1000)) == 51
    assert {m.id for m in await store.messages()} == {"told", "waiting"}


async def test_a_closed_store_says_so(url: str) -> None:
    store = open_store(url)
    with pytest.raises(StoreError, match="is not open"):
        await store.breakers()
    await store.open()
    await store.close()
    await store.close()
    with pytest.raises(StoreError, match="is not open"):
        await store.commit(Commit())
