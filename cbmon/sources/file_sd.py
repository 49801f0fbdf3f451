"""Targets from files, as Prometheus' file_sd_configs reads them.

Rule: all files together are one list. One that is broken or that is named and missing, and a
pattern that nothing matches, make the whole list an error.
"""

from __future__ import annotations

import asyncio
import glob
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic import Field, field_validator

from cbmon.config.fields import Duration, LocalPath, Options
from cbmon.config.placeholders import Target
from cbmon.config.problems import Problems
from cbmon.config.reader import read_list
from cbmon.exports.base import ExportEnvironment
from cbmon.exports.offload import offload
from cbmon.sources.base import MAX_BYTES, SourceError, SourceType, targets_of

MAX_FILES: Final = 1000
SUFFIXES: Final = frozenset({".json", ".yml", ".yaml"})


class FileSdOptions(Options):
    """Targets from JSON or YAML files."""

    files: tuple[LocalPath, ...] = Field(
        min_length=1,
        description="Files, or patterns with * in the last part, that end in .json, .yml or .yaml.",
    )
    refresh_interval: Duration = Field(30.0, description="How often the files are looked at.")

    @field_validator("files")
    @classmethod
    def _readable(cls, files: tuple[Path, ...]) -> tuple[Path, ...]:
        for path in files:
            if path.suffix not in SUFFIXES:
                raise ValueError(f"expected a name that ends in .json, .yml or .yaml, got {path}")
            if glob.has_magic(str(path.parent)):
                raise ValueError(f"expected * in the last part only, got {path}")
        return files


async def read(options: FileSdOptions, _environment: ExportEnvironment) -> list[Target]:
    """Every target of the files; SourceError."""
    return await asyncio.shield(offload(lambda: _read_all(options), "read file_sd"))


def _read_all(options: FileSdOptions) -> list[Target]:
    return [target for path in _paths(options) for target in _read(path)]


def _paths(options: FileSdOptions) -> Iterator[Path]:
    found: dict[Path, None] = {}
    for path in options.files:
        if not glob.has_magic(path.name):
            found[path] = None
            continue
        matches = sorted(path.parent.glob(path.name))
        if not matches:
            raise SourceError(f"{path}: nothing matches")
        found.update(dict.fromkeys(matches))
    if len(found) > MAX_FILES:
        raise SourceError(f"more than {MAX_FILES} files")
    yield from found


def _read(path: Path) -> list[Target]:
    try:
        if not path.is_file():
            raise SourceError(f"{path}: there is no such file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}") from error
    if len(data) > MAX_BYTES:
        raise SourceError(f"{path}: larger than {MAX_BYTES >> 20} MiB")
    return targets_of(_parsed(path, data), str(path))


def _parsed(path: Path, data: bytes) -> object:
    if path.suffix != ".json":
        problems = Problems()
        found = read_list(data, str(path), problems)
        if told := problems.take():
            raise SourceError(str(told[0]))
        return found
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path}: no JSON: {error}") from error


TYPE: Final = SourceType(
    name="file_sd",
    options=FileSdOptions,
    shown=lambda options: ", ".join(str(path) for path in options.files),
    read=read,
    refresh_interval=lambda options: options.refresh_interval,
)
