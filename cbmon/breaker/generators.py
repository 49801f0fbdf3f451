"""Protected generators: the call lasts from the first item asked for to the end.

Rules:

* The permit is taken at the first ``next``; the consumer's time between items is not measured
  and its own calls are not nested.
* An exception from the body is a failure as the policy says. Closing is a success after at
  least one item and nothing before.
* A generator cannot be cut off, so ``call_timeout`` is a warning; it has no value that a
  fallback could stand in for, so :mod:`cbmon.breaker.wrapping` refuses that.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from typing import TYPE_CHECKING, Any

from cbmon.breaker.guard import NOTHING, fail, rejection, settle, warn_of_timeout
from cbmon.breaker.identity import caller, here, is_inside, is_task_inside

if TYPE_CHECKING:
    from cbmon.breaker.core import Core


class _Stream:
    """One generator's call: permit, whether an item came, seconds spent in its body.

    While the body waits, the stream's ``token`` is the owner; while it runs, the caller is, unless
    another call of the same breaker has made it one already. A nested stream has no permit and
    leaves no trace. One that the collector finds has been dropped where its body could not be
    closed (it awaits, and there is no loop): it says nothing, and gives its permit back.
    """

    __slots__ = ("core", "delivered", "lent", "permit", "since", "spent", "token")

    def __init__(self, core: Core, *, nested: bool) -> None:
        self.core = core
        self.token = object()
        self.permit = 0
        self.permit = 0 if nested else core.enter(self.token)
        if not (nested or self.permit):
            raise rejection(core)
        if self.permit and core.machine.policy.call_timeout is not None:
            warn_of_timeout(core, "this call", "a generator")
        self.delivered = False
        self.lent = False
        self.since: float | None = None
        self.spent = 0.0

    def resume(self, me: object) -> None:
        """The body runs, for ``me``."""
        if self.permit:
            owners = self.core.owners
            self.since = self.core.begin()
            self.lent = me not in owners and me != self.core.machine.inside
            if self.lent:
                owners[me] = None  # at once, so that the call is counted once
                if self.token in owners:  # not so after a fork
                    del owners[self.token]

    def pause(self, me: object) -> None:
        """The body has yielded, returned or raised."""
        if self.permit:
            owners = self.core.owners
            if self.lent:
                owners[self.token] = None  # at once
                if me in owners:
                    del owners[me]
            if self.since is not None:
                self.spent += max(0.0, self.core.monotonic() - self.since)

    def finish(self, error: BaseException | None = None) -> None:
        """The stream is over: what it says of the target."""
        permit, self.permit = self.permit, 0
        if not permit:
            return
        core = self.core
        try:
            begun = None if self.since is None else core.monotonic() - self.spent
            if error is None or (self.delivered and isinstance(error, GeneratorExit)):
                settle(core, self.token, permit, begun, NOTHING)
            else:
                fail(core, self.token, permit, begun, error)
        except BaseException:
            core.abandon(self.token)
            raise

    def __del__(self) -> None:
        if self.permit:
            self.core.release(self.token, self.permit)


def generator_guard(
    core: Core, func: Callable[..., Generator[Any, Any, Any]]
) -> Callable[..., Generator[Any, Any, Any]]:
    """A generator function behind the breaker; send, throw and close reach the body (PEP 380)."""

    def guarded(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        body = func(*args, **kwargs)
        stream = _Stream(core, nested=is_inside(core))
        action: Callable[[Any], Any] = body.send
        value: Any = None
        try:
            while True:
                item = _step(stream, action, value)
                stream.delivered = True
                try:
                    value = yield item
                    action = body.send
                except GeneratorExit:
                    _step(stream, _close, body)
                    raise
                except BaseException as error:  # noqa: BLE001 - thrown in, for the body
                    action, value = body.throw, error
        except StopIteration as end:
            stream.finish()
            return end.value
        except BaseException as error:
            stream.finish(error)
            raise

    return guarded


def async_generator_guard(
    core: Core, func: Callable[..., AsyncGenerator[Any, Any]]
) -> Callable[..., AsyncGenerator[Any, Any]]:
    """The same for an async generator function; asend, athrow and aclose reach the body."""

    async def guarded(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        body = func(*args, **kwargs)
        stream = _Stream(core, nested=is_task_inside(core))
        action: Callable[[Any], Any] = body.asend
        value: Any = None
        try:
            while True:
                item = await _step_async(stream, action, value)
                stream.delivered = True
                try:
                    value = yield item
                    action = body.asend
                except GeneratorExit:
                    await _step_async(stream, _aclose, body)
                    raise
                except BaseException as error:  # noqa: BLE001 - thrown in, for the body
                    action, value = body.athrow, error
        except StopAsyncIteration:
            stream.finish()
        except BaseException as error:
            stream.finish(error)
            raise

    return guarded


def _step(stream: _Stream, action: Callable[[Any], Any], value: Any) -> Any:
    me = here()
    try:
        stream.resume(me)
        return action(value)
    finally:
        try:
            stream.pause(me)
        except BaseException:
            stream.core.abandon(me)
            raise


async def _step_async(stream: _Stream, action: Callable[[Any], Any], value: Any) -> Any:
    me = caller()
    try:
        stream.resume(me)
        return await action(value)
    finally:
        try:
            stream.pause(me)
        except BaseException:
            stream.core.abandon(me)
            raise


def _close(body: Generator[Any, Any, Any]) -> None:
    body.close()


async def _aclose(body: AsyncGenerator[Any, Any]) -> None:
    await body.aclose()
