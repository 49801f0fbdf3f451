"""How the C library hands out memory: set once in a process that lives for months.

Rule: what is large goes back to the system when it is given up. By itself, glibc maps fewer and
fewer pieces on their own, up to 32 MiB, each time that a large one is freed, and gives every
thread an arena of its own; what scrapes and writes took for a moment then stays behind as holes,
some megabytes more every hour. See ``mallopt(3)``.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from typing import Final

MAPPED_FROM: Final = 128 * 1024
"""Bytes from which a piece is mapped by itself: where glibc begins, and stays from now on."""
ARENAS: Final = 1
"""Of the C library; Python's objects have theirs, and threads here seldom work at once."""
_SETTINGS: Final = (
    ("MALLOC_MMAP_THRESHOLD_", -3, MAPPED_FROM),
    ("MALLOC_ARENA_MAX", -8, ARENAS),
)
"""Variable by which the user may have set it, number of the parameter in ``malloc.h``, value."""


def keep_small(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Set the C library's allocator for a long life, before there are threads.

    Gives the names of what was set: nothing where the C library is not glibc, and not what the
    environment has set.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return ()
    return tuple(
        name
        for name, parameter, value in _SETTINGS
        if name not in environ and mallopt(parameter, value)
    )
