"""What an export type is made of, and what all exports of a daemon share.

Rule: one HTTP session for all of them, made at the first push and closed with the daemon; an
export holds no connection between runs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable
from urllib.parse import quote
from zlib import crc32

import aiohttp

from cbmon import __version__
from cbmon.backlog import Backlog
from cbmon.breaker import SystemClock
from cbmon.config.fields import Options
from cbmon.exports.leftovers import sweep
from cbmon.exports.offload import offload
from cbmon.exports.phases import phase_tracing
from cbmon.exports.tls import TlsContexts
from cbmon.interfaces import Clock, Export, Exposition
from cbmon.logs import fields

log = logging.getLogger(__name__)

USER_AGENT: Final = f"cbmon/{__version__}"


class ExportEnvironment:
    """What exports share: the HTTP session and the TLS contexts. Made anywhere, used on one loop.

    A push that finds its server dead must say so at once, so connections are not kept from one
    push to the next: a kept one would be found dead only after the push was written into it.
    """

    def __init__(self, *, clock: Clock | None = None, data: Path | None = None) -> None:
        """``data`` is the directory for what survives a restart."""
        clock = SystemClock() if clock is None else clock
        self.wall = clock.time
        self.started_at = clock.time()
        self.tls = TlsContexts()
        self.data = data
        self._backlogs: dict[str, Backlog] = {}
        self._spools: set[Path] = set()
        self._session: aiohttp.ClientSession | None = None

    def backlog(self, name: str) -> Backlog:
        """The numbers of the export of that name; the same object each time."""
        return self._backlogs.setdefault(name, Backlog())

    def spool_of(self, name: str, configured: Path | None) -> Path | None:
        """The directory for what that export keeps; None, after a warning, if there is none."""
        parent = configured or (self.data and self.data / "spool")
        if parent is None:
            hint = "set spool.directory, or what waits is lost at a restart"
            log.warning("no directory for the spool", extra=fields(export=name, hint=hint))
            return None
        self._spools.add(parent)
        return parent / _folder(name)

    async def sweep(self, names: Iterable[str]) -> None:
        """Delete old spools of exports that are not among these names any more."""
        folders = [_folder(name) for name in names]
        parents = {*self._spools, *([self.data / "spool"] if self.data else [])}
        used = {parent / folder for parent in parents for folder in folders}
        await offload(lambda: sweep(parents, used, self.wall()), "spools of old exports")

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
                skip_auto_headers=("Accept-Encoding",),
            )
        return self._session

    async def close(self) -> None:
        """Close the session; a later use opens another."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


def _folder(name: str) -> str:
    plain = quote(name, safe=" ")[:100]
    return f"{plain}-{crc32(name.encode()):08x}"


@runtime_checkable
class Keeping(Protocol):
    """An export that does something about the metrics of a time in which its breaker is open."""

    async def collect(self, exposition: Exposition) -> None:
        """Instead of a run. Cancelled at the deadline by the caller; raises nothing else."""
        ...


class Build(Protocol):
    """Makes an export from the options of its type; ``name`` is the configured one."""

    def __call__(self, options: Any, environment: ExportEnvironment, name: str = ..., /) -> Export:
        """The export."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportType:
    """One type of export, as its module describes it.

    ``target`` gives the text that names an export's destination in lists and messages; it holds
    no secret. ``build`` makes an export from its options; it does no IO.
    """

    name: str
    options: type[Options]
    target: Callable[[Any], str]
    build: Build
