"""Tells a receiver that forgets again and again what goes on.

Rule: level-triggered, past the outbox. What is repeated is what the line was told, so nothing is
told here first, and nothing is written.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from cbmon.errors import StoreError
from cbmon.interfaces import Clock, Store
from cbmon.logs import fields
from cbmon.model import MessageState
from cbmon.notify.endpoint import Repeating, Standing
from cbmon.notify.messages import singles
from cbmon.notify.waiting import Waiter

log = logging.getLogger(__name__)

RECALLED: Final = 1000
"""Delivered messages that are looked through for ends after a start."""


class Keeper:
    """Repeats for one receiver; owned by its line."""

    def __init__(
        self,
        line: str,
        receiver: Repeating,
        *,
        standing: Standing,
        store: Store,
        clock: Clock,
        wait: Waiter,
    ) -> None:
        self._line = line
        self._receiver = receiver
        self._standing = standing
        self._store = store
        self._clock = clock
        self._wait = wait
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin with a repetition at once."""
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._run(), name=f"notify keeper {self._line}")

    async def stop(self) -> None:
        """End in the middle of whatever it does: it is all told again after the next start."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _run(self) -> None:
        never = asyncio.Event()
        recalled = False
        while True:
            try:
                recalled = recalled or await self._recall()
                await self._receiver.repeat(self._standing)
            except Exception:
                # Whatever is wrong with it, the next repetition may be right.
                log.exception("not told again", extra=fields(receiver=self._line))
            await self._wait(never, self._receiver.every)

    async def _recall(self) -> bool:
        """What ended shortly before this process began; False to try that again."""
        since = self._clock.time() - self._receiver.remembers
        try:
            found = await self._store.messages(
                receiver=self._line, state=MessageState.DELIVERED, limit=RECALLED
            )
        except StoreError as error:
            log.debug("ends not recalled", extra=fields(receiver=self._line, error=error))
            return False
        for message in reversed(found):
            for one in singles(message):
                if (one.body.get("ended_at") or 0.0) > since:
                    self._receiver.recall(one)
        return True
