"""Rule: whatever a MySQL server, or a stranger in its place, does: the run ends with a reason."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon.model import Reason
from cbmon.probes import AddressPolicy
from cbmon.probes.failure import ProbeError
from cbmon.probes.mysql import wire

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter

SALT = b"01234567890123456789"
OK = b"\0\0\0\2\0\0\0"
EOF = b"\xfe\0\0\2\0"
NO = b"\xff\x15\x04#28000Access denied"


def greeting(plugin: bytes = b"mysql_native_password", version: bytes = b"8.4.0") -> bytes:
    low, high = b"\x08\xa2", b"\x08\x00"
    body = b"\x0a" + version + b"\0" + b"\1\0\0\0" + SALT[:8] + b"\0" + low + b"\x2d\2\0" + high
    return body + b"\x15" + b"\0" * 10 + SALT[8:] + b"\0" + plugin + b"\0"


def server(
    *answers: list[bytes], heard: list[bytes] | None = None
) -> Callable[[Reader, Writer], Awaitable[None]]:
    """Says the first packets, and then one list of them for each packet that it gets."""

    async def converse(reader: Reader, writer: Writer) -> None:
        number = 0
        for answer in answers:
            for body in answer:
                writer.write(wire.packet(number, body))
                number += 1
            head = await reader.read(4)
            if len(head) < 4:
                break
            body = await reader.readexactly(int.from_bytes(head[:3], "little"))
            if heard is not None:
                heard.append(body)
            number = head[3] + 1
        writer.close()

    return converse


async def look(bench: Any, handler: Any, **options: Any) -> Any:
    port = await bench.raw(handler)
    return await bench.look("mysql", dsn=f"mysql://u:p@127.0.0.1:{port}/d", **options)


IN = [[greeting()], [OK], [OK], [OK]]
HEAD = [b"\1", b"def", EOF]
ROW = [b"\1", b"def", EOF, b"\x013", EOF]


async def test_a_server_by_hand_is_understood(bench: Any) -> None:
    heard: list[bytes] = []
    good = server([greeting()], [OK], [OK], [OK], ROW, heard=heard)

    result = await look(bench, good, expect={"value": 3, "rows": 1})

    assert result.ok, result.error
    assert heard[1].startswith(b"\3SET SESSION max_execution_time = ")
    assert heard[2] == b"\3START TRANSACTION READ ONLY"
    assert heard[3] == b"\3SELECT 1"


async def test_the_cached_password_of_mysql_8_is_answered(bench: Any) -> None:
    heard: list[bytes] = []
    plugin = b"caching_sha2_password"
    good = server([greeting(plugin)], [b"\1\3", OK], [OK], [OK], ROW, heard=heard)

    result = await look(bench, good)

    assert result.ok, result.error
    assert wire.caching_sha2("p", SALT) in heard[0]


async def test_another_way_to_log_in_is_taken(bench: Any) -> None:
    heard: list[bytes] = []
    switch = b"\xfemysql_native_password\0" + b"x" * 20 + b"\0"
    good = server([greeting(b"client_ed25519")], [switch], [OK], [OK], [OK], ROW, heard=heard)

    result = await look(bench, good)

    assert result.ok, result.error
    assert heard[1] == wire.native("p", b"x" * 20)


@pytest.mark.parametrize(
    ("reason", "message", "answers"),
    [
        (Reason.PROTOCOL, "closed the connection", []),
        (Reason.STATUS, "error 1040", [[b"\xff\x10\x04Too many connections"]]),
        (Reason.PROTOCOL, "does not speak MySQL", [[b"SSH-2.0"]]),
        (Reason.PROTOCOL, "does not speak MySQL", [[b"\x0a8.0\0"]]),
        (Reason.PROTOCOL, "malformed", [[b""]]),
        (Reason.AUTH, "error 1045 (28000)", [[greeting()], [NO]]),
        (Reason.PROTOCOL, "malformed", [[greeting()], [b"\7"]]),
        (Reason.PROTOCOL, "malformed", [[greeting()], [b"\1\7"]]),
        (Reason.AUTH, "needs TLS", [[greeting()], [b"\1\4"]]),
        (Reason.AUTH, "needs TLS", [[greeting()], [b"\xfemysql_clear_password\0"]]),
        (Reason.AUTH, 'asks for "dialog"', [[greeting()], [b"\xfedialog\0x"]]),
        (Reason.PROTOCOL, "a file of this machine", [*IN, [b"\xfb/etc/passwd"]]),
        (Reason.PROTOCOL, "malformed", [*IN, [b"\xfc"]]),
        (Reason.PROTOCOL, "malformed", [*IN, [b"\1", b"def", b"x"]]),
        (Reason.PROTOCOL, "malformed", [*IN, [*HEAD, b"\x09x"]]),
        (Reason.STATUS, "error 1053", [*IN, [*HEAD, b"\xff\x1d\x04bye"]]),
    ],
)  # fmt: skip
async def test_every_way_to_fail_has_its_reason(
    bench: Any, reason: Reason, message: str, answers: list[list[bytes]]
) -> None:
    result = await look(bench, server(*answers))

    assert result.reason is reason, result.error
    assert message in result.error


async def test_a_packet_that_is_too_large_is_not_read(bench: Any) -> None:
    async def huge(reader: Reader, writer: Writer) -> None:
        writer.write(b"\xff\xff\xff\0")
        await reader.read()
        writer.close()

    result = await look(bench, huge)

    assert result.reason is Reason.SIZE


async def test_tls_that_is_insisted_upon_is_not_given_up(bench: Any) -> None:
    port = await bench.raw(server([greeting()]))

    result = await bench.look("mysql", dsn=f"mysql://u@127.0.0.1:{port}/d?sslmode=require")

    assert result.reason is Reason.TLS


async def test_the_address_policy_holds(bench: Any, tmp_path: Any) -> None:
    closed = bench.environment.under(AddressPolicy(deny=["127.0.0.0/8"], unix=False))

    for where in ("u@127.0.0.1:1/d", f"u@/d?host={tmp_path}/s"):
        result = await bench.look("mysql", closed, dsn=f"mysql://{where}")
        assert result.reason is Reason.POLICY


def test_the_scrambles_are_undone_as_a_server_does_it() -> None:
    stored = hashlib.sha1(hashlib.sha1(b"secret").digest()).digest()
    once = bytes(
        a ^ b
        for a, b in zip(
            wire.native("secret", SALT), hashlib.sha1(SALT + stored).digest(), strict=True
        )
    )
    assert hashlib.sha1(once).digest() == stored

    kept = hashlib.sha256(hashlib.sha256(b"secret").digest()).digest()
    first = bytes(
        a ^ b
        for a, b in zip(
            wire.caching_sha2("secret", SALT), hashlib.sha256(kept + SALT).digest(), strict=True
        )
    )
    assert hashlib.sha256(first).digest() == kept
    assert wire.native("", SALT) == wire.caching_sha2("", SALT) == b""


@given(st.binary(min_size=1, max_size=100))
def test_no_packet_does_anything_but_be_read_or_refused(body: bytes) -> None:
    for read in (wire.greeting, wire.error, wire.first_value, wire.column_count, wire.switch):
        try:
            read(body)
        except ProbeError as error:
            assert error.reason is Reason.PROTOCOL  # noqa: PT017
