"""Looks whether cbmon itself is cut off, and tells a dead man's switch that it is not.

Rule: cut off is when not one of the reference targets takes a connection; one that does is enough.
Each is one task that its owner stops, every look has its deadline, and neither ever raises.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from cbmon.config.fields import HostPort
from cbmon.config.notifying import HeartbeatSection, IsolationSection
from cbmon.errors import CbmonError
from cbmon.logs import fields
from cbmon.notify.receivers.answers import FAILURES
from cbmon.notify.receivers.http import url_from
from cbmon.notify.receivers.kind import ReceiverEnvironment
from cbmon.notify.waiting import Waiter, until

log = logging.getLogger(__name__)

LOOKS: Final = 2
"""Looks in a row that must agree before anything changes."""


async def reachable(target: HostPort) -> bool:
    """Whether the address takes a TCP connection."""
    try:
        _, writer = await asyncio.open_connection(target.host, target.port)
    except OSError:
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


class Guard:
    """Watches the reference targets; ``told`` hears of each change."""

    def __init__(
        self,
        section: IsolationSection,
        told: Callable[[bool], None],
        *,
        wait: Waiter = until,
        isolated: bool = False,
    ) -> None:
        self._section = section
        self._told = told
        self._wait = wait
        self._isolated = isolated
        self._others = 0

    async def run(self) -> None:
        """Look again and again."""
        never = asyncio.Event()
        while True:
            await self.look()
            await self._wait(never, self._section.interval)

    async def look(self) -> None:
        """One look; a change is told when two looks agree."""
        isolated = not await self._any_answers(self._section.targets)
        if isolated is self._isolated:
            self._others = 0
            return
        self._others += 1
        if self._others < LOOKS:
            return
        self._isolated, self._others = isolated, 0
        level = logging.ERROR if isolated else logging.INFO
        said = "cut off: no reference target answers" if isolated else "no longer cut off"
        log.log(level, said, extra=fields(targets=len(self._section.targets)))
        self._told(isolated)

    async def _any_answers(self, targets: Sequence[HostPort]) -> bool:
        looks = [asyncio.ensure_future(reachable(target)) for target in targets]
        try:
            async with asyncio.timeout(self._section.timeout):
                for look in asyncio.as_completed(looks):
                    if await look:
                        return True
        except TimeoutError:
            return False
        finally:
            for one in looks:
                one.cancel()
            await asyncio.wait(looks)
        return False


class Heart:
    """Beats: asks the address of a dead man's switch again and again."""

    def __init__(
        self, section: HeartbeatSection, environment: ReceiverEnvironment, *, wait: Waiter = until
    ) -> None:
        self._section = section
        self._environment = environment
        self._wait = wait
        self._failing = False

    async def run(self) -> None:
        """Beat again and again."""
        never = asyncio.Event()
        while True:
            await self.beat()
            await self._wait(never, self._section.interval)

    async def beat(self) -> bool:
        """One beat; whether it was heard. A failure is logged once, then when it is over."""
        error = await self._ask()
        if error is not None and not self._failing:
            log.warning("heartbeat not heard", extra=fields(error=error))
        if error is None and self._failing:
            log.info("heartbeat heard again")
        self._failing = error is not None
        return error is None

    async def _ask(self) -> str | None:
        try:
            url = url_from(self._section.url, self._section.url_file)
            async with (
                asyncio.timeout(self._section.timeout),
                self._environment.session.get(url, allow_redirects=False) as response,
            ):
                return None if response.status < 300 else f"answered {response.status}"
        except TimeoutError:
            return "no answer in time"
        except (CbmonError, *FAILURES) as error:
            # Not its text: it may hold the address, which is a secret.
            return type(error).__name__
