"""Log lines as logfmt or JSON, written by a thread so that a full pipe never blocks the loop.

Rule: a line is a constant phrase plus ``key=value`` fields, passed as
``extra={"fields": {...}}``. Under systemd's journal the line carries its priority and leaves
the time to the journal.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import queue
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, TextIO

LEVELS: Final = ("debug", "info", "warning", "error")
FORMATS: Final = ("logfmt", "json")
LIBRARIES: Final = ("aiohttp", "apscheduler", "asyncio", "sqlalchemy")
"""Whose warnings go the same way, so that every line has the form that was asked for."""
QUEUE_LENGTH: Final = 10_000
"""Lines that may wait for a slow reader; more are dropped and counted in a later line."""

_PRIORITIES: Final = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}


def fields(**values: Any) -> dict[str, dict[str, Any]]:
    """The ``extra`` argument of a log call; a value of None is left out."""
    return {"fields": {key: value for key, value in values.items() if value is not None}}


@contextmanager
def logging_to(
    stream: TextIO, *, level: str = "info", form: str = "logfmt", journal: bool | None = None
) -> Iterator[None]:
    """Send cbmon's loggers to ``stream`` until the block ends, then write out the rest.

    The warnings of LIBRARIES go with them. ``journal`` says whether ``stream`` is systemd's
    journal; None asks the environment.
    """
    if journal is None:
        journal = "JOURNAL_STREAM" in os.environ
    waiting: queue.Queue[logging.LogRecord] = queue.Queue(QUEUE_LENGTH)
    writer = logging.StreamHandler(stream)
    writer.setFormatter(JsonFormatter() if form == "json" else LogfmtFormatter(journal=journal))
    entrance = _DroppingHandler(waiting)
    listener = logging.handlers.QueueListener(waiting, writer)
    ours, others = logging.getLogger("cbmon"), [logging.getLogger(name) for name in LIBRARIES]
    before = [(each, each.level, each.propagate) for each in (ours, *others)]
    ours.setLevel(level.upper())
    for each in others:
        each.setLevel(max(logging.WARNING, ours.level))
    for each in (ours, *others):
        each.propagate = False
        each.addHandler(entrance)
    listener.start()
    try:
        yield
    finally:
        listener.stop()
        for each, old_level, propagate in before:
            each.removeHandler(entrance)
            each.setLevel(old_level)
            each.propagate = propagate


class LogfmtFormatter(logging.Formatter):
    """``ts=… level=… msg="…" key=value``, the form that Prometheus and its friends write."""

    def __init__(self, *, journal: bool = False) -> None:
        super().__init__()
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        """One line; a traceback follows as one quoted field, so that a line stays a line."""
        line = " ".join(f"{key}={_logfmt(value)}" for key, value in _items(record, self._journal))
        if self._journal:
            return f"<{_PRIORITIES.get(record.levelno, 6)}>{line}"
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; what JSON cannot hold is written as its ``str``."""
        return json.dumps(dict(_items(record, False)), default=str, ensure_ascii=False)


class _DroppingHandler(logging.handlers.QueueHandler):
    """Never blocks: what does not fit is dropped, and the next line that fits says how many."""

    def __init__(self, waiting: queue.Queue[logging.LogRecord]) -> None:
        super().__init__(waiting)
        self._dropped = 0

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            if self._dropped:
                record.fields = {**_fields(record), "dropped_lines_before": self._dropped}
            self.queue.put_nowait(record)
            self._dropped = 0
        except queue.Full:
            self._dropped += 1

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        if record.exc_info:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
            record.exc_info = None
        return record


def _items(record: logging.LogRecord, journal: bool) -> Iterator[tuple[str, Any]]:
    if not journal:
        at = datetime.fromtimestamp(record.created, UTC)
        yield "ts", at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    yield "level", "warn" if record.levelno == logging.WARNING else record.levelname.lower()
    yield "msg", record.getMessage()
    yield from _fields(record).items()
    if record.exc_text:
        yield "traceback", record.exc_text


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    found = getattr(record, "fields", None)
    return found if isinstance(found, Mapping) else {}


def _logfmt(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    if text and all(char > " " and char not in '"=\\' and char.isprintable() for char in text):
        return text
    return json.dumps(text, ensure_ascii=False)


def default_stream() -> TextIO:
    """Where the daemon logs: standard error, as systemd and containers expect."""
    return sys.stderr
