"""The metrics about worker processes.

Rule: a part of the table in :mod:`cbmon.metrics.families`, which lists them with the others.
"""

from __future__ import annotations

from typing import Final

from cbmon.metrics.text import Family

_W: Final = ("worker",)
_ABSENT: Final = "with one process"

WORKER_COUNT: Final = Family(
    name="cbmon_workers",
    type="gauge",
    help="Processes that look at targets beside the main one; 0 with one process.",
)
WORKER_UP: Final = Family(
    name="cbmon_worker_up",
    type="gauge",
    labels=_W,
    help="1 while a worker takes orders, 0 while it is being replaced.",
    absent=_ABSENT,
)
WORKER_RESTARTS: Final = Family(
    name="cbmon_worker_restarts_total",
    type="counter",
    labels=_W,
    help="Times that a worker died and was replaced.",
    absent=_ABSENT,
)
WORKER_RUNS: Final = Family(
    name="cbmon_worker_runs_total",
    type="counter",
    labels=_W,
    help="Runs that ended in a worker.",
    absent=_ABSENT,
)
WORKER_REPEATED: Final = Family(
    name="cbmon_worker_runs_repeated_total",
    type="counter",
    labels=_W,
    help="Runs that began again because their worker had died.",
    absent=_ABSENT,
)
WORKER_UNANSWERED: Final = Family(
    name="cbmon_worker_runs_unanswered_total",
    type="counter",
    labels=_W,
    help="Runs that were given up because their worker, which lives, did not say how they ended.",
    absent=_ABSENT,
)
WORKER_IN_FLIGHT: Final = Family(
    name="cbmon_worker_runs_in_flight",
    type="gauge",
    labels=_W,
    help="Runs that a worker was ordered to do and that have not ended.",
    absent=_ABSENT,
)
WORKER_CPU: Final = Family(
    name="cbmon_worker_cpu_seconds_total",
    type="counter",
    labels=_W,
    help="Seconds of processor time that a worker has used, those it replaced included.",
    absent=_ABSENT,
)
WORKER_MEMORY: Final = Family(
    name="cbmon_worker_resident_memory_bytes",
    type="gauge",
    labels=_W,
    help="Bytes of memory that a worker holds.",
    absent=_ABSENT,
)
WORKER_DESCRIPTORS: Final = Family(
    name="cbmon_worker_open_fds",
    type="gauge",
    labels=_W,
    help="Files that a worker has open.",
    absent=_ABSENT,
)
WORKERS: Final = (
    WORKER_COUNT, WORKER_UP, WORKER_RESTARTS, WORKER_RUNS, WORKER_REPEATED, WORKER_UNANSWERED,
    WORKER_IN_FLIGHT, WORKER_CPU, WORKER_MEMORY, WORKER_DESCRIPTORS,
)  # fmt: skip
