"""The webhook on a real server: signed, patient, never redirected, and silent about secrets."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import ValidationError

from cbmon.breaker.policy import BreakerPolicy
from cbmon.config import NotificationsConfig, ReceiverConfig
from cbmon.config.routes import Route
from cbmon.interfaces import Commit
from cbmon.model import Message, Reason, Verdict
from cbmon.notify.messages import Site
from cbmon.notify.receivers import endpoints, receiver_type
from cbmon.notify.receivers.kind import ReceiverEnvironment
from cbmon.notify.receivers.webhook import WebhookOptions, build
from cbmon.notify.service import Notifying
from cbmon.store import open_store
from cbmon.testing import ManualClock

KEY = "whsec_" + base64.b64encode(b"k" * 32).decode()
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Peer:
    """A server that remembers what it got and answers what it is told."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.handler: Handler | None = None
        self.answer: dict[str, Any] = {"status": 200}
        self.reached = asyncio.Event()
        self.server: TestServer

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append((request.path_qs, dict(request.headers), body))
        self.reached.set()
        if self.handler is not None:
            return await self.handler(request)
        return web.Response(**self.answer)

    @property
    def url(self) -> str:
        return str(self.server.make_url("/hook/TOKEN?key=TOKEN"))


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    made = Peer()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", made.handle)
    made.server = TestServer(app)
    await made.server.start_server()
    yield made
    await made.server.close()


@pytest.fixture
async def environment() -> AsyncIterator[ReceiverEnvironment]:
    made = ReceiverEnvironment(clock=ManualClock(), version="1.0")
    yield made
    await made.close()


def message() -> Message:
    body = {
        "component": "api",
        "category": "check",
        "labels": {},
        "started_at": 0.0,
        "state": "open",
        "receiver": "hook",
        "text": "5 failures \u00e4",
    }
    return Message(
        id="msg_1",
        receiver="hook/webhook",
        incident="i1",
        sequence=1,
        kind="opened",
        created_at=0.0,
        body=body,
    )


def options(**values: Any) -> WebhookOptions:
    return WebhookOptions.model_validate(values)


async def test_it_posts_json_with_its_id(peer: Peer, environment: ReceiverEnvironment) -> None:
    receiver = build(options(url=peer.url, headers={"Authorization": "Bearer x"}), environment)
    assert (await receiver.deliver(message())).verdict is Verdict.DELIVERED
    [(path, headers, body)] = peer.requests
    assert path == "/hook/TOKEN?key=TOKEN"
    assert headers["Content-Type"] == "application/json"
    assert headers["User-Agent"] == "cbmon/1.0"
    assert headers["Authorization"] == "Bearer x"
    assert headers["webhook-id"] == "msg_1"
    assert "webhook-signature" not in headers
    assert json.loads(body)["alerts"][0]["labels"]["component"] == "api"


async def test_it_signs_what_it_sends(peer: Peer, environment: ReceiverEnvironment) -> None:
    standardwebhooks = pytest.importorskip("standardwebhooks.webhooks")
    environment.clock.set_wall(time.time())  # type: ignore[attr-defined]
    receiver = build(options(url=peer.url, secret=KEY), environment)
    await receiver.deliver(message())
    [(_, headers, body)] = peer.requests
    assert standardwebhooks.Webhook(KEY).verify(body, headers)["version"] == "4"


async def test_url_and_secret_files_are_read_at_each_delivery(
    peer: Peer, environment: ReceiverEnvironment, tmp_path: Path
) -> None:
    url, secret = tmp_path / "url", tmp_path / "secret"
    url.write_text("not yet\n")
    secret.write_text(KEY + "\n")
    receiver = build(options(url_file=str(url), secret_file=str(secret)), environment)
    first = await receiver.deliver(message())
    assert (first.verdict, first.reason) == (Verdict.TEMPORARY, Reason.CONFIG)
    assert "not yet" not in str(first.error)
    url.write_text(peer.url + "\n")
    assert (await receiver.deliver(message())).verdict is Verdict.DELIVERED
    secret.unlink()
    missing = await receiver.deliver(message())
    assert (missing.verdict, missing.reason) == (Verdict.TEMPORARY, Reason.CONFIG)
    assert str(secret) in str(missing.error)


async def test_a_redirect_is_not_followed(peer: Peer, environment: ReceiverEnvironment) -> None:
    peer.answer = {"status": 302, "headers": {"Location": "/elsewhere"}}
    delivery = await build(options(url=peer.url), environment).deliver(message())
    assert (delivery.verdict, delivery.reason) == (Verdict.PERMANENT, Reason.REDIRECT)
    assert len(peer.requests) == 1


async def test_a_busy_server_says_how_long_to_wait(
    peer: Peer, environment: ReceiverEnvironment
) -> None:
    peer.answer = {"status": 429, "headers": {"Retry-After": "3"}, "text": "slow down TOKEN"}
    delivery = await build(options(url=peer.url), environment).deliver(message())
    assert (delivery.verdict, delivery.retry_after) == (Verdict.TEMPORARY, 3.0)
    assert delivery.error == "answered 429 Too Many Requests"


async def test_an_endless_answer_is_not_read_to_its_end(
    peer: Peer, environment: ReceiverEnvironment
) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65536)
        except (ConnectionError, asyncio.CancelledError):
            return response

    peer.handler = endless
    async with asyncio.timeout(5.0):
        delivery = await build(options(url=peer.url), environment).deliver(message())
    assert delivery.verdict is Verdict.DELIVERED


async def test_a_refused_connection_names_the_host_and_no_token(
    environment: ReceiverEnvironment, unused_tcp_port: int
) -> None:
    receiver = build(options(url=f"http://127.0.0.1:{unused_tcp_port}/TOKEN"), environment)
    delivery = await receiver.deliver(message())
    assert (delivery.verdict, delivery.reason) == (Verdict.TEMPORARY, Reason.CONNECT)
    assert delivery.error == "127.0.0.1: connection refused"


async def test_a_name_that_does_not_resolve_is_said(environment: ReceiverEnvironment) -> None:
    receiver = build(options(url="http://nowhere.invalid/TOKEN"), environment)
    async with asyncio.timeout(20.0):
        delivery = await receiver.deliver(message())
    assert (delivery.verdict, delivery.reason) == (Verdict.TEMPORARY, Reason.DNS)
    assert delivery.error == "nowhere.invalid: the name does not resolve"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "one of url, url_file is missing"),
        ({"url": "ftp://x/TOKEN"}, "expected a URL such as https://host/path"),
        ({"url": "http://x/", "secret": "TOKEN"}, "webhook secret is not base64"),
        ({"url": "http://x/", "headers": {"a b": "TOKEN"}}, '"a b" is no name of a header'),
        ({"url": "http://x/", "headers": {"Host": "TOKEN"}}, 'the header "Host" is set by cbmon'),
        ({"url": "http://x/", "headers": {"X": "TOKEN\r\nY: z"}}, "holds a line break"),
        ({"url": "http://x/", "timeout": "0s"}, "longer than 0"),
    ],
)
def test_bad_options_are_refused_without_showing_secrets(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said) as caught:
        options(**values)
    assert "TOKEN" not in str(caught.value)


def test_options_never_show_their_secrets() -> None:
    made = options(url="http://x/TOKEN", secret=KEY, headers={"Authorization": "TOKEN"})
    for shown in (repr(made), made.model_dump_json(), receiver_type("webhook").target(made)):
        assert "TOKEN" not in shown
        assert KEY not in shown


def config(url: str, **values: Any) -> NotificationsConfig:
    receiver = ReceiverConfig(
        name="hook",
        integrations=(("webhook", options(url=url, **values)),),
        policy=BreakerPolicy(failure_threshold=5, recovery_timeout=0.2),
    )
    return NotificationsConfig(route=Route(receiver="hook"), receivers=(receiver,))


def test_endpoints_are_equal_exactly_when_their_options_are(
    environment: ReceiverEnvironment,
) -> None:
    [one] = endpoints(config("http://x/a"), environment)
    [same] = endpoints(config("http://x/a"), environment)
    [other] = endpoints(config("http://x/b"), environment)
    assert one == same
    assert one != other
    assert (one.name, one.timeout) == ("hook/webhook", 10.0)


async def test_from_transition_to_server_and_nothing_secret_is_told(
    peer: Peer, tmp_path: Path, caplog: pytest.LogCaptureFixture, stage: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    store = open_store(f"sqlite://{tmp_path}/cbmon.db")
    await store.open()
    notifying = Notifying(store, clock=ManualClock(), write=lambda _: None, version="1.0")
    route = Route(receiver="hook", group_wait=0.0)
    await notifying.start(replace(config(peer.url), route=route), Site())
    peer.answer = {"status": 500, "text": "TOKEN"}
    move = stage.move("api", "open")
    plan = notifying.follow(move)
    await store.commit(Commit(transitions=[move], messages=plan.messages, planning=plan.rows))
    notifying.committed(plan.messages)
    async with asyncio.timeout(5.0):
        await peer.reached.wait()
    await notifying.stop(5.0)
    [stored] = await store.messages()
    assert stored.last_error == "answered 500 Internal Server Error"
    ours = [vars(record) for record in caplog.records if record.name.startswith("cbmon")]
    assert ours
    assert "TOKEN" not in str(ours)
    assert "TOKEN" not in str(stored)
    await store.close()
