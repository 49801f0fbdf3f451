"""Servers that misbehave: what was taken is not sent again, what was not is not lost.

Each server says raw bytes, so that it can do what no HTTP library would.
"""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from cbmon.model import Delivery, Reason, Verdict
from cbmon.notify.receivers import receiver_type
from cbmon.notify.receivers.kind import ReceiverEnvironment
from cbmon.testing import ManualClock
from tests.unit.notify.samples import message

Say = Callable[[asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\n"
NOW = 1_767_225_600.0
DELIVERED, TEMPORARY, PERMANENT, GONE = Verdict


class Raw:
    """A server that reads a request and then says whatever it was made to say."""

    def __init__(self) -> None:
        self.say: Say
        self.requests: list[bytes] = []
        self.over = asyncio.Event()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                await self.say(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def raw() -> AsyncIterator[Raw]:
    made = Raw()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    made.over.set()
    server.close()


@pytest.fixture
async def environment() -> AsyncIterator[ReceiverEnvironment]:
    made = ReceiverEnvironment(clock=ManualClock(wall=NOW))
    yield made
    await made.close()


def options_of(kind: str, url: str) -> Any:
    given = {
        "webhook": {"url": url},
        "slack": {"webhook_url": url},
        "alertmanager": {"urls": [url], "timeout": 5.0},
        "telegram": {"token": "1:x", "chat_id": 1, "api_url": url},
    }
    return receiver_type(kind).options.model_validate(given[kind])


async def deliver(
    raw: Raw, environment: ReceiverEnvironment, say: Say | bytes, kind: str = "webhook"
) -> Delivery:
    """One delivery, cut off after 5 seconds as a line would do it."""

    async def just(writer: asyncio.StreamWriter) -> None:
        assert isinstance(say, bytes)
        writer.write(say)
        writer.close()

    raw.say = just if isinstance(say, bytes) else say
    found = receiver_type(kind)
    receiver = found.build(options_of(kind, f"http://127.0.0.1:{raw.port}/x"), environment)
    async with asyncio.timeout(5.0):
        return await receiver.deliver(message())


def drip(head: bytes, raw: Raw) -> Say:
    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(head + b"Content-Length: 1000000\r\n\r\n")
        while not raw.over.is_set():
            writer.write(b"x")
            await asyncio.sleep(0.02)

    return say


@pytest.mark.parametrize("kind", ["webhook", "alertmanager"])
async def test_a_body_that_drips_does_not_undo_what_was_taken(
    raw: Raw, environment: ReceiverEnvironment, kind: str
) -> None:
    assert (await deliver(raw, environment, drip(OK, raw), kind)).verdict is DELIVERED


async def test_an_error_is_not_waited_for_either(
    raw: Raw, environment: ReceiverEnvironment
) -> None:
    delivery = await deliver(raw, environment, drip(b"HTTP/1.1 503 Busy\r\n", raw))
    assert (delivery.verdict, delivery.reason) == (TEMPORARY, Reason.STATUS)


def answered(status: str, body: bytes = b"", *headers: str) -> bytes:
    length = f"Content-Length: {len(body)}"
    lines = [f"HTTP/1.1 {status}", length, "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


ANSWERS: dict[str, tuple[str, bytes, Verdict, float | None]] = {
    "a body that breaks off": ("webhook", OK + b"Content-Length: 9\r\n\r\nx", DELIVERED, None),
    "chunks that are none": (
        "webhook",
        OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        TEMPORARY,
        None,
    ),
    "a huge body": ("webhook", answered("200 OK", b"x" * 3_000_000), DELIVERED, None),
    "a body of another kind": (
        "webhook",
        answered("200 OK", b"\xff\x00", "Content-Type: image/png"),
        DELIVERED,
        None,
    ),
    "a body that says it is packed and is not": (
        "webhook",
        answered("200 OK", b"plain", "Content-Encoding: gzip"),
        DELIVERED,
        None,
    ),
    "no answer at all": ("webhook", b"", TEMPORARY, None),
    "no HTTP at all": ("webhook", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", TEMPORARY, None),
    "endless headers": ("webhook", OK + b"X: " + b"x" * 200_000, TEMPORARY, None),
    "a status that nobody knows": ("webhook", answered("799 What"), TEMPORARY, None),
    "429 that does not say how long": ("webhook", answered("429 Busy"), TEMPORARY, None),
    "a date that is over": (
        "webhook",
        answered("503 Busy", b"", "Retry-After: Fri, 31 Dec 1999 23:59:59 GMT"),
        TEMPORARY,
        0.0,
    ),
    "a date": (
        "webhook",
        answered("503 Busy", b"", "Retry-After: Thu, 01 Jan 2026 00:01:00 GMT"),
        TEMPORARY,
        60.0,
    ),
    "a wait that is no number": (
        "webhook",
        answered("429 Busy", b"", "Retry-After: soon"),
        TEMPORARY,
        None,
    ),
    "less than no time": ("webhook", answered("429 Busy", b"", "Retry-After: -5"), TEMPORARY, None),
    "more than all time": (
        "webhook",
        answered("429 Busy", b"", "Retry-After: " + "9" * 400),
        TEMPORARY,
        None,
    ),
    "a wait in a body that is no JSON": (
        "webhook",
        answered("429 Busy", b'{"retry_after": 1'),
        TEMPORARY,
        None,
    ),
    "a wait that is a truth": (
        "webhook",
        answered("429 Busy", b'{"retry_after": true}'),
        TEMPORARY,
        None,
    ),
    "not modified": ("webhook", answered("304 Not Modified"), PERMANENT, None),
    "too large": ("webhook", answered("413 Too Large"), PERMANENT, None),
    "gone": ("webhook", answered("410 Gone"), GONE, None),
    "slack says ok": ("slack", answered("200 OK", b"ok"), DELIVERED, None),
    "slack says nothing": ("slack", answered("200 OK"), DELIVERED, None),
    "slack that is mattermost": ("slack", answered("200 OK", b"ok\n"), DELIVERED, None),
    "slack that is rocket.chat": (
        "slack",
        answered("200 OK", b'{"success":true}'),
        DELIVERED,
        None,
    ),
    "slack behind a login page": (
        "slack",
        answered("200 OK", b"<!doctype html><title>Sign in</title>"),
        TEMPORARY,
        None,
    ),
    "slack with a word in place of ok": ("slack", answered("200 OK", b"no_team"), PERMANENT, None),
    "slack that cannot now": ("slack", answered("200 OK", b'{"ok": false}'), TEMPORARY, None),
    "slack that will not": (
        "slack",
        answered("200 OK", b'{"ok":false,"error":"invalid_auth"}'),
        PERMANENT,
        None,
    ),
    "slack in a hurry": ("slack", answered("429 Busy", b"", "Retry-After: 7"), TEMPORARY, 7.0),
    "slack with a revoked webhook": (
        "slack",
        answered("403 No", b"invalid_token"),
        PERMANENT,
        None,
    ),
    "slack with an archived channel": (
        "slack",
        answered("410 Gone", b"channel_is_archived"),
        GONE,
        None,
    ),
    "slack that packs what nobody wanted packed": (
        "slack",
        answered("200 OK", gzip.compress(b"ok"), "Content-Encoding: gzip"),
        DELIVERED,
        None,
    ),
    "telegram that packs": (
        "telegram",
        answered("200 OK", zlib.compress(b'{"ok":true,"result":{}}'), "Content-Encoding: deflate"),
        DELIVERED,
        None,
    ),
    "a wait in a packed body": (
        "webhook",
        answered("429 Busy", gzip.compress(b'{"retry_after": 3}'), "Content-Encoding: x-gzip"),
        TEMPORARY,
        3.0,
    ),
    "a bomb": (
        "webhook",
        answered(
            "429 Busy",
            gzip.compress(b'{"retry_after": 3}' + bytes(9_000_000)),
            "Content-Encoding: gzip",
        ),
        TEMPORARY,
        None,
    ),
    "telegram that breaks off": (
        "telegram",
        OK + b"Content-Length: 90\r\n\r\n{",
        TEMPORARY,
        None,
    ),
}


@pytest.mark.parametrize(("kind", "said", "verdict", "wait"), ANSWERS.values(), ids=ANSWERS.keys())
async def test_an_answer_means(
    raw: Raw,
    environment: ReceiverEnvironment,
    kind: str,
    said: bytes,
    verdict: Verdict,
    wait: float | None,
) -> None:
    delivery = await deliver(raw, environment, said, kind)
    assert (delivery.verdict, delivery.retry_after) == (verdict, wait)
    assert len(raw.requests) == 1 or not said


async def test_nobody_is_asked_for_a_packed_answer(
    raw: Raw, environment: ReceiverEnvironment
) -> None:
    await deliver(raw, environment, answered("200 OK"))
    assert b"accept-encoding" not in raw.requests[0].lower()


async def test_receivers_that_hang_leave_others_at_the_same_host_alone(
    raw: Raw, environment: ReceiverEnvironment
) -> None:
    async def hang_or_not(writer: asyncio.StreamWriter) -> None:
        if b"/hang" in raw.requests[-1]:
            if len(raw.requests) >= 4:
                reached.set()
            await raw.over.wait()
        writer.write(answered("200 OK"))

    raw.say, reached = hang_or_not, asyncio.Event()
    kind = receiver_type("webhook")
    url = f"http://127.0.0.1:{raw.port}"
    hanging = [
        asyncio.ensure_future(
            kind.build(options_of("webhook", f"{url}/hang/{number}"), environment).deliver(
                message()
            )
        )
        for number in range(150)
    ]
    await reached.wait()
    async with asyncio.timeout(2.0):
        fine = await kind.build(options_of("webhook", url), environment).deliver(message())
    assert fine.verdict is DELIVERED
    raw.over.set()
    await asyncio.gather(*hanging)


async def test_what_slack_refuses_is_said_in_its_word(
    raw: Raw, environment: ReceiverEnvironment
) -> None:
    refused = await deliver(raw, environment, answered("404 No", b"no_service"), "slack")
    assert refused.error == "answered 404 Not Found (no_service)"
    other = await deliver(raw, environment, answered("404 No", b"<b>secret</b>"), "slack")
    assert other.error == "answered 404 Not Found"


async def test_a_server_that_speaks_no_tls_is_told_nothing(
    environment: ReceiverEnvironment,
) -> None:
    async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.net ESMTP\r\n")
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/TOKEN"
    delivery = (
        await receiver_type("webhook")
        .build(options_of("webhook", url), environment)
        .deliver(message())
    )
    server.close()
    assert (delivery.verdict, delivery.reason) == (TEMPORARY, Reason.TLS)
    assert "TOKEN" not in str(delivery.error)


@pytest.mark.parametrize("kind", ["webhook", "slack", "alertmanager"])
async def test_half_a_character_makes_no_body_that_a_strict_reader_refuses(
    raw: Raw, environment: ReceiverEnvironment, kind: str
) -> None:
    async def fine(writer: asyncio.StreamWriter) -> None:
        writer.write(answered("200 OK", b"ok"))

    raw.say = fine
    url = f"http://127.0.0.1:{raw.port}/x"
    receiver = receiver_type(kind).build(options_of(kind, url), environment)
    bad = "a\ud800b 💥"
    delivery = await receiver.deliver(message(text=bad, last_error=bad, component=bad))
    assert delivery.verdict is DELIVERED
    [request] = raw.requests
    assert "\\ud8" not in request.decode()
    assert "💥" in request.decode()
