"""Named steps: started in order, stopped last-in first-out under one deadline.

Rule: a step that fails is named. At start, what already runs is stopped again; at stop, the
rest still stops.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from typing import Any, Final

from cbmon.errors import CbmonError, StartupError
from cbmon.logs import fields

log = logging.getLogger(__name__)

ONE_SIGNAL: Final = 0.1
"""Seconds within which a second signal is the same one: sent to a process and to its group."""

Action = Callable[[], Awaitable[None]]


class Lifecycle:
    """Runs the steps of one process."""

    def __init__(self) -> None:
        self._running: list[tuple[str, Action]] = []

    async def start(self, name: str, start: Action | None, stop: Action) -> None:
        """Carry out one step; its ``stop`` is remembered from before ``start`` is done.

        Raises StartupError naming the step when it fails for a reason that a person can mend;
        another error goes on as it is.
        """
        log.debug("step starts", extra=fields(step=name))
        self._running.append((name, stop))
        if start is None:
            return
        try:
            await start()
        except StartupError:
            raise
        except (CbmonError, OSError) as error:
            raise StartupError(f"{name}: {error}") from error

    async def stop(self, deadline: float) -> bool:
        """Stop every step in reverse; seconds for all together. Whether all stopped cleanly.

        A step that outlives the deadline is cancelled and named in the log; so is one that
        raises. The steps after it get a short moment each even then.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + deadline
        clean = True
        while self._running:
            name, stop = self._running.pop()
            try:
                async with asyncio.timeout(max(0.5, end - loop.time())):
                    await stop()
            except TimeoutError:
                clean = False
                log.error("step did not stop in time", extra=fields(step=name))  # noqa: TRY400
            except Exception:  # the steps below have to stop all the same
                clean = False
                log.exception("step failed to stop", extra=fields(step=name))
            else:
                log.debug("step stopped", extra=fields(step=name))
        return clean


def stop_on_signals(stopping: asyncio.Event, main: asyncio.Task[Any] | None) -> None:
    """SIGTERM and SIGINT set ``stopping``; a second one, at another moment, cancels ``main``."""
    loop = asyncio.get_running_loop()
    first = 0.0

    def stop(number: signal.Signals) -> None:
        nonlocal first
        log.info("signal received", extra=fields(signal=number.name))
        if not stopping.is_set():
            first = loop.time()
            stopping.set()
        elif main is not None and loop.time() - first > ONE_SIGNAL:
            main.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
