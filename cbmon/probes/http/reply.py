"""What a probe needs of an answer, whichever client has asked.

Rule: the head is there, the body is still to come; whoever has it must close it.
"""

from __future__ import annotations

from typing import Protocol

import aiohttp
from multidict import CIMultiDictProxy

from cbmon.probes.http.body import Body, receive
from cbmon.probes.http.client import Hop, trouble


class Reply(Protocol):
    """An answer whose head was read."""

    @property
    def status(self) -> int:
        """The status of the last answer; those before it were interim."""
        ...

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """Its headers, decoded; what is no UTF-8 is kept as surrogates."""
        ...

    @property
    def version(self) -> str:
        """Such as ``1.1``; empty when it is not known."""
        ...

    @property
    def whole(self) -> int | None:
        """Bytes of the body, if all of it is there already; else None."""
        ...

    async def receive(self, body: Body) -> None:
        """Read to the end into ``body``; ProbeError when that does not work out."""
        ...

    def close(self) -> None:
        """Drop the connection."""
        ...


class GeneralReply:
    """An answer that aiohttp has read."""

    def __init__(self, response: aiohttp.ClientResponse, hop: Hop) -> None:
        self._response = response
        self._hop = hop

    @property
    def status(self) -> int:
        """The status."""
        return self._response.status

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """The headers."""
        return self._response.headers

    @property
    def version(self) -> str:
        """The version."""
        found = self._response.version
        return "" if found is None else f"{found.major}.{found.minor}"

    @property
    def whole(self) -> None:
        """Nobody knows."""

    async def receive(self, body: Body) -> None:
        """Read to the end."""
        try:
            await receive(self._response.content, body)
        except (aiohttp.ClientError, OSError) as error:
            raise trouble(error, self._hop) from error

    def close(self) -> None:
        """Drop the connection."""
        self._response.close()
