"""From a path to a configuration, or to everything that is wrong with it.

Rule: nothing outside is touched but the files that are named; secret files are read when they are
used, not here.
"""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cbmon.config.build import build
from cbmon.config.includes import Documents, read_documents
from cbmon.config.known import Memory, OutdatedError, sections_of
from cbmon.config.model import Config, ConfigTypes
from cbmon.config.problems import ConfigError, Problems


def load_config(
    path: Path, *, types: ConfigTypes, environ: Mapping[str, str] = os.environ
) -> Config:
    """Read, check and resolve the file and all it includes.

    ``types`` are the kinds of checks, exports and receivers that there are; ``environ`` is what
    ``${NAME}`` refers to. ConfigError has every problem, sorted by place; ConfigurationError when
    PyYAML lacks libyaml.
    """
    with _quiet_collector():
        return _load(path, types, environ, None)[0]


class Loader:
    """Loads one configuration again and again; what has not changed is not looked at again.

    Each load gives what :func:`load_config` would. Not for two threads at a time.
    """

    def __init__(
        self, path: Path, *, types: ConfigTypes, environ: Mapping[str, str] = os.environ
    ) -> None:
        self._path = path
        self._types = types
        self._environ = environ
        self._memory = Memory()

    def load(self) -> Config:
        """The configuration as it is now; raises as :func:`load_config` does."""
        memory, environ = self._memory, self._environ
        same = all(environ.get(name) == value for name, value in memory.variables.items())
        with _quiet_collector():
            if memory.checks and same:
                with contextlib.suppress(ConfigError, OutdatedError):
                    return self._loaded(memory)
            return self._loaded(Memory())

    def _loaded(self, memory: Memory) -> Config:
        environ = _Environment(self._environ)
        config, documents = _load(self._path, self._types, environ, memory)
        sections = sections_of([one.root for one in documents.found])
        if memory.checks and sections != memory.sections:
            raise OutdatedError
        self._memory = Memory()
        self._memory.variables = memory.variables | environ.asked
        self._memory.sections = sections
        for one in documents.found:
            self._memory.checks |= one.reading.learn(one.root, one.made)
        return config


class _Environment(dict[str, str]):
    """Variables, and which of them were asked for."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__(environ)
        self.asked: dict[str, str | None] = {}

    def get(self, name: str, default: Any = None) -> Any:
        """The variable's value, remembered."""
        value = self.asked[name] = super().get(name)
        return default if value is None else value


def _load(
    path: Path, types: ConfigTypes, environ: Mapping[str, str], memory: Memory | None
) -> tuple[Config, Documents]:
    problems = Problems()
    documents = read_documents(path, environ=environ, problems=problems, memory=memory)
    config = build(documents, types, problems, path)
    problems.check(documents.files)
    return config, documents


@contextmanager
def _quiet_collector() -> Iterator[None]:
    """Half a million new objects and no garbage: collecting meanwhile costs a third of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
