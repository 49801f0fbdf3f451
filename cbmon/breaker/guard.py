"""One protected call, from admission to verdict, in full.

Rules:

* A permit taken is given back on every way out: a result, an exception, a cancellation, a
  predicate that raises.
* A nested call in the same task or thread passes uncounted.
* What the protected function raises is what the caller gets, unless there is a fallback.
* ``call_timeout`` cuts off what can be cancelled; for what cannot it is a warning, told after the
  call has been counted.

:mod:`cbmon.breaker.lanes` does the same for the plain case, faster.
"""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from cbmon.breaker.errors import BreakerWarning, CallTimeoutError, CircuitOpenError
from cbmon.breaker.identity import caller, here, is_inside, is_task_inside
from cbmon.breaker.outcomes import Outcome, classify, in_words

if TYPE_CHECKING:
    from asyncio import Timeout

    from cbmon.breaker.core import Core

Function = Callable[..., Any]
NOTHING: Final = object()
"""No result was given: there is nothing to judge."""


def call(core: Core, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run a plain function; an awaitable that it returns is counted when it is awaited."""
    if is_inside(core):
        return func(*args, **kwargs)
    me = here()
    try:
        permit = core.enter(me)
        if not permit:
            return refuse(core)
        begun = core.begin()
        try:
            result = func(*args, **kwargs)
        except BaseException as error:
            if fail(core, me, permit, begun, error) and core.fallback is not None:
                return core.fallback(error)
            raise
        if isinstance(result, Awaitable):
            return postpone(core, me, permit, result)
        settle(core, me, permit, begun, result)
    except BaseException:
        core.abandon(me)
        raise
    if core.machine.policy.call_timeout is not None:
        warn_of_timeout(core, getattr(func, "__qualname__", repr(func)), "a plain function")
    return result


async def call_async(
    core: Core, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Await what an async function gives, under ``call_timeout`` if there is one."""
    if is_task_inside(core):
        return await func(*args, **kwargs)
    scope = core.timeout()  # raises outside a loop, so before there is a permit to lose
    me = caller()
    try:
        permit = core.enter(me)
        if not permit:
            return await value_of(refuse(core))
        begun = core.begin()
        try:
            result = await _within(core, scope, func, args, kwargs)
        except BaseException as error:
            if fail(core, me, permit, begun, error, scope=scope) and core.fallback is not None:
                return await value_of(core.fallback(error))
            raise
        settle(core, me, permit, begun, result, scope=scope)
    except BaseException:
        core.abandon(me)
        raise
    return result


async def _within(
    core: Core,
    scope: Timeout | None,
    func: Function,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Await it; CallTimeoutError when the scope ran out."""
    if scope is None:
        return await func(*args, **kwargs)
    try:
        async with scope:
            return await func(*args, **kwargs)
    except TimeoutError as error:
        if scope.expired():
            raise late(core) from error
        raise


def late(core: Core) -> CallTimeoutError:
    """What is raised when ``call_timeout`` ran out."""
    machine = core.machine
    return CallTimeoutError(machine.name, machine.policy.call_timeout)


def postpone(core: Core, me: object, permit: int, result: Awaitable[Any]) -> Awaitable[Any]:
    """A plain function gave an awaitable: the call is that one, when it is awaited."""
    core.release_unused(me, permit)
    return _await(core, result)


async def _await(core: Core, result: Awaitable[Any]) -> Any:
    async def body() -> Any:
        return await result

    try:
        return await call_async(core, body, (), {})
    finally:
        # a coroutine that was rejected must not be reported as never awaited
        getattr(result, "close", _nothing)()


def refuse(core: Core) -> Any:
    """The fallback's value for a rejection, or the rejection itself."""
    error = rejection(core)
    if core.fallback is None:
        raise error
    return core.fallback(error)


def rejection(core: Core) -> CircuitOpenError:
    """A fresh error that says why a call may not pass."""
    machine = core.machine
    return CircuitOpenError(machine.name, machine.state, machine.retry_after)


def fail(
    core: Core,
    me: object,
    permit: int,
    begun: float | None,
    error: BaseException,
    *,
    scope: Timeout | None = None,
) -> bool:
    """Record a call that raised; whether that was a failure."""
    if is_late(scope) and isinstance(error, TimeoutError):
        core.record(me, permit, begun, failed=True, reason="timeout", error=in_words(error))
        return True
    outcome = classify(core.machine.policy, error)
    if outcome is Outcome.FAILURE:
        core.record(me, permit, begun, failed=True, error=in_words(error))
    elif outcome is Outcome.SUCCESS:
        core.record(me, permit, begun, failed=False)
    else:
        core.release(me, permit, ignored=outcome is Outcome.IGNORED)
    return outcome is Outcome.FAILURE


def settle(
    core: Core,
    me: object,
    permit: int,
    begun: float | None,
    result: Any,
    *,
    scope: Timeout | None = None,
) -> None:
    """Record a call that returned ``result``. A predicate's own error is the caller's."""
    if is_late(scope):
        core.record(me, permit, begun, failed=True, reason="timeout", error="ignored its timeout")
        return
    predicate, ended = core.machine.policy.is_failure, core.end(begun)
    failed = False
    if predicate is not None and result is not NOTHING:
        try:
            failed = bool(predicate(result))
        except Exception as error:
            core.record(me, permit, begun, failed=True, error=in_words(error), ended=ended)
            raise
        except BaseException:
            core.release(me, permit)
            raise
    said = "is_failure said so" if failed else None
    core.record(me, permit, begun, failed=failed, error=said, ended=ended)


def warn_of_timeout(core: Core, what: str, kind: str) -> None:
    """Say that ``call_timeout`` cannot be kept here: nothing can be stopped from outside."""
    seconds = core.machine.policy.call_timeout
    text = (
        f"call_timeout={seconds} of circuit breaker {core.machine.name!r} does nothing for {what}, "
        f"which is {kind}; use the timeout of what it calls, or a coroutine function"
    )
    warnings.warn(text, BreakerWarning, stacklevel=4)  # who called, by each way


def is_late(scope: Timeout | None) -> bool:
    """Whether the breaker's own timeout ran out."""
    return scope is not None and scope.expired()


async def value_of(result: Any) -> Any:
    """A fallback's value, awaited if it has to be."""
    return await result if isinstance(result, Awaitable) else result


def _nothing() -> None:
    """An awaitable that cannot be closed needs no closing."""
