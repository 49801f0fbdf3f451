"""Events as they happen: who hears what, from where on, and what becomes of slow readers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from cbmon.events import Event, Reloaded, Transition, new_id
from cbmon.model import BreakerInfo, Category
from cbmon.web import live, stream
from cbmon.web.connections import Limits
from cbmon.web.stream import STREAM, Stream


def moved(component: str = "api", text: str = "", at: float = 1.0) -> Transition:
    return Transition(
        id=new_id(at),
        at=at,
        component=component,
        category=Category.CHECK,
        from_state="closed",
        to_state="open",
        cause="threshold_reached",
        text=text,
        info=BreakerInfo(name=component, category=Category.CHECK),
    )


class Reader:
    """One listener over HTTP."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self._text = ""

    async def block(self) -> dict[str, str]:
        """The next block: its fields, or its comment under the empty name."""
        async with asyncio.timeout(5.0):
            while "\n\n" not in self._text:
                chunk = await self.response.content.readany()
                if not chunk:
                    raise EOFError
                self._text += chunk.decode()
        block, _, self._text = self._text.partition("\n\n")
        return dict(line.partition(": ")[::2] for line in block.splitlines())

    async def event(self) -> Any:
        """The data of the next event."""
        while "event" not in (found := await self.block()):
            pass
        return {**json.loads(found["data"]), "_event": found["event"], "_id": found.get("id")}


@pytest.fixture
def listen(web: Any) -> Any:
    @asynccontextmanager
    async def listening(query: str = "", **headers: str) -> AsyncIterator[Reader]:
        async with (
            aiohttp.ClientSession() as session,
            session.get(web.url + "/api/v1/events/stream" + query, headers=headers) as response,
        ):
            assert response.status == 200, await response.text()
            reader = Reader(response)
            assert await reader.block() == {"retry": "2000"}
            yield reader

    return listening


@pytest.fixture
def hub(web: Any) -> Stream:
    found: Stream = web.server._app[STREAM]
    return found


async def test_an_event_is_heard_as_soon_as_it_happens(listen: Any, hub: Stream) -> None:
    async with listen() as reader:
        assert reader.response.headers["Content-Type"].startswith("text/event-stream")
        assert reader.response.headers["Cache-Control"] == "no-store"
        event = moved(text="a <b> & \N{SNOWMAN}\nline")
        hub.publish(event)
        found = await reader.event()
        assert (found["_event"], found["_id"], found["id"]) == ("transition", event.id, event.id)
        assert (found["component"], found["to_state"], found["text"]) == ("api", "open", event.text)
        assert "snapshot" not in found
        assert "info" not in found


async def test_one_hears_what_he_asked_for(listen: Any, hub: Stream) -> None:
    async with (
        listen("?component=db") as db,
        listen("?kind=reload") as reloads,
        listen("?component=db&kind=transition") as both,
    ):
        for event in (moved("api"), Reloaded(id=new_id(2.0), at=2.0, ok=True), moved("db")):
            hub.publish(event)
        assert (await db.event())["component"] == "db"
        assert (await reloads.event())["_event"] == "reload"
        assert (await both.event())["component"] == "db"


async def test_a_breaker_out_of_service_is_heard_of_under_both_kinds(
    listen: Any, hub: Stream
) -> None:
    out = replace(moved("api"), from_state="half_open", to_state="disabled")
    back = replace(moved("api", at=2.0), from_state="disabled", to_state="closed")
    async with listen("?kind=disabled") as disabled, listen("?kind=enabled,failed") as enabled:
        for event in (moved("db"), out, back):
            hub.publish(event)
        assert (await disabled.event())["_id"] == out.id
        assert (await enabled.event())["_id"] == back.id


async def test_a_kind_that_does_not_exist_is_refused(web: Any) -> None:
    reply = await web.get("/api/v1/events/stream?kind=nope")
    assert (reply.status, reply.code) == (400, "bad_request")


async def test_who_comes_back_goes_on_where_he_was(listen: Any, hub: Stream) -> None:
    events: list[Event] = [moved(f"c{number}") for number in range(5)]
    for event in events:
        hub.publish(event)
    async with listen(**{"Last-Event-ID": events[1].id}) as reader:
        assert [(await reader.event())["component"] for _ in range(3)] == ["c2", "c3", "c4"]
        hub.publish(moved("c5"))
        assert (await reader.event())["component"] == "c5"


async def test_after_a_restart_the_moves_come_from_the_store(listen: Any, daemon: Any) -> None:
    daemon.fail("api")
    rows = await daemon.transitions()
    assert rows[0]["component"] == "api"
    async with listen(**{"Last-Event-ID": "00000000"}) as reader:
        assert (await reader.event())["component"] == "api"


async def test_what_happens_while_the_store_is_asked_comes_once(
    listen: Any, daemon: Any, hub: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    during = moved("during")

    async def transitions(**_: Any) -> list[dict[str, Any]]:
        hub.publish(during)
        return [{"id": during.id, "kind": "transition", "component": "during", "at": 1.0}]

    monkeypatch.setattr(daemon, "transitions", transitions)
    async with listen(**{"Last-Event-ID": "0"}) as reader:
        hub.publish(moved("after"))
        assert [(await reader.event())["component"] for _ in range(2)] == ["during", "after"]


async def test_a_gap_that_nothing_fills_is_told(
    listen: Any, daemon: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.store_broken = True
    async with listen(**{"Last-Event-ID": "00000000"}) as reader:
        assert (await reader.event())["_event"] == "gap"
    daemon.store_broken = False
    monkeypatch.setattr(live, "FROM_STORE", 1)
    async with listen(**{"Last-Event-ID": "-"}) as reader:
        assert (await reader.event())["_event"] == "gap"


@pytest.mark.parametrize("last", ["z" * 64, "ffffffffffffffff-ffffffff", "Z"])
async def test_an_id_of_the_future_is_a_gap_and_hides_nothing(
    listen: Any, hub: Stream, last: str
) -> None:
    hub.publish(moved("api", "before"))
    async with listen(**{"Last-Event-ID": last}) as reader:
        while "event" not in (found := await reader.block()):
            pass
        assert found["event"] == "gap"
        hub.publish(moved("api", "after"))
        assert (await reader.event())["text"] == "after"


async def test_an_id_of_the_future_hides_nothing_from_the_first_listener_after_a_start(
    listen: Any, hub: Stream
) -> None:
    async with listen(**{"Last-Event-ID": "z"}) as reader:
        hub.publish(moved("api", "first"))
        assert (await reader.event())["text"] == "first"


async def test_an_id_that_is_none_is_refused(web: Any) -> None:
    for bad in ("x y", "a" * 65, "\xe9"):
        reply = await web.get("/api/v1/events/stream", headers={"Last-Event-ID": bad})
        assert (reply.status, reply.code) == (400, "bad_request")


async def test_silence_is_filled_with_comments(
    listen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "KEEPALIVE", 0.02)
    async with listen() as reader:
        assert await reader.block() == {"": "keepalive"}
        assert await reader.block() == {"": "keepalive"}


async def test_a_stream_ends_with_the_token_that_opened_it(
    guarded: Any, tokens: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "KEEPALIVE", 0.02)
    headers = {"Authorization": "Bearer viewer-token"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(guarded.url + "/api/v1/events/stream", headers=headers) as response,
    ):
        reader = Reader(response)
        await reader.block()
        await reader.block()
        guarded.server.reconfigure([one for one in tokens if one.name != "vera"])
        with pytest.raises(EOFError):
            await reader.event()


async def test_a_reader_who_does_not_read_is_dropped_and_harms_nobody(
    daemon: Any, serve: Any
) -> None:
    limits = Limits(write=0.2)
    async with serve(daemon, limits=limits) as web:
        hub: Stream = web.server._app[STREAM]
        slow_reader, slow_writer = await asyncio.open_connection("127.0.0.1", web.port, limit=1)
        slow_writer.write(b"GET /api/v1/events/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with (
            aiohttp.ClientSession() as session,
            session.get(web.url + "/api/v1/events/stream") as response,
        ):
            quick = Reader(response)
            await quick.block()
            while len(hub) < 2:  # noqa: ASYNC110 - the other side comes when it comes
                await asyncio.sleep(0.01)
            for number in range(400):
                hub.publish(moved(text=str(number) + "x" * 60_000))
                assert (await quick.event())["text"].startswith(str(number))
                if not hub.dropped:
                    await asyncio.sleep(0.005)
        assert hub.dropped == 1
        slow_writer.close()
        del slow_reader


async def test_what_waits_for_one_listener_is_bounded(hub: Stream) -> None:
    with hub.listen(lambda _: True) as listener:
        for _ in range(stream.WAITING + 1):
            hub.publish(moved())
        assert (listener.lost, len(listener.waiting), hub.dropped) == (True, 0, 1)
    assert len(hub) == 0


async def test_there_is_room_for_so_many_and_no_more(
    web: Any, listen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "LISTENERS", 1)
    async with listen():
        reply = await web.get("/api/v1/events/stream")
        assert (reply.status, reply.code) == (503, "too_many_listeners")
        assert reply.headers["Retry-After"] == "5"


async def test_a_stop_sends_listeners_away_at_once(daemon: Any, serve: Any) -> None:
    async with (
        serve(daemon) as web,
        aiohttp.ClientSession() as session,
        session.get(web.url + "/api/v1/events/stream") as response,
    ):
        reader = Reader(response)
        await reader.block()
        async with asyncio.timeout(0.9):
            await web.server.stop(5.0)
        with pytest.raises((EOFError, aiohttp.ClientError)):
            await reader.block()


async def test_a_stream_outlives_the_time_that_a_handler_has(daemon: Any, serve: Any) -> None:
    async with (
        serve(daemon, limits=Limits(handler=0.02)) as web,
        aiohttp.ClientSession() as session,
        session.get(web.url + "/api/v1/events/stream") as response,
    ):
        reader = Reader(response)
        await reader.block()
        await asyncio.sleep(0.06)
        web.server._app[STREAM].publish(moved("late"))
        assert (await reader.event())["component"] == "late"


async def test_publishing_without_listeners_remembers_only_the_latest() -> None:
    hub = Stream()
    for _ in range(stream.KEPT + 10):
        hub.publish(moved())
    assert len(hub._latest) == stream.KEPT
    assert hub.after("") is None
    assert hub.after(hub._latest[-2].id) == [hub._latest[-1]]
