"""A protected block: ``with breaker as call`` and ``async with breaker as call``.

Rule: one block per task or thread counts; blocks inside it pass uncounted. A block that is left
elsewhere than it was entered (a generator that changed threads) is found by being the newest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cbmon.breaker.guard import NOTHING, fail, rejection, settle
from cbmon.breaker.identity import here, holder

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
    owners = core.owners
    key = holder(owners) if owners else None
    if key is not None:
        return _nested(owners, key)
    permit = core.enter()
    if not permit:
        raise rejection(core)
    block = owners[here()] = Call(permit, core.begin())
    return block


async def enter_async(core: Core) -> Call:
    """The same, with the clock of ``call_timeout`` running."""
    block = enter(core)
    scope = core.timeout() if block.permit else None
    if scope is not None:
        try:
            await scope.__aenter__()
        except BaseException as error:
            leave(core, error)
            raise
        block.scope = scope
    return block


def leave(core: Core, error: BaseException | None) -> None:
    """End the caller's innermost block; the outermost one is the call."""
    found = _present(core.owners)
    if found is None:
        return
    key, block = found
    block.depth -= 1
    if block.depth:
        return
    if not block.permit:
        core.owners[key] = None
        return
    core.owners.pop(key, None)
    if error is not None:
        fail(core, block.permit, block.begun, error, block.scope)
    else:
        settle(core, block.permit, block.begun, block.result, block.scope)


async def leave_async(
    core: Core,
    kind: type[BaseException] | None,
    error: BaseException | None,
    traceback: TracebackType | None,
) -> None:
    """The same; raises TimeoutError when ``call_timeout`` ran out."""
    found = _present(core.owners)
    if found is not None and found[1].scope is not None and found[1].depth == 1:
        try:
            await found[1].scope.__aexit__(kind, error, traceback)
        except TimeoutError as late:
            leave(core, late)
            raise
    leave(core, error)


def _nested(owners: dict[object, Any], key: object) -> Call:
    outer = owners[key]
    if outer is None:
        owners[key] = Call(0, None)
    else:
        outer.depth += 1
    return Call(0, None)


def _present(owners: dict[object, Any]) -> tuple[object, Call] | None:
    key = holder(owners)
    if key is not None and owners[key] is not None:
        return key, owners[key]
    blocks = [item for item in owners.copy().items() if item[1] is not None]
    return blocks[-1] if blocks else None
