"""Which event loop the daemon's processes run on.

Rule: the same for all of them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, if it is installed; asyncio's own loop does as well, only slower."""
    # libuv would tell epoll of every new connection by io_uring, which costs a seventh of a run.
    os.environ.setdefault("UV_USE_IO_URING", "0")
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        return None
    return uvloop.new_event_loop
