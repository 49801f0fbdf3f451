"""What an export type is made of, and what all exports of a daemon share.

Rule: one HTTP session for all of them, made at the first push and closed with the daemon; an
export holds no connection between runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from cbmon import __version__
from cbmon.config.fields import Options
from cbmon.exports.phases import phase_tracing
from cbmon.exports.tls import TlsContexts
from cbmon.interfaces import Export

USER_AGENT: Final = f"cbmon/{__version__}"


class ExportEnvironment:
    """What exports share: the HTTP session and the TLS contexts. Made anywhere, used on one loop.

    A push that finds its server dead must say so at once, so connections are not kept from one
    push to the next: a kept one would be found dead only after the push was written into it.
    """

    def __init__(self) -> None:
        self.tls = TlsContexts()
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The shared session; needs a running loop."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=aiohttp.AsyncResolver(), force_close=True, use_dns_cache=False
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": USER_AGENT},
                trace_configs=[phase_tracing()],
                auto_decompress=False,
            )
        return self._session

    async def close(self) -> None:
        """Close the session; a later use opens another."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportType:
    """One type of export, as its module describes it.

    ``target`` gives the text that names an export's destination in lists and messages; it holds
    no secret. ``build`` makes an export from its options; it does no IO.
    """

    name: str
    options: type[Options]
    target: Callable[[Any], str]
    build: Callable[[Any, ExportEnvironment], Export]
