"""SIGKILL while messages are under way: none lost, none out of order, few doubled.

A process makes transitions and delivers them to three servers, one of which refuses every third
request for a while. It is killed again and again; a last run drains the outbox.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

LINES = ("good", "slow", "moody")
DAEMON = """
import asyncio, sys
from cbmon.breaker.clock import SystemClock
from cbmon.breaker.policy import BreakerPolicy
from cbmon.config import NotificationsConfig, ReceiverConfig
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
    return NotificationsConfig(route=Route(receiver="good", routes=routes), receivers=receivers)

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


class Peer:
    """Three servers in one: it remembers, per path, who got what in which order."""

    def __init__(self) -> None:
        self.arrived: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
        self.count = 0

    async def handle(self, request: web.Request) -> web.Response:
        name = request.path.strip("/")
        body = await request.json()
        self.count += 1
        if name == "moody" and self.count % 3 == 0:
            return web.Response(status=503)
        [alert] = body["alerts"]
        incident = alert["annotations"]["incident"]
        folded = "no message is known to have arrived" in alert["annotations"].get(
            "description", ""
        )
        kind = "folded" if folded else alert["status"]
        self.arrived[name].append((request.headers["webhook-id"], incident, kind))
        if name == "slow":
            await asyncio.sleep(0.01)
        return web.Response()


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
        sys.executable, "-c", DAEMON, database, url, mode, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    said = [] if kill_after is None else [await process.stdout.readline()]
    if kill_after is not None:
        await asyncio.sleep(kill_after)
        process.kill()
    async with asyncio.timeout(60.0):
        said += (await process.stdout.read()).splitlines(keepends=True)
        await process.wait()
    assert kill_after is not None or process.returncode == 0
    return [line.decode().strip() for line in said if line.endswith(b"\n")]


@pytest.mark.parametrize("kills", [5, pytest.param(40, marks=pytest.mark.long)])
async def test_kills_lose_nothing_and_double_only_what_was_in_flight(
    peer: tuple[Peer, str], tmp_path: Path, kills: int
) -> None:
    made, url = peer
    database = f"sqlite://{tmp_path}/cbmon.db"
    moment = random.Random(1)
    committed: set[str] = set()
    for _ in range(kills):
        committed.update(await run_daemon(database, url, kill_after=moment.uniform(0.05, 0.4)))
    committed.update(await run_daemon(database, url, kill_after=None))
    caught = {name: check(made.arrived[name]) for name in LINES}
    arrived = {message for name in LINES for message, _, _ in made.arrived[name]}
    told_folded = sum(kind == "folded" for line in made.arrived.values() for _, _, kind in line)
    print(
        f"{kills} kills, {len(committed)} messages, caught in flight {caught}, folded {told_folded}"
    )
    # A folded end stands for itself and for its beginning.
    assert len(committed - arrived) <= told_folded
    assert all(count <= kills for count in caught.values())


def check(arrived: list[tuple[str, str, str]]) -> int:
    """The order within each incident; how many messages a kill caught between arrival and note.

    Such a message comes again, or, if its outage is over by then and it had failed before, is
    folded into the end although it had arrived: both count against the kills.
    """
    kinds: dict[str, list[str]] = defaultdict(list)
    seen: Counter[str] = Counter()
    for message_id, incident, kind in arrived:
        seen[message_id] += 1
        if seen[message_id] == 1:
            kinds[incident].append(kind)
    caught = len(arrived) - len(seen)
    for told in kinds.values():
        assert told in (["firing"], ["firing", "resolved"], ["folded"], ["firing", "folded"]), told
        caught += told == ["firing", "folded"]
    return caught
