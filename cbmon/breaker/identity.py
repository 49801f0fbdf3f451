"""Who is calling: the task, or the thread where there is no task.

Rule: a nested call is one in the same task or thread; a task or a thread started inside a
protected call is another caller. Tasks are asyncio's or trio's. Both are looked up, not imported:
importing asyncio costs more than the whole library, and where nobody has imported it there is no
task.
"""

from __future__ import annotations

import sys
from _thread import _local, get_ident
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, cast

from cbmon.breaker import forking

if TYPE_CHECKING:
    from cbmon.breaker.core import Core


class _Seen(_local):
    """Per thread: the event loop that last ran a task here.

    Asking for the running loop costs a system call before Python 3.12. The loop seen last is
    ours if it is running a task, since one loop runs in one thread.
    """

    loop: Any = None
    tasks: dict[Any, Any] = {}  # noqa: RUF012 - never changed; replaced per thread


seen: Final = _Seen()


def _forget() -> None:
    """In a child: its loops are others, and the parent's task still stands in asyncio's dict."""
    seen.loop, seen.tasks = None, {}


forking.also(_forget)


def here() -> object:
    """The running task, else the thread's number."""
    return running_task() or get_ident()


def caller() -> object:
    """The running task; outside asyncio something unique, since its tasks share the thread."""
    return running_task() or object()


def tasks_by_loop() -> dict[Any, Any]:
    """asyncio's own dict of running tasks; an empty one where it keeps none (Python 3.14)."""
    module = sys.modules.get("asyncio.tasks")
    if module is None:
        module = import_module("asyncio.tasks")
    tasks: dict[Any, Any] = getattr(module, "_current_tasks", _Seen.tasks)
    return tasks


def running_task() -> object | None:
    """The task that runs in this thread, if any."""
    task: object | None = seen.tasks.get(seen.loop)
    if task is not None:
        return task
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or (loop := asyncio._get_running_loop()) is None:  # noqa: SLF001
        return _trios_task()
    seen.loop, seen.tasks = loop, tasks_by_loop()
    return cast("object | None", asyncio.current_task())


def _trios_task() -> object | None:
    lowlevel = getattr(sys.modules.get("trio"), "lowlevel", None)
    if lowlevel is None:
        return None
    try:
        task: object = lowlevel.current_task()
    except RuntimeError:  # this thread runs none
        return None
    return task


def is_inside(core: Core) -> bool:
    """Whether the caller already is in a call of this breaker."""
    return holder(core) is not None


def holder(core: Core) -> object | None:
    """Under what the caller already is in a call of this breaker, if it is.

    A plain function registers its thread even inside a task, since nothing else can run in that
    thread until it returns; so both are looked for.
    """
    owners, inside = core.owners, core.machine.inside
    if inside is None and not owners:
        return None
    if core.born is not forking.process.token:
        core.come_along()
        return None
    thread = get_ident()
    if thread == inside:
        return inside
    if thread in owners:
        return thread
    task = running_task()
    return task if task is not None and (task is inside or task in owners) else None


def is_task_inside(core: Core) -> bool:
    """Whether the running task is in a call; its thread may be for the one who runs the loop."""
    if core.born is not forking.process.token:
        core.come_along()
    task = running_task()
    return task is not None and (task is core.machine.inside or task in core.owners)
