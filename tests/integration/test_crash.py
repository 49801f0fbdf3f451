"""Killed at any moment, the daemon is back soon with what its last transitions say: nothing is
lost, nothing is there twice, and nobody hears of a recovery without its outage."""

from __future__ import annotations

import json
import random
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.integration.harness import Daemon, Hooks, Targets, eventually
from tests.integration.harness.processes import slowness
from tests.integration.harness.sinks import Reply, Request

RunDaemon = Callable[..., Daemon]

BREAKERS: Final = 50
READY_WITHIN: Final = 3.0
POLICY: Final = {"failure_threshold": 1, "recovery_timeout": "200ms", "half_open_max_calls": 1}


def flapping(request: Request) -> Reply:
    """Target ``/n`` is up for a while and down for a while, each at a pace of its own."""
    number = int(request.path.removeprefix("/"))
    up = int(time.monotonic() / (0.7 + 0.05 * number) + number) % 2
    return Reply(status=200 if up else 503)


def configuration(targets: Targets, hooks: Hooks) -> dict[str, Any]:
    return {
        "defaults": {"interval": "250ms", "timeout": "200ms", "breaker": POLICY},
        "checks": [
            {"name": f"flap-{number}", "http": {"url": f"{targets.url}/{number}"}}
            for number in range(BREAKERS)
        ],
        "notifications": {
            # Every outage by itself and at once: each has its place in the outbox.
            "route": {"receiver": "hook", "group_wait": "0s", "group_interval": "1ms"},
            "storm": {"messages": 0},
            "flapping": {"changes": 0},
            "receivers": [{"name": "hook", "webhook": {"url": hooks.url}}],
        },
    }


@pytest.mark.parametrize(
    "kills",
    [10, pytest.param(100, marks=[pytest.mark.long, pytest.mark.timeout(1800)])],
)
def test_nothing_is_lost_or_doubled(
    run_daemon: RunDaemon, targets: Targets, hooks: Hooks, kills: int
) -> None:
    seed = time.time_ns()
    moments = random.Random(seed)
    print(f"seed {seed}")
    targets.behave = flapping
    daemon = run_daemon(configuration(targets, hooks))
    starts: list[float] = []
    allowed: list[float] = []
    for _ in range(kills):
        time.sleep(moments.uniform(0.0, 2.0))
        daemon.kill()
        assert_consistent(daemon)
        if moments.random() < 0.2:
            die_while_starting(daemon, moments)
        starts.append(daemon.start())
        allowed.append(READY_WITHIN * slowness())
    print(f"ready again after {min(starts):.2f} to {max(starts):.2f} s")

    targets.behave = lambda _: Reply()
    eventually(lambda: all_closed(daemon), "every breaker to close", 30.0)
    eventually(lambda: not waiting(daemon), "every message to be delivered", 60.0)
    assert daemon.stop() == 0
    assert_consistent(daemon)
    assert_every_outage_was_told(daemon, hooks, kills)
    late = [(took, limit) for took, limit in zip(starts, allowed, strict=True) if took > limit]
    assert not late


def die_while_starting(daemon: Daemon, moments: random.Random) -> None:
    daemon.process.start()
    time.sleep(moments.uniform(0.05, 1.5))
    daemon.signal(signal.SIGKILL)
    daemon.process.wait()
    assert_consistent(daemon)


def all_closed(daemon: Daemon) -> bool:
    states = daemon.metrics("circuit_breaker_state")
    flaps = [value for key, value in states.items() if 'category="check"' in key]
    return flaps == [1.0] * BREAKERS


def waiting(daemon: Daemon) -> int:
    return len(daemon.live_rows("select id from outbox where state = 'pending'"))


def assert_consistent(daemon: Daemon) -> None:
    """Each breaker's moves are one chain, and it is stored in the state that the chain ends in."""
    chains: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in daemon.rows("select * from transitions where category = 'check' order by id"):
        chains[row["component"]].append(row)
    for name, chain in chains.items():
        expected = "closed"
        for row in chain:
            assert row["from_state"] == expected, (name, row, "a move is lost or doubled")
            expected = row["to_state"]
    stored = {
        row["component"]: json.loads(row["snapshot"])["breaker"]["state"]
        for row in daemon.rows("select component, snapshot from breakers")
    }
    for name, chain in chains.items():
        assert stored[name] == chain[-1]["to_state"], name


def assert_every_outage_was_told(daemon: Daemon, hooks: Hooks, kills: int) -> None:
    outbox = {row["id"]: row for row in daemon.rows("select * from outbox")}
    incidents = daemon.rows("select * from incidents")
    moves = daemon.rows("select * from transitions where from_state = 'closed'")
    assert len(incidents) == len({row["incident"] for row in moves}) == len(moves)
    assert all(row["ended_at"] is not None for row in incidents)

    kinds = Counter((row["incident"], row["kind"]) for row in outbox.values())
    told_of = {incident for incident, _ in kinds}
    assert told_of == {row["id"] for row in incidents}
    assert set(kinds.values()) == {1}, "one message of each kind per incident"
    for incident in told_of:
        assert (incident, "opened") in kinds
        assert (incident, "recovered") in kinds

    states = Counter(row["state"] for row in outbox.values())
    delivered = {key for key, row in outbox.items() if row["state"] == "delivered"}
    received = Counter(hooks.ids)
    assert states.keys() <= {"delivered", "dropped"}, states
    assert delivered <= received.keys() <= outbox.keys()
    doubled = sum(received.values()) - len(received)
    print(f"{len(moves)} outages, {dict(states)} messages, {doubled} delivered twice")
    assert doubled <= 2 * kills, "at least once, and twice only around a kill"

    seen: dict[str, set[str]] = defaultdict(set)
    for status, _, incident in hooks.alerts():
        seen[incident].add(status)
    folded = {row["incident"] for row in outbox.values() if row["state"] == "dropped"}
    for incident in told_of - folded:
        assert seen[incident] == {"firing", "resolved"}, incident
    first = {incident: status for status, _, incident in reversed(hooks.alerts())}
    assert {first[incident] for incident in told_of - folded} == {"firing"}
