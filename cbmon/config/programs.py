"""Patterns of programs that may be started.

Rule: absolute paths only, and a ``*`` never crosses a "/", so that a pattern means what it seems
to mean however a path is written.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath


def checked_pattern(pattern: str) -> str:
    """The pattern as it is; ValueError if it is not absolute."""
    path = PurePosixPath(pattern)
    if not path.is_absolute() or ".." in path.parts or "**" in pattern:
        raise ValueError(
            'expected an absolute path, in whose names "*" may stand for a part, '
            "such as /usr/lib/nagios/plugins/*"
        )
    return pattern


def may_start(program: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns is for the program."""
    path = PurePosixPath(program)
    if not path.is_absolute() or ".." in path.parts:
        return False
    return any(path.match(pattern) for pattern in patterns)
