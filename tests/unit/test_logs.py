"""Rule: a line is a phrase plus fields, one line each, whatever is in them."""

from __future__ import annotations

import io
import json
import logging
import re

import pytest

from cbmon import logs

log = logging.getLogger("cbmon.tests")


def written(form: str = "logfmt", *, journal: bool = False, level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    with logs.logging_to(stream, form=form, journal=journal, level=level):
        log.debug("seen at debug only")
        log.warning("breaker opened", extra=logs.fields(component='a "b"\nc', after=5, skip=None))
    return stream


def test_logfmt_quotes_what_needs_it_and_leaves_out_none() -> None:
    line = written().getvalue()
    assert re.fullmatch(
        r'ts=\S+Z level=warn msg="breaker opened" component="a \\"b\\"\\nc" after=5\n', line
    )


def test_json_lines_hold_the_same_fields() -> None:
    line = json.loads(written("json").getvalue())
    assert line.pop("ts").endswith("Z")
    assert line == {"level": "warn", "msg": "breaker opened", "component": 'a "b"\nc', "after": 5}


def test_the_journal_gets_a_priority_and_no_time() -> None:
    assert written(journal=True).getvalue().startswith('<4>level=warn msg="breaker opened"')


def test_the_level_decides_what_is_written() -> None:
    assert "seen at debug only" not in written().getvalue()
    assert "seen at debug only" in written(level="debug").getvalue()


def test_a_traceback_stays_on_its_line() -> None:
    stream = io.StringIO()
    with logs.logging_to(stream, journal=False):
        try:
            int("no")
        except ValueError:
            log.exception("sink failed")
    assert stream.getvalue().count("\n") == 1
    assert "ValueError: invalid literal" in stream.getvalue()


def test_a_reader_that_does_not_read_costs_lines_and_says_how_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import queue

    waiting: queue.Queue[logging.LogRecord] = queue.Queue(1)
    handler = logs._DroppingHandler(waiting)
    record = logging.makeLogRecord({"msg": "one"})
    for _ in range(4):
        handler.enqueue(record)
    waiting.get_nowait()
    handler.enqueue(logging.makeLogRecord({"msg": "five"}))
    assert waiting.get_nowait().__dict__["fields"] == {"dropped_lines_before": 3}


def test_the_warnings_of_libraries_take_the_same_form() -> None:
    stream = io.StringIO()
    with logs.logging_to(stream, form="json", journal=False):
        logging.getLogger("aiohttp.server").error("bad request")
        logging.getLogger("apscheduler.executors").info("ran")
    assert json.loads(stream.getvalue())["msg"] == "bad request"
