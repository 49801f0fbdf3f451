"""Bytes of a known number from a connection.

Rule: what was not asked for yet stays in the kernel, but for a little.
"""

from __future__ import annotations

import asyncio

from cbmon.model import Reason
from cbmon.probes.addresses import Endpoint, SocketFile
from cbmon.probes.failure import ProbeError, words


def streams() -> tuple[asyncio.StreamReader, asyncio.StreamReaderProtocol]:
    """The end to read from, and the protocol to dial with."""
    reader = asyncio.StreamReader()
    return reader, asyncio.StreamReaderProtocol(reader)


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
