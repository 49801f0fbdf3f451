"""From a transition to a local webhook: store, outbox and delivery, at a steady rate.

Run: python benchmarks/notify.py [--rate 100] [--seconds 10]
Each transition opens or closes one of many breakers; group_wait is 0, storms and flapping are off.
Latency is from the transition to the webhook's handler; percentiles are of all messages.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from cbmon.breaker import BreakerPolicy, SystemClock
from cbmon.config import NotificationsConfig, ReceiverConfig
from cbmon.config.notifying import NotificationRules
from cbmon.config.routes import Route
from cbmon.events import Transition, new_id
from cbmon.model import BreakerInfo, Category
from cbmon.notify.board import Plan
from cbmon.notify.messages import Site
from cbmon.notify.receivers.webhook import WebhookOptions
from cbmon.notify.service import Notifying
from cbmon.store import Journal, open_store
from cbmon.store.journal import Entry

OFF = {"storm": {"messages": 0}, "flapping": {"changes": 0}}
BREAKERS = 50


class Peer:
    """A webhook that notes when what arrived."""

    def __init__(self) -> None:
        self.late: list[float] = []
        self.made: dict[tuple[str, str], float] = {}
        self.arrived = asyncio.Event()

    async def wait_for(self, count: int) -> None:
        """Until so many have arrived."""
        while len(self.late) < count:
            self.arrived.clear()
            await self.arrived.wait()

    async def handle(self, request: web.Request) -> web.Response:
        """Note the time since the transition."""
        now = time.perf_counter()
        for alert in (await request.json())["alerts"]:
            key = (alert["annotations"]["incident"], alert["status"])
            self.late.append(now - self.made[key])
        self.arrived.set()
        return web.Response()


class Daemon:
    """The notify room and the journal, as the daemon has them."""

    def __init__(self, database: Path) -> None:
        self.store = open_store(f"sqlite://{database}")
        self.journal = Journal(self.store, hooks=self)
        self.notifying = Notifying(self.store, clock=SystemClock(), write=self.write)

    def write(self, plan: Plan) -> None:
        """Make a plan durable."""
        self.journal.write(None, plan.messages, plan.rows)

    def store_failed(self) -> None:
        """Not here."""

    def committed(self, batch: Sequence[Entry]) -> None:
        """Deliver."""
        self.notifying.committed(message for entry in batch for message in entry.messages)

    def move(self, number: int) -> tuple[str, str]:
        """One transition; its incident and the status that is told."""
        at, name = time.time(), f"check-{number % BREAKERS}"
        down = (number // BREAKERS) % 2 == 0
        incident = f"{number // (2 * BREAKERS):06d}-{name}"
        move = Transition(
            id=new_id(at),
            at=at,
            component=name,
            category=Category.CHECK,
            from_state="closed" if down else "open",
            to_state="open" if down else "closed",
            cause="benchmark",
            incident=incident,
            info=BreakerInfo(name=name, category=Category.CHECK),
        )
        plan = self.notifying.follow(move)
        self.journal.write(move, plan.messages, plan.rows)
        return incident, "firing" if down else "resolved"


def config(url: str) -> NotificationsConfig:
    """One receiver that is told of everything at once."""
    receiver = ReceiverConfig(
        name="hook",
        integrations=(("webhook", WebhookOptions.model_validate({"url": url})),),
        policy=BreakerPolicy(),
    )
    rules = NotificationRules.model_validate(OFF)
    route = Route(receiver="hook", group_wait=0.0)
    return NotificationsConfig(route=route, receivers=(receiver,), rules=rules)


async def measure(rate: float, seconds: float, directory: Path) -> list[float]:
    """Latencies in seconds, sorted."""
    peer, daemon = Peer(), Daemon(directory / "cbmon.db")
    app = web.Application()
    app.router.add_post("/", peer.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    await daemon.store.open()
    daemon.journal.start()
    await daemon.notifying.start(config(f"http://127.0.0.1:{runner.addresses[0][1]}/"), Site())
    begun, count = time.perf_counter(), int(rate * seconds)
    for number in range(count):
        made = time.perf_counter()
        peer.made[daemon.move(number)] = made
        await asyncio.sleep(max(0.0, begun + (number + 1) / rate - time.perf_counter()))
    async with asyncio.timeout(30.0):
        await peer.wait_for(count)
    await daemon.notifying.stop(5.0)
    await daemon.journal.stop(5.0)
    await daemon.store.close()
    await runner.cleanup()
    return sorted(peer.late)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        late = asyncio.run(measure(options.rate, options.seconds, Path(directory)))
    print(f"Python {platform.python_version()}, {len(late)} messages at {options.rate:g}/s")
    for share in (0.5, 0.9, 0.99):
        print(f"p{share * 100:g}: {late[int(share * (len(late) - 1))] * 1000:.1f} ms")
    print(f"max: {late[-1] * 1000:.1f} ms")


if __name__ == "__main__":
    main()
