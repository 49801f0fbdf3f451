"""One HTTP exchange as one call: from the request to the last byte of the answer.

Rule: a failing status is told at once; any other answer is held until its body has been read or
closed. Only waiting for the server is measured, not what the reader does between two pieces.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import ParamSpec, TypeVar

from cbmon.integrations.calls import HeldCall, Judge, awaited
from cbmon.integrations.http_rules import HttpRules, Watch
from cbmon.integrations.verdicts import ANSWERED, BODY

P = ParamSpec("P")
R = TypeVar("R")


class Exchange:
    """A held call with what is needed to judge its answer."""

    __slots__ = ("_held", "_judge", "_rules", "_watch")

    def __init__(self, held: HeldCall, judge: Judge, rules: HttpRules) -> None:
        self._held = held
        self._judge = judge
        self._rules = rules
        self._watch: Watch | None = None

    @property
    def timed(self) -> bool:
        """Whether the time between two pieces of the body is to be left out."""
        return self._held.timed

    @property
    def watch(self) -> Watch | None:
        """What reads the body along, if anything does."""
        return self._watch

    def headers(self, response: object, status: int, headers: Mapping[str, str]) -> bool:
        """The head of the answer is there; whether the call goes on with the body."""
        held, rules = self._held, self._rules
        verdict = held.said(response) or rules.verdict(status)
        if verdict is ANSWERED:
            if held.timed:
                held.pause()
            if rules.watch is not None:
                self._watch = rules.watch(headers)
            return held.open
        held.end(verdict, f"status {status}")
        seconds = rules.wait(status, headers, held.wall())
        if seconds is not None:
            held.refuse_for(seconds, f"status {status} with Retry-After")
        return False

    async def awaited(
        self, send: Callable[P, Awaitable[R]], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Await the answer's head, under the policy's ``call_timeout`` if it has one."""
        return await awaited(self._held, self._judge, send, *args, **kwargs)

    def raised(self, error: BaseException) -> None:
        """The request, or reading the body, raised."""
        self._held.raised(error, self._judge)

    def broken(self, error: str) -> None:
        """The body itself says that the server has failed."""
        self._held.end(BODY, error)

    def piece(self, data: bytes) -> None:
        """A piece of the body came."""
        watch = self._watch
        if watch is not None:
            watch.feed(data)
            if watch.failure is not None:
                self.broken(watch.failure)
            elif not watch.begun:
                return
        if self._held.timed:
            self._held.pause()

    def asked(self) -> None:
        """The reader waits for the next piece."""
        if self._held.timed and (self._watch is None or not self._watch.begun):
            self._held.resume()

    def over(self) -> None:
        """The body was read to its end, or the reader has seen enough and closed it."""
        self._held.answered()


def pieces(body: Iterator[bytes], exchange: Exchange) -> Iterator[bytes]:
    """A body that tells the exchange how it went."""
    if exchange.timed:
        return _followed(body, exchange)
    if exchange.watch is not None:
        exchange.watch.begun = True  # nobody measures, so it need not look for the beginning
        return _watched(body, exchange, exchange.watch)
    return _plain(body, exchange)


def pieces_async(body: AsyncIterator[bytes], exchange: Exchange) -> AsyncIterator[bytes]:
    """The same for an asynchronous body."""
    if exchange.timed:
        return _followed_async(body, exchange)
    if exchange.watch is not None:
        exchange.watch.begun = True
        return _watched_async(body, exchange, exchange.watch)
    return _plain_async(body, exchange)


def _plain(body: Iterator[bytes], exchange: Exchange) -> Iterator[bytes]:
    try:
        yield from body
    except GeneratorExit:
        raise  # the reader paused; closing the body, or dropping it, ends the call
    except BaseException as error:
        exchange.raised(error)
        raise
    exchange.over()


def _watched(body: Iterator[bytes], exchange: Exchange, watch: Watch) -> Iterator[bytes]:
    feed = watch.feed
    try:
        for data in body:
            feed(data)
            if watch.failure is not None:
                exchange.broken(watch.failure)
            yield data
    except GeneratorExit:
        raise
    except BaseException as error:
        exchange.raised(error)
        raise
    exchange.over()


def _followed(body: Iterator[bytes], exchange: Exchange) -> Iterator[bytes]:
    try:
        while True:
            exchange.asked()
            try:
                data = next(body)
            except StopIteration:
                break
            exchange.piece(data)
            yield data
    except GeneratorExit:
        raise
    except BaseException as error:
        exchange.raised(error)
        raise
    exchange.over()


async def _plain_async(body: AsyncIterator[bytes], exchange: Exchange) -> AsyncIterator[bytes]:
    try:
        async for data in body:
            yield data
    except GeneratorExit:
        raise
    except BaseException as error:
        exchange.raised(error)
        raise
    exchange.over()


async def _watched_async(
    body: AsyncIterator[bytes], exchange: Exchange, watch: Watch
) -> AsyncIterator[bytes]:
    feed = watch.feed
    try:
        async for data in body:
            feed(data)
            if watch.failure is not None:
                exchange.broken(watch.failure)
            yield data
    except GeneratorExit:
        raise
    except BaseException as error:
        exchange.raised(error)
        raise
    exchange.over()


async def _followed_async(body: AsyncIterator[bytes], exchange: Exchange) -> AsyncIterator[bytes]:
    try:
        while True:
            exchange.asked()
            try:
                data = await anext(body)
            except StopAsyncIteration:
                break
            exchange.piece(data)
            yield data
    except GeneratorExit:
        raise
    except BaseException as error:
        exchange.raised(error)
        raise
    exchange.over()
