"""From a path to a configuration, or to everything that is wrong with it.

Rule: nothing outside is touched but the files that are named; secret files are read when they are
used, not here.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cbmon.config.build import build
from cbmon.config.includes import read_documents
from cbmon.config.model import Config, ConfigTypes
from cbmon.config.problems import Problems


def load_config(
    path: Path, *, types: ConfigTypes, environ: Mapping[str, str] = os.environ
) -> Config:
    """Read, check and resolve the file and all it includes.

    ``types`` are the kinds of checks, exports and receivers that there are; ``environ`` is what
    ``${NAME}`` refers to. ConfigError has every problem, sorted by place; ConfigurationError when
    PyYAML lacks libyaml.
    """
    problems = Problems()
    with _quiet_collector():
        documents = read_documents(path, environ=environ, problems=problems)
        config = build(documents, types, problems, path)
    problems.check(documents.files)
    return config


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
