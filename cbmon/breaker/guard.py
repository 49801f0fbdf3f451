"""One protected call, from admission to verdict, in full.

Rules:

* A permit taken is given back on every way out: a result, an exception, a cancellation, a
  predicate that raises.
* A nested call in the same task or thread passes uncounted.
* What the protected function raises is what the caller gets, unless there is a fallback.

:mod:`cbmon.breaker.lanes` does the same for the plain case in a closed breaker, faster.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from cbmon.breaker.errors import CircuitOpenError
from cbmon.breaker.identity import caller, here, is_inside, running_task
from cbmon.breaker.outcomes import Outcome, classify, in_words

if TYPE_CHECKING:
    from asyncio import Timeout

    from cbmon.breaker.core import Core

Function = Callable[..., Any]
NOTHING: Final = object()
"""No result was given: there is nothing to judge."""


def call(core: Core, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run a plain function; an awaitable that it returns is counted when it is awaited."""
    owners = core.owners
    if owners and is_inside(owners):
        return func(*args, **kwargs)
    permit = core.enter()
    if not permit:
        return refuse(core)
    me, begun = here(), core.begin()
    try:
        owners[me] = None
        result = func(*args, **kwargs)
    except BaseException as error:
        owners.pop(me, None)
        if fail(core, permit, begun, error) and core.fallback is not None:
            return core.fallback(error)
        raise
    owners.pop(me, None)
    if hasattr(type(result), "__await__"):
        core.release_unused(permit)
        return call_async(core, itself, (result,), {})
    settle(core, permit, begun, result)
    return result


async def call_async(
    core: Core, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Await what an async function gives, under ``call_timeout`` if there is one."""
    owners = core.owners
    if owners and running_task() in owners:
        return await func(*args, **kwargs)
    permit = core.enter()
    if not permit:
        drop(func, args)
        return await value_of(refuse(core))
    me, begun, scope = caller(), core.begin(), core.timeout()
    try:
        owners[me] = None
        if scope is None:
            result = await func(*args, **kwargs)
        else:
            async with scope:
                result = await func(*args, **kwargs)
    except BaseException as error:
        owners.pop(me, None)
        if fail(core, permit, begun, error, scope) and core.fallback is not None:
            return await value_of(core.fallback(error))
        raise
    owners.pop(me, None)
    settle(core, permit, begun, result, scope)
    return result


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
    permit: int,
    begun: float | None,
    error: BaseException,
    scope: Timeout | None = None,
) -> bool:
    """Record a call that raised; whether that was a failure."""
    if is_late(scope) and isinstance(error, TimeoutError):
        core.record(permit, begun, failed=True, reason="timeout", error=in_words(error))
        return True
    outcome = classify(core.machine.policy, error)
    if outcome is Outcome.FAILURE:
        core.record(permit, begun, failed=True, error=in_words(error))
    elif outcome is Outcome.SUCCESS:
        core.record(permit, begun, failed=False)
    else:
        core.release(permit, ignored=outcome is Outcome.IGNORED)
    return outcome is Outcome.FAILURE


def settle(
    core: Core, permit: int, begun: float | None, result: Any, scope: Timeout | None = None
) -> None:
    """Record a call that returned ``result``. A predicate's own error is the caller's."""
    if is_late(scope):
        core.record(permit, begun, failed=True, reason="timeout", error="cancellation ignored")
        return
    predicate = core.machine.policy.is_failure
    if predicate is None or result is NOTHING:
        core.record(permit, begun, failed=False)
        return
    ended = core.end(begun)
    try:
        failed = bool(predicate(result))
    except BaseException as error:
        if isinstance(error, Exception):
            core.record(permit, begun, failed=True, error=in_words(error), ended=ended)
        else:
            core.release(permit)
        raise
    core.record(
        permit, begun, failed=failed, error="is_failure(result)" if failed else None, ended=ended
    )


def is_late(scope: Timeout | None) -> bool:
    """Whether the breaker's own timeout ran out."""
    return scope is not None and scope.expired()


async def itself(result: Awaitable[Any]) -> Any:
    """Await an awaitable that is there already."""
    return await result


async def value_of(result: Any) -> Any:
    """A fallback's value, awaited if it has to be."""
    return await result if hasattr(type(result), "__await__") else result


def drop(func: Function, args: tuple[Any, ...]) -> None:
    """Close a coroutine that will not be awaited after all, so that Python does not warn."""
    if func is itself and hasattr(args[0], "close"):
        args[0].close()
