"""Runs one blocking call in a thread that nobody has to wait for.

Rule: a file system that hangs may keep its own thread, never the event loop, the pool that others
share, or the end of the process (threads of a pool are joined there; a daemon thread is not).
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def offload(function: Callable[[], T], name: str) -> asyncio.Future[T]:
    """Start ``function`` in a thread called ``name``; the future has what it returns or raises.

    Cancelling the future leaves the thread running: see :func:`asyncio.shield`.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def work() -> None:
        error: Exception | None = None
        value: T | None = None
        try:
            value = function()
        except Exception as raised:  # noqa: BLE001 - carried over to whoever awaits the future
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody is waiting
            loop.call_soon_threadsafe(_settle, future, value, error)

    threading.Thread(target=work, name=name, daemon=True).start()
    return future


def _settle(future: asyncio.Future[T], value: T | None, error: Exception | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(value)  # type: ignore[arg-type]
