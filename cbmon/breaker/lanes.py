"""The short way through a closed breaker, and the short way out of an open one.

Everything here is also done, in full and under the lock, by :mod:`cbmon.breaker.guard`; a lane
serves the plain case and hands over whatever is not plain. The machine opens the lanes:

* ``free`` is the generation while a call needs nothing but registering to be admitted: the
  state is closed or observe, there is no ``call_timeout``, and no share of the load is being
  shed. Else it is 0.
* ``door`` is the same for blocks: nor is there a clock to read, a listener to successes or a
  predicate.
* ``calm`` is the generation while a success changes nothing but the number of successes: nobody
  listens to successes, there is no duration histogram and no predicate, no run of failures to
  end and no verdict to be expected. Else it is 0.
* ``brisk`` is the same for a while: ``until`` a bucket of the time window ends, or to the
  ``last`` success before a failure leaves the window of calls.
* ``shut`` is the time until which every call is rejected with nothing to do but count that.
  Else it is 0.

**Why no lock is needed.** The interpreter hands its own lock on only where Python code calls or
jumps back, not between other instructions. Each run of statements marked *at once* has no call
and no loop in it, so other threads see all of it or nothing: the generation is compared and the
outcome counted in one step, and a result that comes after a move is seen to be stale. Builds
without that lock never open the lanes (:data:`cbmon.breaker.gate.HAS_GIL`).

The owner is registered with no call between that and ``try``: an interrupt there would leave it
behind, and whoever is registered passes uncounted. For the same reason nobody stays registered
who leaves by an exception, wherever in here it was raised.
"""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from cbmon.breaker import guard
from cbmon.breaker.errors import CircuitOpenError
from cbmon.breaker.identity import caller, is_inside, is_task_inside, seen, tasks_by_loop

if TYPE_CHECKING:
    from cbmon.breaker.core import Core

_NEVER_AWAITABLE: Final = frozenset(
    {type(None), bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set}
)


def plain(core: Core, func: Callable[..., Any]) -> Callable[..., Any]:
    """A plain function behind the breaker."""
    machine, owners, monotonic = core.machine, core.owners, core.monotonic
    fallback = core.fallback

    def guarded(*args: Any, **kwargs: Any) -> Any:  # noqa: PLR0912 - calls are what it saves
        permit = machine.free
        if not permit:
            if machine.shut and fallback is None and not owners and machine.inside is None:
                now = monotonic()
                if machine.now <= now < machine.shut:  # at once
                    machine.rejections += 1
                    raise CircuitOpenError(machine.name, machine.state, machine.shut - now)
            return guard.call(core, func, args, kwargs)
        me = get_ident()
        begun = monotonic() if machine.timed else None
        if machine.inside is None and not owners:  # at once
            machine.inside = me
        elif is_inside(core):
            return func(*args, **kwargs)
        else:
            permit = machine.free or permit  # another generation, if this is a child of a fork
            owners[me] = None
        try:
            try:
                result = func(*args, **kwargs) if kwargs else func(*args)
            except BaseException as error:
                if guard.fail(core, me, permit, begun, error) and fallback is not None:
                    return fallback(error)
                raise
            if result.__class__ not in _NEVER_AWAITABLE and isinstance(result, Awaitable):
                return guard.postpone(core, me, permit, result)
            now = monotonic() if machine.reads else 0.0
            if (begun is None or now - begun <= machine.limit) and (  # at once
                machine.calm == permit or (now < machine.until and machine.brisk == permit)
            ):
                if machine.inside is me:
                    machine.inside = None
                else:
                    del owners[me]
                machine.successes += 1
            elif not count_success(core, me, permit, begun):
                guard.settle(core, me, permit, begun, result)
        except BaseException:  # mostly its own; there may be no stack left for a call
            if machine.inside is me:
                machine.inside = None
            elif me in owners:
                del owners[me]
            raise
        return result

    return guarded


def coroutine(core: Core, func: Callable[..., Any]) -> Callable[..., Any]:
    """A coroutine function behind the breaker."""
    machine, owners, monotonic = core.machine, core.owners, core.monotonic
    fallback, tasks = core.fallback, tasks_by_loop()

    async def guarded(*args: Any, **kwargs: Any) -> Any:  # noqa: PLR0912 - likewise
        permit = machine.free
        if not permit:
            if machine.shut and fallback is None and not owners and machine.inside is None:
                now = monotonic()
                if machine.now <= now < machine.shut:  # at once
                    machine.rejections += 1
                    raise CircuitOpenError(machine.name, machine.state, machine.shut - now)
            return await guard.call_async(core, func, args, kwargs)
        me = tasks.get(seen.loop) or caller()
        begun = monotonic() if machine.timed else None
        if machine.inside is None and not owners:  # at once
            machine.inside = me
        elif is_task_inside(core):
            return await func(*args, **kwargs)
        else:
            permit = machine.free or permit  # another generation, if this is a child of a fork
            owners[me] = None
        try:
            try:
                result = await (func(*args, **kwargs) if kwargs else func(*args))
            except BaseException as error:
                if guard.fail(core, me, permit, begun, error) and fallback is not None:
                    return await guard.value_of(fallback(error))
                raise
            now = monotonic() if machine.reads else 0.0
            if (begun is None or now - begun <= machine.limit) and (  # at once
                machine.calm == permit or (now < machine.until and machine.brisk == permit)
            ):
                if machine.inside is me:
                    machine.inside = None
                else:
                    del owners[me]
                machine.successes += 1
            elif not count_success(core, me, permit, begun):
                guard.settle(core, me, permit, begun, result)
        except BaseException:  # mostly its own; there may be no stack left for a call
            if machine.inside is me:
                machine.inside = None
            elif me in owners:
                del owners[me]
            raise
        return result

    return guarded


def count_success(core: Core, me: object, permit: int, begun: float | None) -> bool:
    """Count the plain success of ``me``, unless that takes the lock."""
    machine = core.machine
    now = core.monotonic() if machine.reads else 0.0
    if begun is not None and now - begun > machine.limit:
        return False
    if machine.calm == permit or (  # at once
        machine.brisk == permit and (now < machine.until or machine.successes < machine.last)
    ):
        if machine.inside is me:
            machine.inside = None
        else:
            del core.owners[me]
        machine.successes += 1
        return True
    return False
