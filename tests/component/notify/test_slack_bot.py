"""Slack by a bot: one message per outage, kept true, with its story in its thread."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import ValidationError

from cbmon.interfaces import Receiver
from cbmon.model import Message, Reason, Verdict
from cbmon.notify.receipts import Receipts
from cbmon.notify.receivers.kind import ReceiverEnvironment
from cbmon.notify.receivers.slack import SlackOptions, build
from cbmon.store import open_store
from cbmon.testing import ManualClock
from tests.unit.notify.samples import digest, message, recovery


class Slack:
    """As much of Slack's web API as a bot uses; ``error`` is what the next calls answer."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.errors: dict[str, str] = {}
        self.status = 200
        self.numbers = itertools.count(1)
        self.server: TestServer

    async def handle(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer xoxb-TOKEN"
        assert request.headers["Content-Type"] == "application/json; charset=utf-8"
        method = request.path.rpartition("/")[2]
        said = await request.json()
        self.calls.append((method, said))
        if self.status != 200:
            return web.Response(status=self.status, headers={"Retry-After": "30"})
        if method in self.errors:
            return web.json_response({"ok": False, "error": self.errors[method]})
        return web.json_response({"ok": True, "channel": "C1", "ts": f"{next(self.numbers)}.0"})


@pytest.fixture
async def slack() -> AsyncIterator[Slack]:
    made = Slack()
    app = web.Application()
    app.router.add_post("/api/{method}", made.handle)
    made.server = TestServer(app)
    await made.server.start_server()
    yield made
    await made.server.close()


@pytest.fixture
async def environment() -> AsyncIterator[ReceiverEnvironment]:
    made = ReceiverEnvironment(clock=ManualClock())
    yield made
    await made.close()


def bot(slack: Slack, environment: ReceiverEnvironment) -> Receiver:
    url = str(slack.server.make_url("/api"))
    given = {"token": "xoxb-TOKEN", "channel": "#ops", "api_url": url}
    return build(SlackOptions.model_validate(given), environment)


def reminder() -> Message:
    return replace(message("reminder"), id="msg_2", sequence=2)


async def test_the_end_updates_the_first_message_and_is_told_in_its_thread(
    slack: Slack, environment: ReceiverEnvironment
) -> None:
    made = bot(slack, environment)
    assert (await made.deliver(message())).verdict is Verdict.DELIVERED
    assert (await made.deliver(recovery())).verdict is Verdict.DELIVERED
    methods = [method for method, _ in slack.calls]
    assert methods == ["chat.postMessage", "chat.update", "chat.postMessage"]
    first, update, reply = (said for _, said in slack.calls)
    assert first["channel"] == "#ops"
    assert (update["channel"], update["ts"]) == ("C1", "1.0")
    assert update["attachments"][0]["color"] == "#12b76a"
    assert (reply["thread_ts"], reply["reply_broadcast"]) == ("1.0", False)
    assert environment.receipts.get(message()) is None


async def test_what_still_goes_on_is_seen_in_the_channel_too(
    slack: Slack, environment: ReceiverEnvironment
) -> None:
    made = bot(slack, environment)
    await made.deliver(message())
    await made.deliver(reminder())
    _, reply = slack.calls[-1]
    assert (reply["thread_ts"], reply["reply_broadcast"]) == ("1.0", True)
    await made.deliver(recovery())
    assert slack.calls[-2][1]["ts"] == "1.0"


async def test_a_message_that_someone_deleted_is_replaced(
    slack: Slack, environment: ReceiverEnvironment
) -> None:
    made = bot(slack, environment)
    await made.deliver(message())
    slack.errors = {"chat.update": "message_not_found"}
    assert (await made.deliver(reminder())).verdict is Verdict.DELIVERED
    slack.errors = {}
    await made.deliver(recovery())
    assert slack.calls[-1][1]["thread_ts"] == "2.0"


async def test_messages_of_outages_that_a_storm_takes_over_do_not_stay_red(
    slack: Slack, environment: ReceiverEnvironment
) -> None:
    made = bot(slack, environment)
    await made.deliver(message())
    storm = digest(12)
    storm = replace(storm, body={**storm.body, "absorbs": ["i1", "unknown"]})
    assert (await made.deliver(storm)).verdict is Verdict.DELIVERED
    assert [method for method, _ in slack.calls] == [
        "chat.postMessage",
        "chat.postMessage",
        "chat.update",
    ]
    _, update = slack.calls[-1]
    assert (update["ts"], update["attachments"][0]["color"]) == ("1.0", "#667085")
    assert "group=shop: 12 down" in update["text"]
    assert environment.receipts.get(message()) is None


async def test_a_restart_finds_the_message_again(
    slack: Slack, environment: ReceiverEnvironment, tmp_path: Path
) -> None:
    store = open_store(f"sqlite://{tmp_path}/cbmon.db")
    await store.open()
    environment.receipts = Receipts.restored(store, {}, 0.0)
    await bot(slack, environment).deliver(message())
    now = environment.clock.time()
    environment.receipts = Receipts.restored(store, await store.planning(), now)
    await bot(slack, environment).deliver(recovery())
    assert slack.calls[-1][1]["thread_ts"] == "1.0"
    assert not await store.planning()
    await store.close()


async def test_receipts_that_nobody_asks_for_any_more_are_forgotten(tmp_path: Path) -> None:
    store = open_store(f"sqlite://{tmp_path}/cbmon.db")
    await store.open()
    old = Receipts.restored(store, {}, 0.0)
    await old.keep(message(incident="old"), {"ts": "1"}, now=0.0)
    made = Receipts.restored(store, await store.planning(), now=100 * 86_400.0)
    assert made.get(message(incident="old")) is None
    await made.keep(message(), {"ts": "2"}, now=100 * 86_400.0)
    assert [row["ts"] for row in (await store.planning()).values()] == ["2"]
    await store.close()


async def test_a_store_that_fails_costs_the_receipt_and_not_the_message(
    slack: Slack, environment: ReceiverEnvironment, tmp_path: Path
) -> None:
    closed = open_store(f"sqlite://{tmp_path}/cbmon.db")
    environment.receipts = Receipts(closed)
    made = bot(slack, environment)
    assert (await made.deliver(message())).verdict is Verdict.DELIVERED
    await made.deliver(recovery())
    assert slack.calls[-1][1]["thread_ts"] == "1.0"


@pytest.mark.parametrize(
    ("error", "verdict", "reason"),
    [
        ("channel_not_found", Verdict.PERMANENT, Reason.BODY),
        ("is_archived", Verdict.PERMANENT, Reason.BODY),
        ("invalid_blocks", Verdict.PERMANENT, Reason.BODY),
        ("invalid_auth", Verdict.PERMANENT, Reason.AUTH),
        ("token_revoked", Verdict.PERMANENT, Reason.AUTH),
        ("ratelimited", Verdict.TEMPORARY, Reason.BODY),
        ("internal_error", Verdict.TEMPORARY, Reason.BODY),
        ("service_unavailable", Verdict.TEMPORARY, Reason.BODY),
        ("<b>what</b>", Verdict.TEMPORARY, Reason.BODY),
    ],
)
async def test_not_ok_means(
    error: str,
    verdict: Verdict,
    reason: Reason,
    slack: Slack,
    environment: ReceiverEnvironment,
) -> None:
    slack.errors = {"chat.postMessage": error}
    delivery = await bot(slack, environment).deliver(message())
    assert (delivery.verdict, delivery.reason) == (verdict, reason)
    assert "<b>" not in str(delivery.error)


async def test_a_busy_slack_is_left_alone_for_as_long_as_it_asks(
    slack: Slack, environment: ReceiverEnvironment
) -> None:
    slack.status = 429
    delivery = await bot(slack, environment).deliver(message())
    assert (delivery.verdict, delivery.retry_after) == (Verdict.TEMPORARY, 30.0)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"token": "x"}, "token and channel belong together"),
        ({"webhook_url": "http://x/", "channel": "C1"}, "token and channel belong together"),
        ({"webhook_url": "http://x/", "token": "x", "channel": "C"}, "exclude each other"),
        ({}, "is missing"),
    ],
)
def test_bad_options_are_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        SlackOptions.model_validate(values)
