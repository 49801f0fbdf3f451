"""What a kind of receiver is, and what all of them share.

Rule: one HTTP client for the process; a receiver keeps nothing between deliveries that a restart
would miss.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import aiohttp

from cbmon.config.fields import Options
from cbmon.interfaces import Clock, Receiver
from cbmon.model import Message
from cbmon.notify.receipts import Receipts

OptionsT = TypeVar("OptionsT", bound=Options)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverType(Generic[OptionsT]):
    """A kind: its options, its target in words without secrets, and how to make one."""

    name: str
    options: type[OptionsT]
    target: Callable[[OptionsT], str]
    timeout: Callable[[OptionsT], float]
    """Seconds that one delivery may take."""
    build: Callable[[OptionsT, ReceiverEnvironment], Receiver]
    render: Callable[[OptionsT, Message], str] | None = None
    """What would be sent for a message, as text without secrets; None when there is no such."""
    grouped: bool = True
    """False for a receiver that puts alerts together itself: it gets each outage at once, by
    itself, and no reminders or digests."""


class ReceiverEnvironment:
    """What receivers share; one per daemon."""

    def __init__(self, *, clock: Clock, version: str = "") -> None:
        self.clock = clock
        self.receipts = Receipts()
        self.user_agent = f"cbmon/{version}" if version else "cbmon"
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The HTTP client; made when it is first used, on the running loop."""
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                # Each line has one delivery in flight; a limit would make it wait for others'.
                connector=aiohttp.TCPConnector(resolver=aiohttp.AsyncResolver(), limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": self.user_agent},
                timeout=aiohttp.ClientTimeout(total=None),
                auto_decompress=False,
                skip_auto_headers=("Accept-Encoding",),
            )
        return self._session

    async def close(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


AnyReceiverType = ReceiverType[Any]
