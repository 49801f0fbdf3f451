"""Apprise in its own few threads: what hangs there holds up nobody, and is tried again."""

from __future__ import annotations

import asyncio
import builtins
import threading
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import ValidationError

from cbmon.model import Reason, Verdict
from cbmon.notify.receivers import apprise as room
from cbmon.notify.receivers.apprise import (
    AppriseOptions,
    AppriseReceiver,
    Threads,
    words_of,
)
from cbmon.notify.receivers.said import DEFAULT_WORDS
from tests.unit.notify.samples import digest, hostile, message, recovery

pytest.importorskip("apprise")
# Its plug-ins are imported when they are looked for, and one imports what Python will drop.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def receiver(url: str, threads: Threads | None = None) -> AppriseReceiver:
    options = AppriseOptions.model_validate({"url": url})
    return AppriseReceiver(options, threads or Threads(2))


async def test_a_message_arrives_by_the_plug_in_of_its_url() -> None:
    taken: list[dict[str, Any]] = []

    async def handle(request: web.Request) -> web.Response:
        taken.append(await request.json())
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", handle)
    async with TestServer(app) as server:
        url = f"json://127.0.0.1:{server.port}/hook"
        assert (await receiver(url).deliver(message())).verdict is Verdict.DELIVERED
        assert (await receiver(url).deliver(recovery())).verdict is Verdict.DELIVERED
    assert [one["type"] for one in taken] == ["failure", "success"]
    assert taken[0]["title"] == "shop-api is open"
    assert "connection refused" in taken[0]["message"]


async def test_what_does_not_arrive_is_tried_again(unused_tcp_port: int) -> None:
    delivery = await receiver(f"json://127.0.0.1:{unused_tcp_port}/").deliver(message())
    assert (delivery.verdict, delivery.reason) == (Verdict.TEMPORARY, Reason.PROTOCOL)


async def test_plug_ins_that_hang_take_a_few_threads_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release = threading.Event()

    class Hanging:
        def notify(self, **_: Any) -> bool:
            return release.wait(10.0)

    monkeypatch.setattr(room, "service_of", lambda _: Hanging())
    threads = Threads(2)
    hanging = receiver("json://127.0.0.1/", threads)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await hanging.deliver(message())
    third = await hanging.deliver(message())
    assert (third.verdict, third.reason) == (Verdict.TEMPORARY, Reason.TIMEOUT)
    release.set()
    async with asyncio.timeout(5.0):
        while threads.full:  # noqa: ASYNC110 - a thread of somebody else ends
            await asyncio.sleep(0.001)
        assert (await hanging.deliver(message())).verdict is Verdict.DELIVERED


async def test_a_plug_in_that_raises_is_the_dispatchers_to_judge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Broken:
        def notify(self, **_: Any) -> bool:
            raise RuntimeError

    monkeypatch.setattr(room, "service_of", lambda _: Broken())
    with pytest.raises(RuntimeError):
        await receiver("json://127.0.0.1/").deliver(message())


async def test_a_url_in_a_file_is_read_at_each_delivery(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("nonsense\n")
    made = AppriseReceiver(AppriseOptions.model_validate({"url_file": str(file)}), Threads(1))
    delivery = await made.deliver(message())
    assert (delivery.verdict, delivery.reason) == (Verdict.TEMPORARY, Reason.CONFIG)
    assert "nonsense" not in str(delivery.error)


def test_a_url_that_apprise_does_not_know_is_refused_without_showing_it() -> None:
    with pytest.raises(ValidationError, match="apprise knows no such url") as caught:
        AppriseOptions.model_validate({"url": "pigeon://TOKEN@host"})
    assert "TOKEN" not in str(caught.value)


def test_a_secret_url_shows_its_scheme_only() -> None:
    made = AppriseOptions.model_validate({"url": "json://user:TOKEN@host/TOKEN"})
    assert room.TYPE.target(made) == "json"
    assert "TOKEN" not in repr(made) + made.model_dump_json()


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "apprise":
            raise ImportError
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValidationError, match=r"cbmon\[apprise\]"):
        AppriseOptions.model_validate({"url": "json://host"})


def test_the_longest_text_is_short_enough_for_most() -> None:
    for told in (message(), digest(200), hostile(component="x")):
        title, body = words_of(told, DEFAULT_WORDS)
        assert 1 <= len(title) <= room.TITLE_LIMIT
        assert 1 <= len(body) <= room.TEXT_LIMIT + 1000
