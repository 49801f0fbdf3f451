"""Who is calling: the task, or the thread where there is no task.

Rule: a nested call is one in the same task or thread; a task or a thread started inside a
protected call is another caller. asyncio is looked up, not imported: importing it costs more
than the whole library, and where nobody imported it there is no task.
"""

from __future__ import annotations

import sys
from _thread import get_ident
from collections.abc import Container


def here() -> object:
    """The running task, else the thread's number."""
    task = running_task()
    return get_ident() if task is None else task


def caller() -> object:
    """The running task; outside asyncio something unique, since its tasks share the thread."""
    return running_task() or object()


def running_task() -> object | None:
    """The task that runs in this thread, if any."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or asyncio._get_running_loop() is None:  # noqa: SLF001 - public in C
        return None
    return asyncio.current_task()  # type: ignore[no-any-return]


def holder(owners: Container[object]) -> object | None:
    """Under what the caller already is in a call of this breaker, if it is.

    A plain function registers its thread even inside a task, since nothing else can run in that
    thread until it returns; so both are looked for.
    """
    thread = get_ident()
    if thread in owners:
        return thread
    task = running_task()
    return task if task in owners else None


def is_inside(owners: Container[object]) -> bool:
    """Whether the caller already is in a call of this breaker."""
    return holder(owners) is not None
