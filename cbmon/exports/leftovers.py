"""Spools of exports that are configured no more.

Rule: what waits stays for a day, for an export that comes back; then it is deleted, because no
server takes samples that old. Only folders are touched that are named like a spool and hold nothing
but its bodies.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Final

from cbmon.exports.batch import entry_in
from cbmon.logs import fields

log = logging.getLogger(__name__)

KEPT: Final = 86_400.0
"""Seconds after its newest sample for which a spool is kept that no export uses."""
_NAME: Final = re.compile(r".+-[0-9a-f]{8}", re.DOTALL)


def sweep(parents: Iterable[Path], used: Collection[Path], now: float) -> list[Path]:
    """Delete the spools below these folders which nobody uses and are old; which they were.

    ``now`` is Unix time in seconds. Blocks; what cannot be deleted is said and left.
    """
    gone = []
    for folder in sorted({*_folders(parents)} - {*used}):
        files = _bodies(folder)
        if files is None or max(files.values(), default=0.0) > now - KEPT:
            continue
        try:
            for file in files:
                file.unlink(missing_ok=True)
            folder.rmdir()
        except OSError as error:
            log.warning("old spool not deleted", extra=fields(folder=folder, error=error.strerror))
        else:
            gone.append(folder)
            said = fields(folder=folder, requests=len(files))
            log.warning("spool of an export that is gone deleted", extra=said)
    return gone


def _folders(parents: Iterable[Path]) -> Iterator[Path]:
    for parent in parents:
        try:
            found = [each for each in parent.iterdir() if _NAME.fullmatch(each.name)]
            yield from (each for each in found if each.is_dir() and not each.is_symlink())
        except OSError:
            continue


def _bodies(folder: Path) -> dict[Path, float] | None:
    """The files of a spool and of when their samples are; None if it is none, or cannot be read."""
    found: dict[Path, float] = {}
    try:
        for file in folder.iterdir():
            entry = entry_in(file.name)
            if entry is None and file.suffix != ".part":
                return None
            found[file] = 0.0 if entry is None else entry.at / 1000
    except OSError:
        return None
    return found
