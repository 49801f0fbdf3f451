"""Rule: an SSH server says which version it speaks, and that is all that is asked of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cbmon import __version__
from cbmon.model import Reason


async def told(bench: Any, said: bytes, **options: Any) -> tuple[Any, bytes]:
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        if said.endswith(b"!"):
            writer.write_eof()
        try:
            heard.set_result(await reader.read(100))
        except OSError:
            heard.set_result(b"")
        writer.close()

    port = await bench.raw(server)
    result = await bench.look("ssh", address=f"127.0.0.1:{port}", **options)
    return result, await asyncio.wait_for(heard, 2)


async def test_a_server_says_its_version_and_hears_ours(bench: Any) -> None:
    result, heard = await told(
        bench, b"SSH-2.0-OpenSSH_9.2p1\r\n\0\0", expect={"matches": "^SSH-2.0-OpenSSH_9.2p1$"}
    )

    assert result.ok, result.error
    assert result.facts["server"] == "SSH-2.0-OpenSSH_9.2p1"
    assert heard == f"SSH-2.0-cbmon_{__version__}\r\n".encode()


@pytest.mark.parametrize("said", [b"SSH-1.99-old\n", b"Welcome\r\nto us\r\nSSH-2.0-x\r\n"])
async def test_other_lines_and_old_names_may_come(said: bytes, bench: Any) -> None:
    result, _ = await told(bench, said)

    assert result.ok, result.error


@pytest.mark.parametrize(
    ("reason", "error", "said"),
    [
        (Reason.BODY, "expected a match for 'OpenSSH'", b"SSH-2.0-dropbear\r\n"),
        (Reason.PROTOCOL, "expected version 2 of SSH", b"SSH-1.5-old\r\n"),
        (Reason.PROTOCOL, "expected version 2 of SSH", b"SSH-2.0-" + b"x" * 300 + b"\r\n"),
        (Reason.PROTOCOL, "50 lines without its version", b"hello\r\n" * 60),
        (Reason.PROTOCOL, 'closed the connection after "Exceeded!"', b"Exceeded!"),
        (Reason.PROTOCOL, "closed the connection without a word", b""),
    ],
)
async def test_what_is_no_good_server_is_told(
    reason: Reason, error: str, said: bytes, bench: Any
) -> None:
    if not said:

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        port = await bench.raw(silent)
        result = await bench.look("ssh", address=f"127.0.0.1:{port}")
    else:
        result, _ = await told(bench, said, expect={"matches": "OpenSSH"})

    assert result.reason is reason, result.error
    assert error in result.error
