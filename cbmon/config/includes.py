"""The files of a configuration: the one that is named and those it includes.

Rule: in a fixed order (a file, then what it includes, pattern by pattern, names sorted), each file
once. A file that cannot be read is told where it is named, and the others are read all the same.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cbmon.config.known import Memory, OutdatedError, Reading
from cbmon.config.nodes import Block, Items, value_place
from cbmon.config.problems import Place, Problems
from cbmon.config.reader import MAX_BYTES, read_yaml
from cbmon.config.words import kind, shown

if TYPE_CHECKING:
    from cbmon.config.model import CheckConfig

MAX_FILES: Final = 1000
MAX_NESTING: Final = 10
MAX_TOTAL_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A file that was read. ``file`` is its name in messages; of what ``reading`` has left out
    of it, ``root`` has nothing."""

    file: str
    path: Path
    root: Block
    reading: Reading
    made: list[CheckConfig | None] = field(default_factory=list)
    """What became of each check; None for one that has to be looked at each time."""

    @property
    def directory(self) -> Path:
        """What relative paths in it are relative to."""
        return self.path.absolute().parent


@dataclass(slots=True)
class Documents:
    """Every file that was read; ``complete`` is false when one of them could not be.

    ``files`` are their names in messages, ``paths`` their absolute paths; empty ones count.
    """

    found: list[Document] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)
    complete: bool = True


def read_documents(
    path: Path,
    *,
    environ: Mapping[str, str],
    problems: Problems,
    memory: Memory | None = None,
) -> Documents:
    """The file and all it includes, without the checks that are known.

    OutdatedError when what is known cannot be left out.
    """
    reader = _Includes(environ, problems, memory)
    reader.read(path, str(path), Place(str(path), 1, 1), ())
    return reader.documents


class _Includes:
    def __init__(
        self, environ: Mapping[str, str], problems: Problems, memory: Memory | None
    ) -> None:
        self._environ = environ
        self._problems = problems
        self._memory = memory
        self._seen: dict[Path, str] = {}
        self._bytes = 0
        self.documents = Documents()

    def read(self, path: Path, file: str, named_at: Place, chain: tuple[Path, ...]) -> None:
        """Read one file and then what it includes; ``named_at`` is told what is wrong with it."""
        data = self._data(path, file, named_at, "include" if chain else "")
        if data is None:
            self.documents.complete = False
            return
        self.documents.files.append(file)
        self.documents.paths.append(path.absolute())
        before = self._problems.count
        memory, parent = self._memory, path.absolute().parent
        reading = Reading(data) if memory is None else memory.reading(data, parent)
        root = read_yaml(
            reading.data,
            file,
            environ=self._environ,
            problems=self._problems,
            trail=reading.trail,
        )
        if not reading.fits(root):
            raise OutdatedError
        if root is None:
            broken = self._problems.count > before
            self.documents.complete &= not broken
            if not broken and not chain:
                self._problems.add(Place(file, 1, 1), "", "the file is empty")
            return
        document = Document(file=file, path=path, root=root, reading=reading)
        self.documents.found.append(document)
        self._include(document, (*chain, path.resolve()))

    def _data(self, path: Path, file: str, named_at: Place, key: str) -> bytes | None:
        if path.is_fifo() or path.is_socket():
            self._problems.add(named_at, key, f"cannot read {shown(file)}: it is no regular file")
            return None
        try:
            with path.open("rb") as stream:
                data = stream.read(MAX_BYTES + 1)
        except OSError as error:
            message = f"cannot read {shown(file)}: {error.strerror}"
            self._problems.add(named_at, key, message)
            return None
        self._bytes += len(data)
        if self._bytes > MAX_TOTAL_BYTES:
            message = f"the files are larger than {MAX_TOTAL_BYTES >> 20} MiB together"
            self._problems.add(named_at, key, message)
            return None
        return data

    def _include(self, document: Document, chain: tuple[Path, ...]) -> None:
        patterns = document.root.get("include")
        if patterns is None:
            return
        if not isinstance(patterns, Items):
            place = value_place(document.root, "include")
            message = f"expected a list of file patterns, got {kind(patterns)}"
            self._problems.add(place, "include", message)
            return
        for index, pattern in enumerate(patterns):
            place = value_place(patterns, index)
            if isinstance(pattern, str) and pattern and "\0" not in pattern:
                self._pattern(document, pattern, place, chain)
            else:
                message = f"expected a file pattern, got {kind(pattern)}"
                self._problems.add(place, f"include[{index}]", message)

    def _pattern(
        self, document: Document, pattern: str, place: Place, chain: tuple[Path, ...]
    ) -> None:
        base = os.path.dirname(document.file)  # noqa: PTH120 - as it was written, not normalised
        names = [pattern]
        if glob.has_magic(pattern):
            full = str(document.directory / pattern)
            found = glob.glob(full, recursive=True)  # noqa: PTH207 - leaves out hidden files
            names = sorted(os.path.relpath(name, document.directory) for name in found)
        for name in names:
            path = document.directory / name
            problem = self._objection(path, chain)
            if problem:
                self._problems.add(place, "include", problem)
                continue
            file = os.path.join(base, name)  # noqa: PTH118 - as it was written, not normalised
            self._seen[path.resolve()] = file
            self.read(path, file, place, chain)

    def _objection(self, path: Path, chain: tuple[Path, ...]) -> str:
        real = path.resolve()
        if real in chain:
            names = " → ".join(one.name for one in (*chain[chain.index(real) :], real))
            return f"files include each other in a circle: {names}"
        if real in self._seen:
            return f"{shown(str(path.name))} is included already"
        if len(self._seen) >= MAX_FILES:
            return f"more than {MAX_FILES} files"
        if len(chain) > MAX_NESTING:
            return f"files include each other more than {MAX_NESTING} levels deep"
        return ""
