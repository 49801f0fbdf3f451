"""A protected block: ``with breaker as call`` and ``async with breaker as call``.

Rule: one block per task or thread counts; blocks inside it pass uncounted. A block that is left
elsewhere than it was entered (a generator that changed threads) is found by being the newest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cbmon.breaker.guard import NOTHING, fail, rejection, settle
from cbmon.breaker.identity import here, holder
from cbmon.breaker.lanes import count_success

if TYPE_CHECKING:
    from asyncio import Timeout
    from types import TracebackType

    from cbmon.breaker.core import Core


class Call:
    """What ``as call`` gives: the way to hand the result to the policy's ``is_failure``."""

    __slots__ = ("begun", "depth", "permit", "result", "scope")

    def __init__(self, permit: int, begun: float | None, scope: Timeout | None = None) -> None:
        self.permit = permit
        self.begun = begun
        self.scope = scope
        self.depth = 1
        self.result: Any = NOTHING

    def set_result(self, value: Any) -> None:
        """The value that ``is_failure`` will judge when the block ends."""
        self.result = value


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
            leave(core, error)
            raise
        block.scope = scope
    return block


def leave(core: Core, error: BaseException | None) -> None:
    """End the caller's innermost block; the outermost one is the call."""
    key, block = _present(core)
    if block is None:
        return
    block.depth -= 1
    if block.depth:
        return
    if error is not None:
        fail(core, key, block.permit, block.begun, error, scope=block.scope)
    elif not count_success(core, key, block.permit, block.begun):
        settle(core, key, block.permit, block.begun, block.result, scope=block.scope)


async def leave_async(
    core: Core,
    kind: type[BaseException] | None,
    error: BaseException | None,
    traceback: TracebackType | None,
) -> None:
    """The same; raises TimeoutError when ``call_timeout`` ran out."""
    _, block = _present(core)
    if block is not None and block.scope is not None and block.depth == 1:
        try:
            await block.scope.__aexit__(kind, error, traceback)
        except TimeoutError as late:
            leave(core, late)
            raise
    leave(core, error)


def _present(core: Core) -> tuple[object, Call | None]:
    """The block that ends, None inside another kind of call."""
    owners = core.owners
    key = holder(core)
    if key is not None:
        return key, owners.get(key)
    blocks = [item for item in owners.copy().items() if item[1] is not None]
    return blocks[-1] if blocks else (None, None)
