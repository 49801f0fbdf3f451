"""The numbers of worker processes.

Rule: a worker's series exist from the start and outlive the process: it is the place that is
counted, not who fills it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import attrgetter

from cbmon.metrics import worker_families as f
from cbmon.metrics.text import Family, labelled, lines, number


class WorkerRecord:
    """What is counted of one worker. ``cpu`` is in seconds, ``resident`` in bytes."""

    __slots__ = (
        "cpu", "descriptors", "in_flight", "name", "repeated", "resident", "restarts", "runs",
        "unanswered", "up",
    )  # fmt: skip

    def __init__(self, name: str) -> None:
        self.name = name
        self.up = 0
        self.restarts = 0
        self.runs = 0
        self.repeated = 0
        self.unanswered = 0
        self.in_flight = 0
        self.cpu = 0.0
        self.resident = 0
        self.descriptors = 0


def worker_sections(records: Iterable[WorkerRecord]) -> Iterator[tuple[Family, bytes]]:
    """Each family with the lines of every worker."""
    records = list(records)

    def plain(family: Family, name: str) -> tuple[Family, bytes]:
        value = attrgetter(name)
        parts = (
            lines([labelled(family.name, {"worker": each.name})], number(value(each)))
            for each in records
        )
        return family, b"".join(parts)

    yield f.WORKER_COUNT, lines([f.WORKER_COUNT.name], number(len(records)))
    yield plain(f.WORKER_UP, "up")
    yield plain(f.WORKER_RESTARTS, "restarts")
    yield plain(f.WORKER_RUNS, "runs")
    yield plain(f.WORKER_REPEATED, "repeated")
    yield plain(f.WORKER_UNANSWERED, "unanswered")
    yield plain(f.WORKER_IN_FLIGHT, "in_flight")
    yield plain(f.WORKER_CPU, "cpu")
    yield plain(f.WORKER_MEMORY, "resident")
    yield plain(f.WORKER_DESCRIPTORS, "descriptors")
