"""An export of samples: takes them at each run, and hands them on in order.

Rule: the form of a request is the encoder's, its way the delivery's; here is only when each has its
turn. While the breaker is open samples are taken all the same, unless the user wants otherwise.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

from cbmon.exports.base import ExportEnvironment
from cbmon.exports.batch import Batch
from cbmon.exports.delivery import BusyError, Delivery, Judge
from cbmon.exports.families import without
from cbmon.exports.posting import Answer, post
from cbmon.exports.spooling import SamplesOptions, queue_for
from cbmon.interfaces import Attempt, Exposition
from cbmon.logs import fields
from cbmon.model import Reason, Result

log = logging.getLogger(__name__)

CLOSE_TIMEOUT: Final = 3.0


class Encoder(Protocol):
    """Makes request bodies. It remembers the series that it told last; it may block."""

    headers: dict[str, str]
    """What the server must know of a body."""

    def batches(self, exposition: bytes, at: int) -> list[Batch]:
        """The samples of the Unix time ``at`` in milliseconds, and the end of series gone."""
        ...

    def farewell(self, at: int) -> list[Batch]:
        """The end of every series."""
        ...


class SamplesExport:
    """Sends the present samples at each run, after those that wait."""

    def __init__(
        self,
        options: SamplesOptions,
        environment: ExportEnvironment,
        name: str,
        *,
        encoder: Encoder,
        judge: Judge,
    ) -> None:
        self._options = options
        self._environment = environment
        self._name = name
        self._encoder = encoder
        self._well = False
        self._at = 0
        self._delivery = Delivery(
            queue_for(options, environment, name),
            environment.backlog(name),
            name=name,
            max_age=options.spool.max_age,
            post=self._post,
            judge=judge,
            wall=environment.wall,
        )

    async def run(self, attempt: Attempt, exposition: Exposition) -> Result:
        """Take the samples and send what waits; ``facts``: requests, samples, status, waiting."""
        self._well = False
        try:
            await self._take(exposition)
            result = await self._delivery.flush(attempt)
            if not result.ok:
                await self._delivery.settle()  # a kill before the next run loses nothing
        except BusyError as error:
            return attempt.failed(Reason.TIMEOUT, str(error))
        self._well = result.ok
        return result

    async def collect(self, exposition: Exposition) -> None:
        """The breaker is open: keep the samples of now, or give up what waits."""
        self._well = False
        try:
            if self._options.when_open == "drop":
                await self._delivery.give_up()
            else:
                await self._take(exposition)
                await self._delivery.settle()
        except BusyError as error:
            log.warning("samples not kept", extra=fields(export=self._name, error=str(error)))

    async def close(self) -> None:
        """Tell the end of every series, if the server is well, and put aside what is left."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._add(self._encoder.farewell)
                if self._well:
                    loop = asyncio.get_running_loop()
                    await self._delivery.flush(Attempt(loop.time, CLOSE_TIMEOUT / 2))
                await self._delivery.settle()
        except (TimeoutError, BusyError) as error:
            why = str(error) or "no time left"
            log.warning("samples not sent at the end", extra=fields(export=self._name, error=why))

    async def _take(self, exposition: Exposition) -> None:
        text = await exposition.render()
        exclude, encoder = self._options.exclude, self._encoder
        await self._add(lambda at: encoder.batches(without(text, exclude), at))

    async def _add(self, made: Callable[[int], list[Batch]]) -> None:
        at = int(self._environment.wall() * 1000)
        if at == self._at:
            at += 1  # a series has one sample at a moment
        self._at = at
        await self._delivery.add(lambda: made(at))

    async def _post(self, body: bytes, attempt: Attempt, timeout: float) -> Answer:
        return await post(
            self._environment,
            self._options,
            body,
            self._encoder.headers,
            attempt=attempt,
            timeout=timeout,
        )
