"""Named steps: started in order, stopped last-in first-out under one deadline.

Rule: a step that fails is named. At start, what already runs is stopped again; at stop, the
rest still stops.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from cbmon.errors import CbmonError, StartupError
from cbmon.logs import fields

log = logging.getLogger(__name__)

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
            except Exception:
                clean = False
                log.exception("step failed to stop", extra=fields(step=name))
            else:
                log.debug("step stopped", extra=fields(step=name))
        return clean
