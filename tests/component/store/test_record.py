"""Events of every kind come in one list, newest first, filtered, and page on without a gap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cbmon.events import Action, RunFailed, Transition
from cbmon.interfaces import Commit, Store
from cbmon.keeping import EventFilter
from cbmon.model import Category, Reason
from cbmon.store import record

MakeMove = Callable[..., Transition]


def failed(number: int, component: str = "api") -> RunFailed:
    return RunFailed(
        id=f"event-{number:06d}",
        at=1000.0 + number,
        component=component,
        category=Category.CHECK,
        reason=Reason.TIMEOUT,
        error="no answer within 5 s",
        duration=5.0,
    )


def did(number: int, action: str = "open", component: str = "api", **more: Any) -> Action:
    return Action(
        id=f"event-{number:06d}",
        at=1000.0 + number,
        component=component,
        action=action,
        actor="ada",
        **more,
    )


async def fill(store: Store, move: MakeMove) -> None:
    def moved(number: int, source: str, target: str, component: str = "api") -> Transition:
        fields = {"id": f"event-{number:06d}", "at": 1000.0 + number, "from_state": source}
        return move(component, target, **fields)

    await store.record.add_failures([failed(1), failed(2), failed(3, "db")])
    moves = [
        moved(4, "closed", "open"),
        moved(5, "half_open", "disabled"),
        moved(7, "disabled", "half_open"),
        moved(8, "closed", "open", "db"),
    ]
    actions = [
        did(6, "enable"),
        did(9, "change_settings", details={"failure_threshold": [5, 3]}),
        did(10, "open", refused="it is disabled"),
        did(11, "reload", component=""),
        did(12, "change_defaults", component="*"),
    ]
    await store.commit(Commit(transitions=moves, actions=actions))


async def listed(store: Store, limit: int = 100, **wanted: Any) -> list[tuple[int, str]]:
    kinds = wanted.pop("kinds", None)
    chosen = EventFilter(kinds=None if kinds is None else frozenset(kinds), **wanted)
    rows = await store.record.events(chosen, limit=limit)
    return [(int(row["id"][-6:]), row["kind"]) for row in rows]


async def test_every_kind_is_in_the_list_newest_first(store: Store, move: MakeMove) -> None:
    await fill(store, move)
    assert await listed(store) == [
        (12, "settings_changed"),
        (11, "reload"),
        (10, "refused"),
        (9, "settings_changed"),
        (8, "transition"),
        (7, "enabled"),
        (6, "action"),
        (5, "disabled"),
        (4, "transition"),
        (3, "failed"),
        (2, "failed"),
        (1, "failed"),
    ]


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        ({"component": "db"}, [8, 3]),
        ({"component": "api", "kinds": {"failed"}}, [2, 1]),
        ({"kinds": {"disabled", "enabled"}}, [7, 5]),
        ({"kinds": {"transition"}}, [8, 4]),
        ({"kinds": {"refused"}}, [10]),
        ({"kinds": {"action"}}, [6]),
        ({"kinds": {"settings_changed", "reload"}}, [12, 11, 9]),
        ({"since": 1010.0}, [12, 11, 10]),
        ({"until": 1003.0, "since": 1002.0}, [3, 2]),
        ({"kinds": set()}, []),
    ],
)
async def test_events_are_filtered(
    store: Store, move: MakeMove, wanted: dict[str, Any], numbers: list[int]
) -> None:
    await fill(store, move)
    assert [number for number, _ in await listed(store, **wanted)] == numbers


async def test_pages_follow_each_other_without_gap_or_repeat(store: Store, move: MakeMove) -> None:
    await fill(store, move)
    found: list[str] = []
    while True:
        before = found[-1] if found else None
        page = await store.record.events(EventFilter(), limit=5, before=before)
        found += [row["id"] for row in page]
        if len(page) < 5:
            break
    assert found == [f"event-{number:06d}" for number in range(12, 0, -1)]


async def test_a_failed_run_says_why_and_how_long(store: Store) -> None:
    await store.record.add_failures([failed(1)])
    await store.record.add_failures([failed(1)])
    (row,) = await store.record.events(EventFilter(), limit=5)
    assert (row["reason"], row["last_error"]) == ("timeout", "no answer within 5 s")
    assert row["duration_seconds"] == 5.0


async def test_the_audit_log_is_filtered_and_paged(store: Store, move: MakeMove) -> None:
    await fill(store, move)

    async def seqs(limit: int = 10, before: int | None = None, **wanted: Any) -> list[int]:
        rows = await store.record.audit(EventFilter(**wanted), limit=limit, before=before)
        return [row["seq"] for row in rows]

    assert await seqs() == [5, 4, 3, 2, 1]
    assert await seqs(limit=2) == [5, 4]
    assert await seqs(before=4) == [3, 2, 1]
    assert await seqs(refused=True) == [3]
    assert await seqs(refused=False, component="api") == [2, 1]
    assert await seqs(action="reload") == [4]
    assert await seqs(actor="eve") == []
    newest = (await store.record.audit(EventFilter(action="change_settings"), limit=1))[0]
    assert newest["details"] == {"failure_threshold": [5, 3]}


async def test_failed_runs_go_with_the_retention_and_when_they_are_too_many(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.record.add_failures([failed(number) for number in range(1, 11)])
    assert await store.prune(before=1003.0) == 2
    monkeypatch.setattr(record, "MOST_FAILURES", 3)
    assert await store.prune(before=0.0) == 5
    assert [number for number, _ in await listed(store)] == [10, 9, 8]
