"""A protected block: ``with breaker as call`` and ``async with breaker as call``.

Rules:

* One block per task or thread counts; blocks inside it pass uncounted. A block that is left
  elsewhere than it was entered (a generator that changed threads) is found by being the newest.
* While nobody else is inside, a plain block is nothing but ``machine.inside`` and
  ``machine.block``, its permit. Whoever comes meanwhile sees that somebody is inside and takes
  the long way; so the one who leaves needs not be looked for.
* ``async with`` awaits what ``__aenter__`` and ``__aexit__`` give. On the short way that is a
  future that was done long ago, which costs a third of a coroutine and needs no event loop.
"""

from __future__ import annotations

from collections.abc import Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from cbmon.breaker.guard import NOTHING, fail, late, rejection, settle, warn_of_timeout
from cbmon.breaker.identity import here, holder, running_task, seen
from cbmon.breaker.lanes import count_success

if TYPE_CHECKING:
    from asyncio import Timeout

    from cbmon.breaker.breaker import CircuitBreaker
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
        """The value that ``is_failure`` will judge when the block ends; nothing where the policy
        had none when it began."""
        self.result = value


class _Unjudged(Call):
    """One for all blocks that began under policies without a predicate."""

    def set_result(self, value: Any) -> None:
        """There is nobody to judge it."""


UNJUDGED: Final = _Unjudged(0, None)


class _Ready:
    """What the short way gives, made when the first ``async with`` is entered: ``entered`` comes
    to :data:`UNJUDGED`, ``left`` to None. ``tasks`` are asyncio's own running tasks by loop."""

    __slots__ = ("entered", "left", "tasks")

    def __init__(self) -> None:
        self.entered: Any = None
        self.left: Any = None
        self.tasks: dict[Any, Any] = {}


_ready: Final = _Ready()


# --- async with ----------------------------------------------------------------------------


def aenter(breaker: CircuitBreaker) -> Coroutine[Any, Any, Call]:
    """``async with breaker``: take a permit, or raise the rejection."""
    core = breaker._core  # noqa: SLF001 - it is a method of the breaker
    machine = core.machine
    me = _ready.tasks.get(seen.loop)
    permit = machine.door
    if permit and me is not None and machine.inside is None and not core.owners:  # at once
        machine.inside = me
        machine.block = permit
        return _ready.entered  # type: ignore[no-any-return]
    return _enter_async(core)


def aexit(
    breaker: CircuitBreaker,
    kind: type[BaseException] | None,
    error: BaseException | None,
    traceback: TracebackType | None,
) -> Coroutine[Any, Any, None]:
    """The end of the block, and its verdict."""
    core = breaker._core  # noqa: SLF001
    machine = core.machine
    permit = machine.block
    if (
        permit
        and error is None
        and not core.owners
        and (  # at once
            machine.calm == permit or (machine.brisk == permit and machine.successes < machine.last)
        )
    ):
        machine.inside = None
        machine.block = 0
        machine.successes += 1
        return _ready.left  # type: ignore[no-any-return]
    return _leave_async(core, (kind, error, traceback))


async def _enter_async(core: Core) -> Call:
    """The long way in, with the clock of ``call_timeout`` running."""
    if _ready.left is None and running_task() is not None and seen.loop is not None:
        _prepare()
    scope = core.timeout()  # raises outside a loop, so before there is a permit to lose
    block = _enter(core)
    if scope is not None and block.permit:
        try:
            await scope.__aenter__()
        except BaseException as error:
            leave(core, error)
            raise
        block.scope = scope
    return block


async def _leave_async(core: Core, ending: Ending) -> None:
    """The long way out; raises TimeoutError when ``call_timeout`` ran out."""
    kind, error, traceback = ending
    try:
        key, block = _present(core)
        if block is not None and block.scope is not None and block.depth == 1:
            try:
                await block.scope.__aexit__(kind, error, traceback)
            except TimeoutError as over:
                raised = late(core)
                _end(core, key, block, raised)
                raise raised from over
        _end(core, key, block, error)
    except BaseException:
        abandon(core)
        raise


# --- with ----------------------------------------------------------------------------------


def enter(core: Core) -> Call:
    """Take a permit for a block, or raise the rejection."""
    machine = core.machine
    me = here()
    if (permit := machine.door) and machine.inside is None and not core.owners:  # at once
        machine.inside = me
        machine.block = permit
        return UNJUDGED
    block = _enter(core)
    if block.permit and machine.policy.call_timeout is not None:
        warn_of_timeout(core, "this block", "a plain `with`")
    return block


def leave(core: Core, error: BaseException | None) -> None:
    """End the caller's innermost block; the outermost one is the call."""
    machine = core.machine
    permit = machine.block
    if permit and error is None and machine.calm == permit and not core.owners:  # at once
        machine.inside = None
        machine.block = 0
        machine.successes += 1
    else:
        _end(core, *_present(core), error)


def abandon(core: Core) -> None:
    """The caller's block is over, although its end was interrupted."""
    key = holder(core)
    if key is not None:
        core.abandon(key)


# --- inside --------------------------------------------------------------------------------


def _enter(core: Core) -> Call:
    """The long way in."""
    key = holder(core)
    if key is not None:
        outer = _block_of(core, key)
        if outer is not None:
            outer.depth += 1
        return Call(0, None)
    me, block = here(), Call(0, None)
    try:
        block.permit = core.machine.free
        if block.permit:
            core.owners[me] = block
        else:
            block.permit = core.enter(me, block)
        block.begun = core.begin()
    except BaseException:
        core.abandon(me)
        raise
    if not block.permit:
        raise rejection(core)
    return block


def _block_of(core: Core, key: object) -> Call | None:
    """The block of an owner, put among the others if it was a plain one; None if it has none."""
    machine = core.machine
    if machine.block and machine.inside is key:
        core.owners[key] = Call(machine.block, None)  # at once
        machine.inside = None
        machine.block = 0
    found: Call | None = core.owners.get(key)
    return found


def _present(core: Core) -> tuple[object, Call | None]:
    """The block that ends now and its owner; None inside another kind of call."""
    key = holder(core)
    if key is None:
        blocks = [key for key, block in core.owners.copy().items() if block is not None]
        key = blocks[-1] if blocks else core.machine.inside
    return key, None if key is None else _block_of(core, key)


def _end(core: Core, key: object, block: Call | None, error: BaseException | None) -> None:
    if block is None:
        return
    if block.depth > 1:
        block.depth -= 1
    elif error is not None:
        fail(core, key, block.permit, block.begun, error, scope=block.scope)
    elif block.scope is not None or not count_success(core, key, block.permit, block.begun):
        settle(core, key, block.permit, block.begun, block.result, scope=block.scope)


def _prepare() -> None:
    """Make what the short way gives; within a task, so that asyncio is there already."""
    _ready.entered, _ready.left = _done(UNJUDGED), _done(None)
    _ready.tasks = seen.tasks


def _done(result: object) -> Any:
    from asyncio import Future, get_running_loop  # noqa: PLC0415 - see the rule of identity

    class AnyLoop:
        """Stands for the loop that runs when one is asked for."""

        def get_debug(self) -> bool:
            return False

        def call_soon(self, *args: Any, **kwargs: Any) -> Any:
            return get_running_loop().call_soon(*args, **kwargs)

    class Done(Future[Any]):
        """A future that was done long ago, in whatever loop; with a coroutine's methods, for who
        drives one by hand."""

        def get_loop(self) -> Any:
            return get_running_loop()

        def send(self, _value: object) -> Any:
            raise StopIteration(result)

        def throw(self, error: Any, *_: Any) -> Any:
            raise error

        def close(self) -> None:
            pass

    loop: Any = AnyLoop()
    made = Done(loop=loop)
    made.set_result(result)
    return made
