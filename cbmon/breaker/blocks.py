"""A protected block: ``with breaker as call`` and ``async with breaker as call``.

Rule: one block per task or thread counts; blocks inside it pass uncounted. A block that is left
elsewhere than it was entered (a generator that changed threads) is found by being the newest.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

from cbmon.breaker.guard import NOTHING, fail, rejection, settle
from cbmon.breaker.identity import caller, here, holder, seen
from cbmon.breaker.lanes import count_success

if TYPE_CHECKING:
    from asyncio import Timeout

    from cbmon.breaker.core import Core


Ending = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]
"""What ``__exit__`` is told."""


class Call:
    """What ``as call`` gives: the way to hand the result to the policy's ``is_failure``."""

    depth = 1
    """How many blocks of the same caller are open, this one included."""
    scope: Timeout | None = None
    result: Any = NOTHING

    def __init__(self, permit: int, begun: float | None) -> None:
        self.permit = permit
        self.begun = begun

    def set_result(self, value: Any) -> None:
        """The value that ``is_failure`` will judge when the block ends."""
        self.result = value


def enter_plain(core: Core) -> Call | None:
    """The short way in: nobody is inside, so neither is the caller. None: not this way."""
    machine, owners = core.machine, core.owners
    permit = machine.free
    if not permit or owners or machine.inside is not None:
        return None
    me = seen.tasks.get(seen.loop) or caller()
    block = owners[me] = Call(permit, core.monotonic() if machine.timed else None)
    return block


def leave_plain(core: Core) -> bool:
    """The short way out of a task's block, for a plain success; False: not this way."""
    machine, owners = core.machine, core.owners
    me = seen.tasks.get(seen.loop)
    block = owners.get(me)
    if block is None or block.depth > 1 or block.scope is not None:
        return False
    if machine.timed or machine.reads:
        return count_success(core, me, block.permit, block.begun)
    if machine.calm == block.permit:  # at once
        del owners[me]
        machine.successes += 1
        return True
    return False


def enter(core: Core) -> Call:
    """Take a permit for a block, or raise the rejection."""
    key = holder(core)
    if key is not None:
        outer = core.owners.get(key)
        if outer is not None:
            outer.depth += 1
        return Call(0, None)
    permit = core.machine.free or core.enter()
    if not permit:
        raise rejection(core)
    block = core.owners[here()] = Call(permit, core.begin())
    return block


async def enter_async(core: Core) -> Call:
    """The same, with the clock of ``call_timeout`` running."""
    scope = core.timeout()  # raises outside a loop, so before there is a permit to lose
    block = enter(core)
    if scope is not None and block.permit:
        try:
            await scope.__aenter__()
        except BaseException as error:
            leave(core, *present(core), error)
            raise
        block.scope = scope
    return block


def present(core: Core) -> tuple[object, Call | None]:
    """The block that ends now and its owner; None inside another kind of call."""
    key, owners = holder(core), core.owners
    if key is not None:
        return key, owners.get(key)
    blocks = [item for item in owners.copy().items() if item[1] is not None]
    return blocks[-1] if blocks else (None, None)


def leave(core: Core, key: object, block: Call | None, error: BaseException | None) -> None:
    """End the caller's innermost block; the outermost one is the call."""
    if block is None:
        return
    if block.depth > 1:
        block.depth -= 1
    elif error is not None:
        fail(core, key, block.permit, block.begun, error, scope=block.scope)
    elif block.scope is not None or not count_success(core, key, block.permit, block.begun):
        settle(core, key, block.permit, block.begun, block.result, scope=block.scope)


async def leave_async(core: Core, key: object, block: Call, ending: Ending) -> None:
    """The same for a block under ``call_timeout``; raises TimeoutError when that ran out."""
    kind, error, traceback = ending
    if block.scope is not None and block.depth == 1:
        try:
            await block.scope.__aexit__(kind, error, traceback)
        except TimeoutError as late:
            leave(core, key, block, late)
            raise
    leave(core, key, block, error)
