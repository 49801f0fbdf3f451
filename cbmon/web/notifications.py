"""The API's messages and silences: what lies in the outbox, what is muted, and trying a receiver.

Rule: a message is shown as it was made, never with an address or a credential of its receiver.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from aiohttp import web

from cbmon.config.routes import Matcher
from cbmon.model import Message, MessageState
from cbmon.web import query as q
from cbmon.web.edge import answer
from cbmon.web.errors import bad_request, not_found
from cbmon.web.keys import ACCESS, SERVICES
from cbmon.web.requests import author_of
from cbmon.web.views import timestamp

MOST_MATCHERS: Final = 20
SILENCE: Final[Mapping[str, type]] = {"matchers": list, "for_seconds": float, "reason": str}
SILENCE_QUERY: Final = ("expired", "limit", "cursor")
TEST: Final[Mapping[str, type]] = {"receiver": str, "dry_run": bool}
STATES: Final = tuple(state.value for state in MessageState)


class SilenceView(Protocol):
    """A silence as the web reads it; times in Unix seconds."""

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def matchers(self) -> Sequence[Matcher]:
        """What it covers: all must hold."""
        ...

    @property
    def starts_at(self) -> float:
        """From when on."""
        ...

    @property
    def ends_at(self) -> float:
        """Until when."""
        ...

    @property
    def author(self) -> str:
        """Who made it."""
        ...

    @property
    def reason(self) -> str:
        """Why."""
        ...

    @property
    def created_at(self) -> float:
        """When it was made."""
        ...

    def state(self, now: float) -> str:
        """Pending, active or expired."""
        ...


class Messaging(Protocol):
    """The notify room, as far as the web sees it."""

    async def silences(self, *, expired: bool = False) -> Sequence[SilenceView]:
        """Silences, the newest first."""
        ...

    async def mute(
        self, matchers: Sequence[Matcher], seconds: float, *, author: str, reason: str
    ) -> SilenceView:
        """A new silence from now on."""
        ...

    async def expire_silence(self, silence_id: str) -> SilenceView:
        """End one now; KeyError."""
        ...

    async def messages(
        self,
        *,
        receiver: str | None = None,
        state: MessageState | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> list[Message]:
        """Messages, newest first."""
        ...

    async def retry(self, message_id: str) -> bool:
        """Send a dead letter again."""
        ...

    async def try_receiver(self, receiver: str, *, dry_run: bool) -> list[dict[str, Any]]:
        """A test message for each integration of a receiver; KeyError."""
        ...


async def silences(request: web.Request) -> web.Response:
    """Silences that are active or will be, or all that are known."""
    query = q.parameters(request, SILENCE_QUERY)
    expired = q.one_of(query, "expired", ("true", "false")) == "true"
    size, before = q.limit(query), q.cursor_key(query)
    found = await request.app[SERVICES].notifying.silences(expired=expired)
    rest = [one for one in found if before is None or one.id < before]
    cursor = q.to_cursor(rest[size - 1].id) if len(rest) > size else None
    now = request.app[SERVICES].clock.time()
    shown = [_silence(one, now) for one in rest[:size]]
    return answer({"silences": shown, "next_cursor": cursor})


async def add_silence(request: web.Request) -> web.Response:
    """Hold back what all these matchers cover for a while."""
    data = await q.body(request, SILENCE)
    matchers = _matchers(data.get("matchers"))
    seconds = q.seconds(data, "for_seconds")
    if seconds is None:
        raise bad_request("for_seconds is missing; how long should it last?", field="for_seconds")
    reason = (q.reason(data) or "").strip()
    if not reason:
        raise bad_request("reason is missing; why is this silenced?", field="reason")
    services = request.app[SERVICES]
    author = request.app[ACCESS].identity(request).name
    made = await services.notifying.mute(matchers, seconds, author=author, reason=reason)
    services.record.note("silence", author_of(request, reason), details={"id": made.id})
    return answer(_silence(made, services.clock.time()))


async def expire_silence(request: web.Request) -> web.Response:
    """End a silence now; what is still news is told."""
    name = request.match_info["name"]
    services = request.app[SERVICES]
    try:
        ended = await services.notifying.expire_silence(name)
    except KeyError:
        raise not_found(f"no silence {name[:40]!r} that goes on", id=name[:40]) from None
    services.record.note("expire_silence", author_of(request), details={"id": name})
    return answer(_silence(ended, services.clock.time()))


async def notifications(request: web.Request) -> web.Response:
    """Messages of the outbox, newest first."""
    query = q.parameters(request, ("receiver", "outcome", "limit", "cursor"))
    outcome = q.one_of(query, "outcome", STATES)
    size = q.limit(query)
    found = await request.app[SERVICES].notifying.messages(
        receiver=query.get("receiver"),
        state=None if outcome is None else MessageState(outcome),
        limit=size + 1,
        before=q.cursor_key(query),
    )
    shown = found[:size]
    cursor = q.to_cursor(shown[-1].id) if len(found) > size else None
    return answer({"notifications": [_message(one) for one in shown], "next_cursor": cursor})


async def retry(request: web.Request) -> web.Response:
    """Send a dead letter again."""
    name = request.match_info["name"]
    data = await q.body(request, {"reason": str})
    services, author = request.app[SERVICES], author_of(request, q.reason(data))
    if not await services.notifying.retry(name):
        raise not_found(f"no dead letter {name[:40]!r}", id=name[:40])
    services.record.note("resend", author, details={"id": name})
    return answer({"id": name, "retried": True})


async def test(request: web.Request) -> web.Response:
    """Send a test message to a receiver, or only show it."""
    data = await q.body(request, TEST)
    receiver = data.get("receiver") or ""
    services = request.app[SERVICES]
    try:
        found = await services.notifying.try_receiver(receiver, dry_run=bool(data.get("dry_run")))
    except KeyError:
        raise not_found(f"no receiver {receiver[:40]!r}", receiver=receiver[:40]) from None
    services.record.note("test_message", author_of(request), details={"receiver": receiver})
    return answer({"receiver": receiver, "integrations": found})


def _matchers(given: Any) -> list[Matcher]:
    if not given or len(given) > MOST_MATCHERS:
        raise bad_request(
            f'matchers: expected 1 to {MOST_MATCHERS} texts such as team="shop"',
            field="matchers",
        )
    try:
        return [Matcher.parse(text) for text in given]
    except ValueError as error:
        raise bad_request(f"matchers: {error}", field="matchers") from error


def _silence(view: SilenceView, now: float) -> dict[str, Any]:
    return {
        "id": view.id,
        "matchers": [str(matcher) for matcher in view.matchers],
        "starts_at": timestamp(view.starts_at),
        "ends_at": timestamp(view.ends_at),
        "author": view.author,
        "reason": view.reason,
        "created_at": timestamp(view.created_at),
        "state": view.state(now),
    }


def _message(message: Message) -> dict[str, Any]:
    body = message.body
    return {
        "id": message.id,
        "receiver": message.receiver,
        "kind": message.kind,
        "incident": message.incident,
        "component": str(body.get("component", "")),
        "outcome": message.state.value,
        "attempts": message.attempts,
        "created_at": timestamp(message.created_at),
        "last_error": message.last_error,
    }
