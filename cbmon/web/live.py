"""``GET /api/v1/events/stream``: server-sent events.

Rule: a listener is sent what he asked for and nothing twice; one who does not take it is dropped.
While nothing happens, a comment keeps the connection alive and the credential is looked at again.

Source: the HTML standard, section 9.2, server-sent events.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from aiohttp import web

from cbmon.errors import StoreError
from cbmon.web import query as q
from cbmon.web import views
from cbmon.web.audit import kinds_of
from cbmon.web.connections import connection_of
from cbmon.web.edge import DEADLINE, dumps
from cbmon.web.errors import ApiError, bad_request
from cbmon.web.keys import ACCESS, LIMITS, SERVICES
from cbmon.web.stream import STREAM, Fact, Listener

KEEPALIVE: Final = 15.0
RETRY: Final = 2000
"""Milliseconds after which a browser comes back."""
FROM_STORE: Final = 1000
_ID: Final = re.compile(r"[0-9A-Za-z-]{1,64}")
HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}


GAP: Final = "event: gap\ndata: {}\n\n"
"""Something was missed: load everything anew."""


async def events(request: web.Request) -> web.StreamResponse:
    """Events from now on, or from the last one that the client has seen."""
    wanted = _filter(q.parameters(request, ("component", "kind")))
    last = request.headers.get("Last-Event-ID", "")
    if last and not _ID.fullmatch(last):
        raise bad_request("Last-Event-ID: expected the id of an event", header="Last-Event-ID")
    stream = request.app[STREAM]
    if stream.full:
        raise ApiError(
            503, "too_many_listeners", "no room for another listener", headers={"Retry-After": "5"}
        )
    with stream.listen(wanted) as listener:
        missed, whole = await _missed(request, last, wanted) if last else ([], True)
        response = web.StreamResponse(headers=HEADERS)
        await response.prepare(request)
        if (deadline := request.get(DEADLINE)) is not None:
            deadline.reschedule(None)
        beginning = [f"retry: {RETRY}\n\n", *([] if whole else [GAP]), *map(_text, missed)]
        try:
            await _send(request, response, beginning)
            await _follow(request, response, listener, missed[-1].id if missed else "")
        except ConnectionResetError:
            pass  # it has gone, as clients do
        except TimeoutError:
            stream.dropped += 1
            connection = connection_of(request)
            if connection is not None:
                connection.abort()
        return response


async def _follow(
    request: web.Request, response: web.StreamResponse, listener: Listener, last: str
) -> None:
    access = request.app[ACCESS]
    while not listener.lost:
        try:
            async with asyncio.timeout(KEEPALIVE):
                await listener.something.wait()
        except TimeoutError:
            if not await access.still(request):
                return
            await _send(request, response, [": keepalive\n\n"])
            continue
        facts = [fact for fact in listener.take() if fact.id > last]
        if facts:
            last = facts[-1].id
            await _send(request, response, [_text(fact) for fact in facts])


async def _send(request: web.Request, response: web.StreamResponse, texts: Iterable[str]) -> None:
    """Send within the time that a client has to take an answer; TimeoutError."""
    async with asyncio.timeout(request.app[LIMITS].write):
        await response.write("".join(texts).encode(errors="replace"))


async def _missed(
    request: web.Request, last: str, wanted: Callable[[Fact], bool]
) -> tuple[list[Fact], bool]:
    """What came since an event, from memory or, of moves, from the store; whether it is all."""
    if request.app[STREAM].is_ahead(last):
        return [], False
    facts, whole = request.app[STREAM].after(last), True
    if facts is None:
        try:
            rows = await request.app[SERVICES].transitions(limit=FROM_STORE)
        except StoreError:
            return [], False
        newer = [row for row in rows if str(row["id"]) > last]
        facts = [Fact.from_row(row) for row in reversed(newer)]
        whole = len(newer) < FROM_STORE
    return [fact for fact in facts if wanted(fact)], whole


def _text(fact: Fact) -> str:
    if fact.text is None:
        data = dumps(views.event(fact.data))
        fact.text = f"id: {fact.id}\nevent: {fact.kind}\ndata: {data}\n\n"
    return fact.text


def _filter(query: Mapping[str, str]) -> Callable[[Fact], bool]:
    component, kinds = query.get("component"), kinds_of(query)

    def wanted(fact: Fact) -> bool:
        return component in {None, fact.component} and (
            kinds is None or not kinds.isdisjoint(fact.kinds)
        )

    return wanted
