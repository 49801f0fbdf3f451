"""The files that tell the daemon what to do, read at its start and again at each reload.

Rule: all of them or none: what is wrong with one is raised before anything of another one counts.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cbmon.build import config_types
from cbmon.config import Config
from cbmon.config.load import Loader
from cbmon.logs import fields
from cbmon.options import RunOptions
from cbmon.web.exposure import web_config_of
from cbmon.web.webconfig import WebConfig

if TYPE_CHECKING:
    from cbmon.blackbox.file import ModuleFile

log = logging.getLogger(__name__)

TURN: Final = 0.0005
"""Seconds after which a thread that reads lets the event loop go on; Python's own 0.005 would be
added to each of the loop's callbacks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the files say."""

    config: Config
    modules: ModuleFile | None
    web_config: WebConfig | None


class Files:
    """The files of one daemon."""

    def __init__(self, options: RunOptions) -> None:
        self._options = options
        self._loader = Loader(options.config, types=config_types())

    def read(self) -> Told:
        """Read them; ConfigError with all that is wrong. Blocks: thousands of checks take a while,
        when they are new."""
        options, config = self._options, self._loader.load()
        log.debug("configuration read", extra=fields(hash=config.hash))
        return Told(
            config=config,
            modules=_modules(options.blackbox_config),
            web_config=web_config_of(config, options.web_config, options.listen),
        )

    async def read_again(self) -> Told:
        """The same in a thread, beside which the event loop goes on."""
        with _in_short_turns():
            return await asyncio.to_thread(self.read)


def _modules(path: Path | None) -> ModuleFile | None:
    if path is None:
        return None
    from cbmon.blackbox.file import load_modules  # noqa: PLC0415 - few have such a file

    return load_modules(path)


@contextmanager
def _in_short_turns() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(TURN)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
