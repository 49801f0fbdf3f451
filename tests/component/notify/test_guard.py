"""cbmon cut off, the dead man's switch, maintenance windows: what surrounds the notifier."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from cbmon.breaker.policy import BreakerPolicy
from cbmon.config import NotificationsConfig, ReceiverConfig
from cbmon.config.notifying import HeartbeatSection, IsolationSection, NotificationRules
from cbmon.config.routes import Matcher, Route
from cbmon.errors import StoreError
from cbmon.interfaces import Commit, Store
from cbmon.model import BreakerInfo, Category
from cbmon.notify.board import Plan
from cbmon.notify.guard import Guard, Heart
from cbmon.notify.messages import Site
from cbmon.notify.receivers.kind import ReceiverEnvironment
from cbmon.notify.receivers.slack import SlackOptions
from cbmon.notify.service import Notifying
from cbmon.store import open_store
from cbmon.testing import ManualClock


class Silent:
    """An address that takes no connection, until it listens."""

    def __init__(self) -> None:
        self.server: asyncio.Server | None = None
        self.port = 0

    async def listen(self) -> None:
        async def close(_: Any, writer: asyncio.StreamWriter) -> None:
            writer.close()

        self.server = await asyncio.start_server(close, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self.server is not None:
            self.server.close()
            await self.server.wait_closed()


@pytest.fixture
async def target() -> AsyncIterator[Silent]:
    made = Silent()
    await made.listen()
    yield made
    await made.close()


def section(*ports: int) -> IsolationSection:
    targets = [f"127.0.0.1:{port}" for port in ports]
    return IsolationSection.model_validate({"targets": targets, "timeout": "1s"})


async def test_one_reference_target_that_answers_is_enough(target: Silent) -> None:
    told: list[bool] = []
    guard = Guard(section(1, target.port), told.append)
    for _ in range(3):
        await guard.look()
    assert told == []


async def test_cut_off_and_back_are_told_once_each_after_two_looks(
    target: Silent, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "cbmon")
    told: list[bool] = []
    guard = Guard(section(target.port), told.append)
    await target.close()
    await guard.look()
    assert told == []
    for _ in range(3):
        await guard.look()
    assert told == [True]
    await target.listen()
    for _ in range(3):
        await guard.look()
    assert told == [True, False]
    assert caplog.text.count("cut off: no reference target answers") == 1


async def test_a_single_lost_look_changes_nothing(target: Silent) -> None:
    told: list[bool] = []
    guard = Guard(section(target.port), told.append)
    for _ in range(3):
        await target.close()
        await guard.look()
        await target.listen()
        await guard.look()
    assert told == []


def test_a_reference_target_is_an_address_and_not_a_name() -> None:
    with pytest.raises(ValueError, match="expected an IP address"):
        IsolationSection.model_validate({"targets": ["one.one.one.one:53"]})


async def test_a_heartbeat_is_a_request_and_a_failure_is_logged_once_without_its_address(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "cbmon")
    status, beats = 200, 0

    async def answer(_: web.Request) -> web.Response:
        nonlocal beats
        beats += 1
        return web.Response(status=status)

    app = web.Application()
    app.router.add_get("/SECRET", answer)
    server = TestServer(app)
    await server.start_server()
    environment = ReceiverEnvironment(clock=ManualClock())
    options = HeartbeatSection.model_validate({"url": str(server.make_url("/SECRET"))})
    heart = Heart(options, environment)
    assert await heart.beat()
    status = 500
    assert [await heart.beat(), await heart.beat()] == [False, False]
    status = 204
    assert await heart.beat()
    await server.close()
    assert not await heart.beat()
    await environment.close()
    assert beats == 4
    assert caplog.text.count("heartbeat not heard") == 2
    assert "SECRET" not in "".join(str(vars(one)) for one in caplog.records if "cbmon" in one.name)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = open_store(f"sqlite://{tmp_path}/cbmon.db")
    await opened.open()
    yield opened
    await opened.close()


def config(**rules: Any) -> NotificationsConfig:
    options = SlackOptions.model_validate({"webhook_url": "http://127.0.0.1:1/SECRET"})
    receiver = ReceiverConfig(
        name="ops",
        integrations=(("slack", options),),
        policy=BreakerPolicy(failure_threshold=1, recovery_timeout=3600.0),
    )
    return NotificationsConfig(
        route=Route(receiver="ops", group_wait=0.0),
        receivers=(receiver,),
        rules=NotificationRules.model_validate(rules),
    )


NIGHT = {
    "time_intervals": [
        {
            "name": "night",
            "time_intervals": [{"times": [{"start_time": "00:00", "end_time": "06:00"}]}],
        }
    ],
    "maintenance": [
        {"name": "m", "matchers": ["group=shop"], "during": ["night"], "skip_runs": True}
    ],
}


async def test_runs_are_skipped_in_a_window_that_says_so(store: Store) -> None:
    clock = ManualClock(wall=1_774_742_400.0)  # 2026-03-29 00:00 UTC
    notifying = Notifying(store, clock=clock, write=lambda _: None)
    await notifying.start(config(**NIGHT), Site())
    shop = BreakerInfo(name="api", category=Category.CHECK, group="shop")
    assert notifying.skips(shop)
    assert not notifying.skips(replace(shop, group="mail"))
    clock.advance(6 * 3600.0)
    assert not notifying.skips(shop)
    await notifying.stop(1.0)


async def test_a_silence_is_durable_and_heeded_after_a_restart(store: Store, stage: Any) -> None:
    clock = ManualClock()
    plans: list[Plan] = []
    first = Notifying(store, clock=clock, write=plans.append)
    await first.start(config(), Site())
    made = await first.mute([Matcher.parse("component=api")], 600.0, author="ada", reason="deploy")
    await first.stop(1.0)
    second = Notifying(store, clock=clock, write=plans.append)
    await second.start(config(), Site())
    assert await second.silences() == [made]
    move = stage.move("api", "open", at=clock.time())
    plan = second.follow(move)
    assert plan.messages == ()
    await store.commit(Commit(transitions=[move], planning=plan.rows))
    ended = await second.expire_silence(made.id)
    assert ended.ends_at == clock.time()
    assert [message.kind for message in plans[-1].messages] == ["opened"]
    with pytest.raises(KeyError):
        await second.expire_silence(made.id)
    assert await second.silences() == []
    assert len(await second.silences(expired=True)) == 1
    await second.stop(1.0)


async def test_a_receiver_is_tried_or_only_rendered(store: Store) -> None:
    notifying = Notifying(store, clock=ManualClock(), write=lambda _: None)
    await notifying.start(config(), Site(external_url="https://cbmon.example.net"))
    [shown] = await notifying.try_receiver("ops", dry_run=True)
    assert shown["outcome"] == "rendered"
    assert "this is a test message" in shown["rendered"]
    [tried] = await notifying.try_receiver("ops", dry_run=False)
    assert (tried["outcome"], tried["reason"]) == ("temporary", "connect")
    assert "SECRET" not in str((shown, tried))
    with pytest.raises(KeyError):
        await notifying.try_receiver("nobody", dry_run=True)
    assert await store.messages() == []
    await notifying.stop(1.0)


async def test_a_fault_in_the_planning_does_not_cost_the_transition(
    store: Store, stage: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    notifying = Notifying(store, clock=ManualClock(), write=lambda _: None)
    await notifying.start(config(), Site())

    def broken(*_: Any) -> None:
        raise StoreError("a bug")

    monkeypatch.setattr("cbmon.notify.notifier.outlook", broken)
    assert notifying.follow(stage.move("api", "open")) == Plan()
    assert "transition not followed" in caplog.text
    await notifying.stop(1.0)
