"""Writes the metrics into a file, for node_exporter's textfile collector to read.

Rule: a reader sees the old file or the new one, whole. The collector puts its own metrics beside
what it reads and refuses a name that is there twice, so the daemon's process figures stay out.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, field_validator

from cbmon.config.fields import LocalPath, Options
from cbmon.exports.base import ExportEnvironment, ExportType
from cbmon.exports.families import FamilyPrefix, kept
from cbmon.exports.offload import offload
from cbmon.interfaces import Attempt, Exposition
from cbmon.logs import fields
from cbmon.model import Reason, Result

log = logging.getLogger(__name__)

MODE: Final = 0o644
CLOSE_TIMEOUT: Final = 2.0


class TextfileOptions(Options):
    """Metrics into a file for node_exporter's textfile collector."""

    path: LocalPath = Field(
        description="The file, in the collector's directory; its name ends in .prom."
    )
    exclude: tuple[FamilyPrefix, ...] = Field(
        ("process_", "python_"),
        description="Leave out metrics whose name begins with one of these. The default keeps "
        "them from meeting node_exporter's own.",
    )
    fsync: bool = Field(
        False,
        description="Wait for the disk before the file is replaced, so that a power cut cannot "
        "leave it empty.",
    )
    delete_on_close: bool = Field(
        False,
        description="Delete the file when cbmon stops, so that nobody takes old figures for new.",
    )
    when_open: Literal["hold", "drop"] = Field(
        "hold",
        description="What becomes of the last figures while the breaker is open: hold leaves the "
        "file, drop deletes it.",
    )

    @field_validator("path")
    @classmethod
    def _readable_by_the_collector(cls, path: Path) -> Path:
        if path.suffix != ".prom" or path.name == ".prom":
            raise ValueError(f'expected a file name that ends in ".prom", got "{path.name}"')
        return path


class TextfileExport:
    """Replaces one file by the present metrics at each run."""

    def __init__(self, options: TextfileOptions) -> None:
        self._options = options
        self._writing: asyncio.Future[int] | None = None

    async def run(self, attempt: Attempt, exposition: Exposition) -> Result:
        """Write once; an :class:`Attempt` cut off leaves the old file or the new one."""
        if self._writing is not None and not self._writing.done():
            return attempt.failed(Reason.TIMEOUT, "the previous write is still going on")
        write = partial(_write, self._options, await exposition.render())
        self._writing = offload(write, f"write {self._options.path.name}")
        try:
            attempt.facts["bytes"] = await asyncio.shield(self._writing)
        except OSError as error:
            return attempt.failed(Reason.CONFIG, _explained(self._options.path, error))
        return attempt.passed()

    async def collect(self, _exposition: Exposition) -> None:
        """The breaker is open: delete the file if that is wanted."""
        if self._options.when_open == "drop" and (self._writing is None or self._writing.done()):
            await self._delete()

    async def close(self) -> None:
        """Wait shortly for a write that is going on; delete the file if that is wanted."""
        if self._writing is not None:
            await asyncio.wait([self._writing], timeout=CLOSE_TIMEOUT)
        if self._options.delete_on_close:
            await self._delete()

    async def _delete(self) -> None:
        deleting = offload(partial(self._options.path.unlink, missing_ok=True), "delete textfile")
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await deleting
        except OSError as error:  # TimeoutError is one too
            path = str(self._options.path)
            log.warning("textfile not deleted", extra=fields(path=path, error=str(error)))


def _write(options: TextfileOptions, text: bytes) -> int:
    """Blocking: beside the file, then over it. How many bytes were written."""
    parts = kept(text, options.exclude)
    # Hidden and not *.prom, so that the collector never reads it; one name, so that crashes
    # leave one behind at most; made anew each time, so that nobody's link is written through.
    beside = options.path.with_name(f".{options.path.name}.tmp")
    beside.unlink(missing_ok=True)
    try:
        _write_new(beside, parts, sync=options.fsync)
        beside.replace(options.path)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    if options.fsync:
        _sync_directory(options.path.parent)
    return sum(map(len, parts))


def _write_new(path: Path, parts: Iterable[memoryview], *, sync: bool) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
    with open(descriptor, "wb", buffering=0) as file:  # noqa: PTH123 - from a descriptor
        os.fchmod(descriptor, MODE)  # whatever the umask is, the collector may read
        for part in parts:
            rest = part
            while rest:
                rest = rest[file.write(rest) :]
        if sync:
            os.fsync(descriptor)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explained(path: Path, error: OSError) -> str:
    return f"cannot write {path}: {error.strerror or error}"


def build(
    options: TextfileOptions, _environment: ExportEnvironment, _name: str = "textfile"
) -> TextfileExport:
    """The export of these options."""
    return TextfileExport(options)


TYPE: Final = ExportType(
    name="textfile",
    options=TextfileOptions,
    target=lambda options: str(options.path),
    build=build,
)
