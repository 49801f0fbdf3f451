"""Rule: each of MySQL's ways to log in is taken, and none gives the password away.

The server is a fake that checks what it is told as MySQL 8 does: Debian has no MySQL.
"""

from __future__ import annotations

import asyncio
import hashlib
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from cbmon.model import Reason
from cbmon.probes.mysql import wire

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter

SALT = b"abcdefghijklmnopqrst"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
OAEP = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
OK = b"\0\0\0\2\0\0\0"
NO = b"\xff\x15\x04#28000Access denied for user"
PASSWORD = "s\u00e9cret and rather long, longer than the salt"


def greeting(plugin: bytes) -> bytes:
    low, high = b"\x08\xa2", b"\x08\x00"
    body = b"\x0a8.4.3\0" + b"\1\0\0\0" + SALT[:8] + b"\0" + low + b"\x2d\2\0" + high
    return body + b"\x15" + b"\0" * 10 + SALT[8:] + b"\0" + plugin + b"\0"


class Server:
    """MySQL as far as its logins go; ``heard`` is all that the client sent."""

    def __init__(self, plugin: str, *, cached: bool = False, sends_key: bool = True) -> None:
        self.plugin = plugin
        self.cached = cached
        self.sends_key = sends_key
        self.heard = b""
        self._number = 0

    async def converse(self, reader: Reader, writer: Writer) -> None:
        self._streams = reader, writer
        first = b"caching_sha2_password" if self.plugin[0] == "c" else b"mysql_native_password"
        self._number = 0
        self._say(greeting(first))
        await self._hear()
        good = await (self._caching() if self.plugin[0] == "c" else self._sha256())
        self._say(OK if good else NO)
        if good:
            for answer in ([OK], [OK], [b"\1", b"def", b"\xfe\0\0\2\0", b"\x011", b"\xfe\0\0\2\0"]):
                self._number = 0
                await self._hear()
                for body in answer:
                    self._say(body)
        writer.close()

    async def _caching(self) -> bool:
        if self.cached:
            kept = hashlib.sha256(hashlib.sha256(PASSWORD.encode()).digest()).digest()
            mixed = hashlib.sha256(kept + SALT).digest()
            once = hashlib.sha256(PASSWORD.encode()).digest()
            good = bytes(a ^ b for a, b in zip(once, mixed, strict=True)) in self.heard
            if good:
                self._say(b"\1\3")
            return good
        self._say(b"\1\4")
        return await self._whole(await self._hear(), b"\2")

    async def _sha256(self) -> bool:
        self._say(b"\xfesha256_password\0" + SALT + b"\0")
        return await self._whole(await self._hear(), b"\1")

    async def _whole(self, said: bytes, request: bytes) -> bool:
        if said == request:
            self._say(b"\1" + (PEM if self.sends_key else b"none"))
            said = await self._hear()
        if len(said) != 256:
            return False
        mixed = KEY.decrypt(said, OAEP)
        return bytes(a ^ b for a, b in zip(mixed, cycle(SALT), strict=False)) == (
            PASSWORD.encode() + b"\0"
        )

    def _say(self, body: bytes) -> None:
        self._streams[1].write(wire.packet(self._number, body))
        self._number += 1

    async def _hear(self) -> bytes:
        head = await self._streams[0].readexactly(4)
        assert head[3] == self._number & 0xFF
        self._number = head[3] + 1
        body = await self._streams[0].readexactly(int.from_bytes(head[:3], "little"))
        self.heard += body
        return body


async def look(bench: Any, server: Server, **options: Any) -> Any:
    port = await bench.raw(server.converse)
    options.setdefault("password", PASSWORD)
    result = await bench.look("mysql", dsn=f"mysql://u@127.0.0.1:{port}/d", **options)
    assert PASSWORD.encode() not in server.heard
    assert PASSWORD not in repr(result)
    return result


PLUGINS = ["caching_sha2_password", "sha256_password"]


@pytest.mark.parametrize("plugin", PLUGINS)
async def test_without_tls_or_a_key_the_password_is_not_sent(bench: Any, plugin: str) -> None:
    result = await look(bench, Server(plugin))

    assert result.reason is Reason.AUTH
    assert "needs TLS or its public key (server_public_key_file)" in result.error


@pytest.mark.parametrize("plugin", PLUGINS)
async def test_it_is_sent_under_the_key_of_a_file(bench: Any, plugin: str, tmp_path: Path) -> None:
    file = tmp_path / "public_key.pem"
    file.write_bytes(PEM)
    server = Server(plugin, sends_key=False)

    result = await look(bench, server, server_public_key_file=str(file))

    assert result.ok, result.error


@pytest.mark.parametrize("plugin", PLUGINS)
async def test_it_is_sent_under_the_servers_own_key_where_that_is_allowed(
    bench: Any, plugin: str
) -> None:
    good = await look(bench, Server(plugin), fetch_server_public_key=True)
    wrong = await look(bench, Server(plugin), fetch_server_public_key=True, password="wrong")
    odd = await look(bench, Server(plugin, sends_key=False), fetch_server_public_key=True)

    assert good.ok, good.error
    assert wrong.reason is Reason.AUTH
    assert "28000" in wrong.error
    assert odd.reason is Reason.PROTOCOL
    assert "sent no key" in odd.error


async def test_a_cached_password_needs_neither(bench: Any) -> None:
    server = Server("caching_sha2_password", cached=True)

    assert (await look(bench, server)).ok


@pytest.mark.parametrize(
    ("content", "message"), [(None, "cannot read"), (b"no key", "expected a public key as PEM")]
)
async def test_a_key_file_that_cannot_be_used_is_a_matter_of_configuration(
    bench: Any, tmp_path: Path, content: bytes | None, message: str
) -> None:
    file = tmp_path / "public_key.pem"
    if content is not None:
        file.write_bytes(content)

    result = await look(bench, Server("caching_sha2_password"), server_public_key_file=str(file))

    assert result.reason is Reason.CONFIG, result.error
    assert message in result.error
