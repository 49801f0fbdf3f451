"""Rule: a server that answers its commands is up; a reply is judged as what it says."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from cbmon.model import Reason
from cbmon.probes.redis import RedisOptions, parse_url
from cbmon.probes.resp import command

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


class Scripted:
    """Answers command after command with what it is given, and keeps what it was told."""

    def __init__(self, *replies: bytes) -> None:
        self.replies = list(replies)
        self.told: list[list[str]] = []

    async def __call__(self, reader: Reader, writer: Writer) -> None:
        while self.replies:
            count = int((await reader.readline())[1:])
            words = []
            for _ in range(count):
                size = int((await reader.readline())[1:])
                words.append((await reader.readexactly(size + 2))[:-2].decode())
            self.told.append(words)
            writer.write(self.replies.pop(0))
            await writer.drain()
        await reader.read()
        writer.close()


async def asked(bench: Any, *replies: bytes, place: str = "", **options: Any) -> Any:
    port = await bench.raw(Scripted(*replies))
    return await bench.look("redis", url=f"redis://127.0.0.1:{port}{place}", **options)


async def test_a_pong_is_enough(bench: Any) -> None:
    result = await asked(bench, b"+PONG\r\n")

    assert result.ok, result.error
    assert result.facts["reply"] == '"PONG"'
    assert result.phases.processing > 0


async def test_it_logs_in_and_chooses_the_database_first(bench: Any, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("pässword\n")
    server = Scripted(b"+OK\r\n", b"+OK\r\n", b":3\r\n")
    port = await bench.raw(server)

    result = await bench.look(
        "redis",
        url=f"redis://monitor@127.0.0.1:{port}/7",
        password_file=str(secret),
        command=["LLEN", "queue"],
        expect={"value": "< 10"},
    )

    assert result.ok, result.error
    assert server.told == [["AUTH", "monitor", "pässword"], ["SELECT", "7"], ["LLEN", "queue"]]


@pytest.mark.parametrize(
    ("reason", "message", "replies"),
    [
        (Reason.AUTH, "NOAUTH Authentication", (b"-NOAUTH Authentication required.\r\n",)),
        (Reason.AUTH, "NOPERM", (b"-NOPERM this user may not\r\n",)),
        (Reason.STATUS, "LOADING", (b"-LOADING Redis is loading\r\n",)),
        (Reason.STATUS, "-ERR".strip("-"), (b"-ERR unknown command\r\n",)),
    ],
)
async def test_an_error_reply_is_a_failure_whatever_is_expected(
    reason: Reason, message: str, replies: tuple[bytes, ...], bench: Any
) -> None:
    result = await asked(bench, *replies, expect={"matches": "."})

    assert result.reason is reason
    assert result.error.startswith(f'the server refused: "{message}')


async def test_a_refused_password_is_told_without_it(bench: Any) -> None:
    result = await asked(bench, b"-ERR AUTH <password> called\r\n", password="hunter2")

    assert result.reason is Reason.AUTH
    assert "hunter2" not in str(result)


@pytest.mark.parametrize(
    ("reply", "expect"),
    [
        (b"$5\r\nhello\r\n", {"value": "hello"}),
        (b":7\r\n", {"value": 7}),
        (b":7\r\n", {"value": ">= 7"}),
        (b"$3\r\n0.5\r\n", {"value": "< 1"}),
        (b"*2\r\n$1\r\na\r\n*1\r\n:2\r\n", {"matches": "^a\n2$"}),
        (b"$-1\r\n", {"matches": "^$"}),
        (b"$23\r\n# Repl\r\nrole:master\r\nx:\r\n", {"fields": {"role": "master"}}),
    ],
)
async def test_replies_of_every_kind_may_be_expected(
    reply: bytes, expect: dict[str, Any], bench: Any
) -> None:
    result = await asked(bench, reply, expect=expect)

    assert result.ok, result.error


@pytest.mark.parametrize(
    ("error", "reply", "expect"),
    [
        ('got "8", expected < 7', b":8\r\n", {"value": "< 7"}),
        ('got "x", expected 7', b"+x\r\n", {"value": 7}),
        ("got null, expected hello", b"$-1\r\n", {"value": "hello"}),
        ("got \"x\", expected a match for '^y'", b"+x\r\n", {"matches": "^y"}),
        ("the reply has no field role", b"+x\r\n", {"fields": {"role": "master"}}),
        ('role is "slave", expected master', b"+role:slave\r\n", {"fields": {"role": "master"}}),
    ],
)
async def test_a_reply_that_is_not_as_expected_is_told_with_both(
    error: str, reply: bytes, expect: dict[str, Any], bench: Any
) -> None:
    result = await asked(bench, reply, expect=expect)

    assert result.reason is Reason.BODY
    assert result.error == error


@pytest.mark.parametrize(
    ("shown", "url"),
    [
        ("a.test:6379/0", "redis://a.test"),
        ("a.test:1/5", "rediss://user@a.test:1/5"),
        ("[::1]:6379/0", "redis://[::1]"),
        ("unix:/run/redis.sock/3", "unix:///run/redis.sock?db=3"),
    ],
)
def test_urls_name_their_place(shown: str, url: str) -> None:
    assert str(parse_url(url)) == shown


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("password does not belong into a URL", {"url": "redis://u:hunter2@a.test"}),
        ("expected a URL such as redis://", {"url": "http://a.test"}),
        ("expected a Unix socket", {"url": "unix://run/redis.sock"}),
        ("number of a database", {"url": "redis://a.test/zero"}),
        ("never ends", {"url": "redis://a.test", "command": ["monitor"]}),
        ("at least 1 item", {"url": "redis://a.test", "command": []}),
    ],
)
def test_what_cannot_be_meant_is_refused(message: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        RedisOptions.model_validate(options)

    assert "hunter2" not in str(caught.value)


def test_words_are_sent_with_their_size_in_bytes() -> None:
    assert command("SET", "ü") == b"*2\r\n$3\r\nSET\r\n$2\r\n\xc3\xbc\r\n"
