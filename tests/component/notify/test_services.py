"""Every service that takes one POST per message, by a server that follows its documents."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from cbmon.interfaces import Receiver
from cbmon.model import Delivery, Reason, Verdict
from cbmon.notify.receivers import receiver_type
from cbmon.notify.receivers.kind import ReceiverEnvironment
from cbmon.testing import ManualClock
from tests.unit.notify.samples import message, recovery


class Peer:
    """Answers what it is told, the last answer again and again; remembers what it got."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.answers: list[dict[str, Any]] = [{"status": 200, "text": '{"ok": true}'}]
        self.server: TestServer

    async def handle(self, request: web.Request) -> web.Response:
        self.requests.append((request.path_qs, dict(request.headers), await request.json()))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return web.Response(**answer)

    @property
    def url(self) -> str:
        return str(self.server.make_url("/")).rstrip("/")


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
    made = ReceiverEnvironment(clock=ManualClock())
    yield made
    await made.close()


def options(kind: str, url: str) -> dict[str, Any]:
    found: dict[str, dict[str, Any]] = {
        "discord": {"webhook_url": f"{url}/api/webhooks/1/TOKEN"},
        "ntfy": {"url": url, "topic": "cbmon", "token": "TOKEN"},
        "pagerduty": {"url": f"{url}/v2/enqueue", "routing_key": "TOKEN"},
        "slack": {"webhook_url": f"{url}/services/TOKEN"},
        "teams": {"webhook_url": f"{url}/workflows/TOKEN"},
        "telegram": {"api_url": url, "token": "1:TOKEN", "chat_id": 5},
        "webhook": {"url": f"{url}/hook/TOKEN"},
    }
    return found[kind]


KINDS = ["discord", "ntfy", "pagerduty", "slack", "teams", "telegram", "webhook"]
PATHS = {
    "discord": "/api/webhooks/1/TOKEN",
    "ntfy": "/",
    "pagerduty": "/v2/enqueue",
    "slack": "/services/TOKEN",
    "teams": "/workflows/TOKEN",
    "telegram": "/bot1:TOKEN/sendMessage",
    "webhook": "/hook/TOKEN",
}


def receiver(kind: str, url: str, environment: ReceiverEnvironment, **more: Any) -> Receiver:
    found = receiver_type(kind)
    made: Receiver = found.build(
        found.options.model_validate({**options(kind, url), **more}), environment
    )
    return made


@pytest.mark.parametrize("kind", KINDS)
async def test_a_message_is_one_post_of_json(
    kind: str, peer: Peer, environment: ReceiverEnvironment
) -> None:
    assert (await receiver(kind, peer.url, environment).deliver(message())) == Delivery(
        verdict=Verdict.DELIVERED
    )
    [(path, headers, body)] = peer.requests
    assert path == PATHS[kind]
    assert headers["Content-Type"] == "application/json"
    assert "shop" in json.dumps(body)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        ({"headers": {"Retry-After": "3"}}, 3.0),
        ({"headers": {"Retry-After": "Thu, 01 Jan 2026 00:00:07 GMT"}}, 7.0),
        ({"text": '{"retry_after": 0.65, "global": false}'}, 0.65),
        ({"headers": {"Retry-After": "1"}, "text": '{"retry_after": 64.57}'}, 64.57),
        ({"text": '{"ok": false, "error_code": 429, "parameters": {"retry_after": 35}}'}, 35.0),
        ({"text": '{"retry_after": "soon"}'}, None),
        ({"text": '{"retry_after": -1}'}, None),
        ({"text": '{"retry_after": true}'}, None),
        ({"text": '{"retry_after": 1e400}'}, None),
        ({"text": "[" * 50_000}, None),
        ({"text": "slow down"}, None),
    ],
)
async def test_a_busy_service_says_how_long_to_wait(
    kind: str,
    answer: dict[str, Any],
    seconds: float | None,
    peer: Peer,
    environment: ReceiverEnvironment,
) -> None:
    peer.answers = [{"status": 429, **answer}]
    delivery = await receiver(kind, peer.url, environment).deliver(message())
    assert (delivery.verdict, delivery.reason) == (Verdict.TEMPORARY, Reason.STATUS)
    assert delivery.retry_after == seconds


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("status", "verdict", "reason"),
    [
        (302, Verdict.PERMANENT, Reason.REDIRECT),
        (400, Verdict.PERMANENT, Reason.STATUS),
        (401, Verdict.PERMANENT, Reason.AUTH),
        (404, Verdict.PERMANENT, Reason.STATUS),
        (410, Verdict.GONE, Reason.STATUS),
        (500, Verdict.TEMPORARY, Reason.STATUS),
        (503, Verdict.TEMPORARY, Reason.STATUS),
    ],
)
async def test_an_answer_means(
    kind: str,
    status: int,
    verdict: Verdict,
    reason: Reason,
    peer: Peer,
    environment: ReceiverEnvironment,
) -> None:
    location = {"Location": f"{peer.url}/elsewhere"}
    peer.answers = [{"status": status, "text": "TOKEN", "headers": location}]
    delivery = await receiver(kind, peer.url, environment).deliver(message())
    assert (delivery.verdict, delivery.reason) == (verdict, reason)
    assert "TOKEN" not in str(delivery.error)
    assert len(peer.requests) == 1


FILES = {
    "discord": "webhook_url",
    "ntfy": "token",
    "pagerduty": "routing_key",
    "slack": "webhook_url",
    "teams": "webhook_url",
    "telegram": "token",
    "webhook": "url",
}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_secret_in_a_file_is_read_at_each_delivery(
    kind: str, peer: Peer, environment: ReceiverEnvironment, tmp_path: Path
) -> None:
    given = options(kind, peer.url)
    file, name = tmp_path / "secret", FILES[kind]
    secret = given.pop(name)
    found = receiver_type(kind)
    made = found.build(
        found.options.model_validate({**given, f"{name}_file": str(file)}), environment
    )
    missing = await made.deliver(message())
    assert (missing.verdict, missing.reason) == (Verdict.TEMPORARY, Reason.CONFIG)
    file.write_text(secret + "\n")
    assert (await made.deliver(message())).verdict is Verdict.DELIVERED


async def test_a_token_that_would_change_the_address_is_not_used(
    peer: Peer, environment: ReceiverEnvironment
) -> None:
    made = receiver("telegram", peer.url, environment, token="1:x/../y")
    delivery = await made.deliver(message())
    assert (delivery.verdict, delivery.reason) == (Verdict.TEMPORARY, Reason.CONFIG)
    assert peer.requests == []


async def test_telegram_that_answers_without_ok_is_tried_again(
    peer: Peer, environment: ReceiverEnvironment
) -> None:
    peer.answers = [{"status": 200, "text": '{"ok": false}'}]
    delivery = await receiver("telegram", peer.url, environment).deliver(message())
    assert (delivery.verdict, delivery.reason) == (Verdict.TEMPORARY, Reason.BODY)


async def test_ntfy_gets_its_token_in_a_header(
    peer: Peer, environment: ReceiverEnvironment
) -> None:
    await receiver("ntfy", peer.url, environment).deliver(message())
    [(_, headers, body)] = peer.requests
    assert headers["Authorization"] == "Bearer TOKEN"
    assert body["topic"] == "cbmon"


async def test_pagerduty_gets_the_events_of_a_message_in_their_order(
    peer: Peer, environment: ReceiverEnvironment
) -> None:
    made = receiver("pagerduty", peer.url, environment)
    peer.answers = [{"status": 202}, {"status": 503}, {"status": 202}]
    first = await made.deliver(recovery(folded=True))
    assert first.verdict is Verdict.TEMPORARY
    assert (await made.deliver(recovery(folded=True))).verdict is Verdict.DELIVERED
    assert [body["event_action"] for _, _, body in peer.requests] == [
        "trigger",
        "resolve",
        "trigger",
        "resolve",
    ]
    assert {body["routing_key"] for _, _, body in peer.requests} == {"TOKEN"}
    assert len({body["dedup_key"] for _, _, body in peer.requests}) == 1


async def test_an_answer_in_pieces_is_read_to_its_end(environment: ReceiverEnvironment) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=429)
        await response.prepare(request)
        for piece in (b'{"retry', b"_after", b'": 9}'):
            await response.write(piece)
            await asyncio.sleep(0.01)
        return response

    app = web.Application()
    app.router.add_post("/{tail:.*}", handle)
    async with TestServer(app) as server:
        made = receiver("discord", str(server.make_url("/")).rstrip("/"), environment)
        assert (await made.deliver(message())).retry_after == 9.0
