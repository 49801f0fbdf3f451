"""Bytes of a known number from a connection.

Rule: what was not asked for yet stays in the kernel, but for a little, and a target that sends
very many very small messages does not keep the loop from others.
"""

from __future__ import annotations

import asyncio
from typing import Final

from cbmon.model import Reason
from cbmon.probes.addresses import Endpoint, SocketFile
from cbmon.probes.failure import ProbeError, words

BREATH: Final = 256
"""Messages after which the loop is let go."""


async def breathe(count: int) -> None:
    """Let others go on after every so many messages; ``count`` is how many there were."""
    if count % BREATH == 0:
        await asyncio.sleep(0)


def streams() -> tuple[asyncio.StreamReader, asyncio.StreamReaderProtocol]:
    """The end to read from, and the protocol to dial with."""
    reader = asyncio.StreamReader()
    return reader, asyncio.StreamReaderProtocol(reader)


def say(transport: asyncio.WriteTransport, data: bytes) -> None:
    """Send, unless the target has hung up: then what it said before is still to be heard."""
    if not transport.is_closing():
        transport.write(data)


async def exactly(
    reader: asyncio.StreamReader, size: int, endpoint: Endpoint | SocketFile
) -> bytes:
    """So many bytes; ProbeError (``protocol``) when the target ends before."""
    try:
        return await reader.readexactly(size)
    except asyncio.IncompleteReadError as error:
        raise ProbeError(Reason.PROTOCOL, f"{endpoint} closed the connection") from error
    except OSError as error:
        raise ProbeError(Reason.PROTOCOL, f"{endpoint} broke off: {words(error)}") from error
