"""Alertmanager's side of the bargain: told again and again, of what is true, one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from cbmon.model import Message, Reason, Verdict
from cbmon.notify.receivers.alertmanager import (
    BATCH,
    REMEMBERED,
    SHORTEST_LIFE,
    AlertmanagerOptions,
    AlertmanagerReceiver,
)
from cbmon.notify.receivers.kind import ReceiverEnvironment
from cbmon.testing import ManualClock

BEGAN = 1_767_225_500.0


class Peer:
    """An Alertmanager as far as a sender sees it: the last word on each label set counts."""

    def __init__(self) -> None:
        self.status = 200
        self.hangs = False
        self.poison = ""
        """A component for which a whole request is refused."""
        self.gate: asyncio.Event | None = None
        """The first request waits for it."""
        self.reached = asyncio.Event()
        self.requests: list[list[dict[str, Any]]] = []
        self.alerts: dict[str, dict[str, Any]] = {}
        self.server: TestServer

    async def handle(self, request: web.Request) -> web.Response:
        assert request.path == "/am/api/v2/alerts"
        self.reached.set()
        if self.gate is not None:
            gate, self.gate = self.gate, None
            await gate.wait()
        if self.hangs:
            await asyncio.Event().wait()
        posted = await request.json()
        if any(one["labels"]["component"] == self.poison for one in posted):
            return web.Response(status=400)
        if self.status == 200:
            self.requests.append(posted)
            self.alerts.update({one["labels"]["component"]: one for one in posted})
        return web.Response(status=self.status)

    @property
    def url(self) -> str:
        return str(self.server.make_url("/am/"))

    def firing(self, now: float) -> set[str]:
        return {name for name, one in self.alerts.items() if seconds(one["endsAt"]) > now}


Peers = Callable[[int], Awaitable[list[Peer]]]


@pytest.fixture
async def peers() -> AsyncIterator[Peers]:
    made: list[Peer] = []

    async def make(count: int) -> list[Peer]:
        for _ in range(count):
            peer = Peer()
            app = web.Application()
            app.router.add_post("/{tail:.*}", peer.handle)
            peer.server = TestServer(app)
            await peer.server.start_server()
            made.append(peer)
        return made

    yield make
    for peer in made:
        await peer.server.close()


@pytest.fixture
async def environment() -> AsyncIterator[ReceiverEnvironment]:
    made = ReceiverEnvironment(clock=ManualClock())
    yield made
    await made.close()


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def receiver_of(
    peers: Sequence[Peer], environment: ReceiverEnvironment, **values: Any
) -> AlertmanagerReceiver:
    urls = [peer.url for peer in peers]
    options = AlertmanagerOptions.model_validate({"urls": urls, "timeout": "500ms", **values})
    return AlertmanagerReceiver(options, environment)


def told(component: str = "api", *, ended: float | None = None, began: float = BEGAN) -> Message:
    kind = "opened" if ended is None else "recovered"
    body = {
        "component": component,
        "category": "check",
        "labels": {"team": "shop", "empty": ""},
        "external_url": "https://cbmon.example.net",
        "incident": f"{component}-{began:g}",
        "started_at": began,
        "ended_at": ended,
        "over": ended is not None,
        "state": "open" if ended is None else "closed",
        "kind": kind,
    }
    return Message(
        id=f"{component}-{kind}",
        receiver="am/alertmanager",
        incident=str(body["incident"]),
        sequence=1 if ended is None else 2,
        kind=kind,
        created_at=began,
        body=body,
    )


async def test_every_instance_gets_the_alert_with_its_times(
    peers: Peers, environment: ReceiverEnvironment
) -> None:
    both = await peers(2)
    receiver = receiver_of(both, environment)
    assert (await receiver.deliver(told())).verdict is Verdict.DELIVERED
    now = environment.clock.time()
    for peer in both:
        [[alert]] = peer.requests
        assert alert["labels"] == {
            "alertname": "CircuitBreakerOpen",
            "category": "check",
            "component": "api",
            "severity": "critical",
            "team": "shop",
        }
        assert seconds(alert["startsAt"]) == BEGAN
        assert seconds(alert["endsAt"]) == now + SHORTEST_LIFE
        assert alert["annotations"]["summary"] == "api is open"
        assert alert["generatorURL"] == "https://cbmon.example.net/components/api"


async def test_its_end_is_the_same_alert_with_the_time_at_which_it_was_over(
    peers: Peers, environment: ReceiverEnvironment
) -> None:
    [peer] = await peers(1)
    receiver = receiver_of([peer], environment)
    await receiver.deliver(told())
    await receiver.deliver(told(ended=BEGAN + 60.0))
    [[first], [last]] = peer.requests
    assert first["labels"] == last["labels"]
    assert first["startsAt"] == last["startsAt"]
    assert seconds(last["endsAt"]) == BEGAN + 60.0


async def test_what_goes_on_is_told_again_and_lasts_longer_each_time(
    peers: Peers, environment: ReceiverEnvironment
) -> None:
    [peer] = await peers(1)
    receiver = receiver_of([peer], environment, resend_interval="100s")
    ends = []
    for _ in range(3):
        await receiver.repeat(lambda: [told()])
        ends.append(seconds(peer.alerts["api"]["endsAt"]) - environment.clock.time())
        environment.clock.advance(100.0)  # type: ignore[attr-defined]
    assert ends == [400.0, 400.0, 400.0]


async def test_an_end_is_repeated_for_minutes_and_then_forgotten(
    peers: Peers, environment: ReceiverEnvironment
) -> None:
    [peer] = await peers(1)
    receiver = receiver_of([peer], environment)
    await receiver.deliver(told(ended=environment.clock.time()))
    peer.alerts.clear()
    environment.clock.advance(REMEMBERED - 1.0)  # type: ignore[attr-defined]
    await receiver.repeat(tuple)
    assert seconds(peer.alerts["api"]["endsAt"]) < environment.clock.time()
    requests = len(peer.requests)
    environment.clock.advance(2.0)  # type: ignore[attr-defined]
    await receiver.repeat(tuple)
    assert len(peer.requests) == requests


async def test_an_instance_that_was_away_gets_everything_when_it_is_back(
    peers: Peers, environment: ReceiverEnvironment
) -> None:
    one, other = await peers(2)
    other.status = 503
    receiver = receiver_of([one, other], environment)
    assert (await receiver.deliver(told("api"))).verdict is Verdict.DELIVERED
    await receiver.deliver(told("db"))
    await receiver.deliver(told("db", ended=BEGAN + 5.0))
    other.status = 200
    await receiver.repeat(lambda: [told("api")])
    assert other.alerts.keys() == {"api", "db"}
    assert other.firing(environment.clock.time()) == {"api"}


async def test_an_instance_that_hangs_costs_one_timeout_and_then_nothing(
    peers: Peers, environment: ReceiverEnvironment
) -> None:
    one, hanging = await peers(2)
    hanging.hangs = True
    receiver = receiver_of([one, hanging], environment, timeout="200ms")
    await receiver.deliver(told("api"))
    hanging.reached.clear()
    await receiver.deliver(told("db"))
    assert not hanging.reached.is_set()
    assert one.alerts.keys() == {"api", "db"}


@pytest.mark.parametrize(
    ("status", "verdict"), [(503, Verdict.TEMPORARY), (400, Verdict.PERMANENT)]
)
async def test_when_no_instance_takes_it_the_outbox_decides(
    peers: Peers, environment: ReceiverEnvironment, status: int, verdict: Verdict
) -> None:
    both = await peers(2)
    for peer in both:
        peer.status = status
    receiver = receiver_of(both, environment)
    for _ in range(2):
        delivery = await receiver.deliver(told())
        assert (delivery.verdict, delivery.reason) == (verdict, Reason.STATUS)


async def test_after_a_failure_of_all_each_is_tried_again(
    peers: Peers, environment: ReceiverEnvironment
) -> None:
    both = await peers(2)
    for peer in both:
        peer.status = 503
    receiver = receiver_of(both, environment)
    await receiver.deliver(told())
    both[1].status = 200
    assert (await receiver.deliver(told())).verdict is Verdict.DELIVERED


async def test_a_late_end_does_not_resolve_the_next_outage_of_the_same(
    peers: Peers, environment: ReceiverEnvironment
) -> None:
    [peer] = await peers(1)
    receiver = receiver_of([peer], environment)
    await receiver.deliver(told(began=BEGAN + 50.0))
    assert (await receiver.deliver(told(ended=BEGAN + 20.0))).verdict is Verdict.DELIVERED
    assert len(peer.requests) == 1
    await receiver.repeat(lambda: [told(began=BEGAN + 50.0)])
    assert peer.firing(environment.clock.time()) == {"api"}
    assert [len(posted) for posted in peer.requests] == [1, 1]


async def test_what_ended_and_began_again_is_told_once(
    peers: Peers, environment: ReceiverEnvironment
) -> None:
    [peer] = await peers(1)
    receiver = receiver_of([peer], environment)
    receiver.recall(told(ended=BEGAN + 20.0))
    await receiver.repeat(lambda: [told(began=BEGAN + 50.0)])
    [[alert]] = peer.requests
    assert seconds(alert["startsAt"]) == BEGAN + 50.0


async def test_after_a_restart_an_end_is_recalled(
    peers: Peers, environment: ReceiverEnvironment
) -> None:
    [peer] = await peers(1)
    receiver = receiver_of([peer], environment)
    receiver.recall(told(ended=environment.clock.time() - 10.0))
    await receiver.repeat(tuple)
    assert peer.alerts.keys() == {"api"}


async def test_an_end_and_a_repetition_cannot_overtake_each_other(
    peers: Peers, environment: ReceiverEnvironment
) -> None:
    [peer] = await peers(1)
    peer.gate = gate = asyncio.Event()
    receiver = receiver_of([peer], environment, timeout="5s")
    repetition = asyncio.ensure_future(receiver.repeat(lambda: [told()]))
    await peer.reached.wait()
    end = asyncio.ensure_future(receiver.deliver(told(ended=BEGAN + 60.0)))
    await asyncio.sleep(0.02)
    gate.set()
    await asyncio.gather(repetition, end)
    assert peer.firing(environment.clock.time()) == set()


async def test_many_alerts_leave_in_batches(peers: Peers, environment: ReceiverEnvironment) -> None:
    [peer] = await peers(1)
    receiver = receiver_of([peer], environment)
    await receiver.repeat(lambda: [told(f"c{number}") for number in range(2 * BATCH + 1)])
    assert [len(posted) for posted in peer.requests] == [BATCH, BATCH, 1]


async def test_one_refused_batch_does_not_let_the_others_resolve(
    peers: Peers, environment: ReceiverEnvironment
) -> None:
    [peer] = await peers(1)
    peer.poison = "c0"
    receiver = receiver_of([peer], environment)
    await receiver.repeat(lambda: [told(f"c{number}") for number in range(2 * BATCH + 1)])
    assert [len(posted) for posted in peer.requests] == [BATCH, 1]


async def test_of_two_instances_one_that_refuses_or_is_away_does_not_matter(
    peers: Peers, environment: ReceiverEnvironment
) -> None:
    bad, good = await peers(2)
    receiver = receiver_of([bad, good], environment)
    for bad.status in (400, 503, 302, 401):
        assert (await receiver.deliver(told())).verdict is Verdict.DELIVERED
    bad.status, good.status = 400, 503
    assert (await receiver.deliver(told("db"))).verdict is Verdict.TEMPORARY
    bad.status = good.status = 400
    assert (await receiver.deliver(told("web"))).verdict is Verdict.PERMANENT


async def test_an_end_before_its_beginning_is_moved_to_it(
    peers: Peers, environment: ReceiverEnvironment
) -> None:
    [peer] = await peers(1)
    await receiver_of([peer], environment).deliver(told(ended=BEGAN - 5.0))
    assert peer.alerts["api"]["endsAt"] == peer.alerts["api"]["startsAt"]
