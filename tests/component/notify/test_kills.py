"""SIGKILL while messages are under way: none lost, none out of order, few doubled.

A process makes transitions and delivers them to three servers, one of which refuses every third
request for a while. It is killed again and again; a last run drains the outbox.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from cbmon.store import open_store
from tests.integration.harness.processes import DIES_WITH_US

LINES = ("good", "slow", "moody")
DAEMON = """
import asyncio, sys
from cbmon.breaker.clock import SystemClock
from cbmon.breaker.policy import BreakerPolicy
from cbmon.config import NotificationsConfig, ReceiverConfig
from cbmon.config.notifying import NotificationRules
from cbmon.config.routes import Route
from cbmon.events import Transition, new_id
from cbmon.model import BreakerInfo, Category
from cbmon.notify.messages import Site
from cbmon.notify.receivers.webhook import WebhookOptions
from cbmon.notify.service import Notifying
from cbmon.store import Journal, open_store

LINES = ("good", "slow", "moody")

class Hooks:
    def store_failed(self): pass
    def committed(self, batch):
        notifying.committed(message for entry in batch for message in entry.messages)
        for entry in batch:
            for message in entry.messages:
                print(message.id, flush=True)

def write(plan):
    journal.write(None, plan.messages, plan.rows)

def config(url):
    policy = BreakerPolicy(failure_threshold=5, recovery_timeout=0.2)
    receivers = tuple(
        ReceiverConfig(
            name=name, policy=policy,
            integrations=(("webhook", WebhookOptions(url=f"{url}{name}")),),
        )
        for name in LINES
    )
    at_once = {"group_wait": 0.0, "group_interval": 0.001}
    routes = tuple(Route(receiver=name, continue_=True, **at_once) for name in LINES)
    off = NotificationRules.model_validate({"storm": {"messages": 0}, "flapping": {"changes": 0}})
    tree = Route(receiver="good", routes=routes)
    return NotificationsConfig(route=tree, receivers=receivers, rules=off)

async def main(database, url, drain):
    global notifying, journal
    store = open_store(database)
    await store.open()
    notifying = Notifying(store, clock=SystemClock(), write=write)
    running = {row["component"]: row for row in await store.incidents(open_only=True)}
    journal = Journal(store, hooks=Hooks())
    journal.start()
    await notifying.start(config(url), Site())
    number = 0
    while not drain:
        number += 1
        name = f"c{number % 10}"
        known = running.pop(name, None)
        at = SystemClock().time()
        incident = known["id"] if known else new_id(at)
        started = known["started_at"] if known else at
        if not known:
            running[name] = {"id": incident, "started_at": at}
        move = Transition(
            id=new_id(at), at=at, component=name, category=Category.CHECK,
            from_state="open" if known else "closed", to_state="closed" if known else "open",
            cause="test", incident=incident, incident_started_at=started,
            info=BreakerInfo(name=name, category=Category.CHECK),
        )
        plan = notifying.follow(move)
        journal.write(move, plan.messages, plan.rows)
        await asyncio.sleep(0.005)
    while any(waiting for waiting, _, _ in (await store.backlog()).values()):
        await asyncio.sleep(0.05)
    await notifying.stop(5.0)
    await journal.stop(5.0)
    await store.close()

asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3] == "drain"))
"""


class Request(NamedTuple):
    """One that was answered with success: its id, and each incident in it with what is said."""

    id: str
    alerts: tuple[tuple[str, str], ...]


class Peer:
    """Three servers in one, each with a log of its own; one refuses every third request."""

    def __init__(self) -> None:
        self.logs: dict[str, list[Request]] = defaultdict(list)
        self.count = 0

    async def handle(self, request: web.Request) -> web.Response:
        name = request.path.strip("/")
        body = await request.json()
        self.count += 1
        if name == "moody" and self.count % 3 == 0:
            return web.Response(status=503)
        alerts = tuple(map(told_by, body["alerts"]))
        self.logs[name].append(Request(request.headers["webhook-id"], alerts))
        if name == "slow":
            await asyncio.sleep(0.01)
        return web.Response()


def told_by(alert: dict[str, Any]) -> tuple[str, str]:
    """The incident of an alert, and whether it is firing, resolved or both at once."""
    said = alert["annotations"].get("description", "")
    folded = "no message is known to have arrived" in said
    return alert["annotations"]["incident"], "folded" if folded else alert["status"]


@pytest.fixture
async def peer() -> AsyncIterator[tuple[Peer, str]]:
    made = Peer()
    app = web.Application()
    app.router.add_post("/{name}", made.handle)
    server = TestServer(app)
    await server.start_server()
    yield made, str(server.make_url("/"))
    await server.close()


async def run_daemon(database: str, url: str, *, kill_after: float | None) -> list[str]:
    """Run it; the ids that it said were committed."""
    mode = "drain" if kill_after is None else "work"
    process = await asyncio.create_subprocess_exec(
        *DIES_WITH_US,
        sys.executable,
        "-c",
        DAEMON,
        database,
        url,
        mode,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    said = [] if kill_after is None else [await process.stdout.readline()]
    if kill_after is not None:
        await asyncio.sleep(kill_after)
        process.kill()
    # What 200 kills left behind is drained against a server that refuses every third request.
    async with asyncio.timeout(60.0 if kill_after is not None else 600.0):
        said += (await process.stdout.read()).splitlines(keepends=True)
        await process.wait()
    assert kill_after is not None or process.returncode == 0
    return [line.decode().strip() for line in said if line.endswith(b"\n")]


@pytest.mark.parametrize(
    "kills", [10, pytest.param(200, marks=[pytest.mark.long, pytest.mark.timeout(1800)])]
)
async def test_kills_lose_nothing_and_double_only_what_was_in_flight(
    peer: tuple[Peer, str], tmp_path: Path, kills: int
) -> None:
    made, url = peer
    database = f"sqlite://{tmp_path}/cbmon.db"
    moment = random.Random(1)
    for _ in range(kills):
        await run_daemon(database, url, kill_after=moment.uniform(0.05, 0.4))
    await run_daemon(database, url, kill_after=None)
    moves = await committed_moves(database)
    transitions = sum(map(len, moves.values()))
    assert transitions >= 10 * kills
    for name in LINES:
        doubled = check(made.logs[name], moves, kills)
        print(f"{name}: {kills} kills, {transitions} transitions, {doubled} doubled")


async def committed_moves(database: str) -> dict[str, list[str]]:
    """The states that each incident went through, as the store has them."""
    store = open_store(database)
    await store.open()
    moves: dict[str, list[str]] = defaultdict(list)
    for row in reversed(await store.transitions(limit=1_000_000)):
        moves[row["incident"]].append(row["to_state"])
    left = [one for one in await store.messages(limit=1_000_000) if one.state == "pending"]
    dead = [one for one in await store.messages(limit=1_000_000) if one.state == "dead"]
    assert left == dead == []
    await store.close()
    return moves


def check(log: Sequence[Request], moves: Mapping[str, Sequence[str]], kills: int) -> int:
    """What one receiver has in its own log, against every transition that was committed.

    Exactly: each incident is there; one that is over was told as over and one that goes on was
    not; no end without its beginning, or both in one; nothing after the end. Only requests that
    were answered with success count. How many were doubled: the same id, at most one a kill.
    """
    seen: Counter[str] = Counter()
    told: dict[str, list[str]] = defaultdict(list)
    bodies: dict[str, Request] = {}
    for request in log:
        seen[request.id] += 1
        if seen[request.id] == 1:
            bodies[request.id] = request
            for incident, kind in request.alerts:
                told[incident].append(kind)
    assert told.keys() == moves.keys(), "nothing is lost and nothing is invented"
    again = 0
    for incident, states in moves.items():
        kinds = told[incident]
        firing = list(itertools.takewhile(lambda kind: kind == "firing", kinds))
        assert (kinds[-1] != "firing") is (states[-1] == "closed"), (incident, kinds, states)
        ends = kinds[len(firing) :]
        assert len(ends) == (states[-1] == "closed"), (incident, kinds)
        assert firing or ends == ["folded"], (incident, kinds, "an end without its beginning")
        # Arrived, but a kill was faster than the note of it: told once more, with the end.
        again += bool(firing) and ends == ["folded"]
    doubled = sum(seen.values()) - len(seen)
    assert doubled + again <= kills, (doubled, again)
    return doubled + again
