"""Histories to replay: from a file, or from a Prometheus.

Rule: a line or an answer that cannot be used is refused with its place; times are Unix seconds.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from cbmon.errors import CbmonError
from cbmon.simulation.replay import Sample

MOST: Final = 2_000_000
"""Results that are replayed at most."""
_POINTS: Final = 10_000
"""Points of one range query; Prometheus refuses more than 11,000."""
_TIMEOUT: Final = 60.0
_GOOD: Final = frozenset({"1", "true", "ok", "up", "yes", "success"})
_BAD: Final = frozenset({"0", "false", "down", "no", "fail", "failure"})


class HistoryError(CbmonError):
    """A history cannot be read; the message says where and why."""


def from_file(path: Path) -> list[Sample]:
    """CSV with ``time,ok[,seconds]`` (a heading is passed over), or one JSON object a line with
    ``at``, ``ok`` and perhaps ``seconds``. A time is a Unix time or ISO 8601 with its zone."""
    found: list[Sample] = []
    with path.open(encoding="utf-8", errors="replace", newline="") as lines:
        for number, fields in _fields(lines, path):
            if number == 1 and str(fields[0]).strip().lower() in {"time", "at", "timestamp"}:
                continue
            try:
                found.append(_sample(*fields))
            except (ValueError, TypeError) as error:
                raise HistoryError(f"{path}:{number}: {error}") from None
            if len(found) > MOST:
                raise HistoryError(f"{path}: more than {MOST} results; replay a part of them")
    return sorted(found)


def _fields(lines: Any, path: Path) -> Iterator[tuple[int, tuple[Any, Any, Any]]]:
    if path.suffix in {".jsonl", ".ndjson", ".json"}:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield number, _object(line, f"{path}:{number}")
        return
    reader = csv.reader(lines)
    for row in _rows(reader, path):
        if not row:
            continue
        if len(row) not in {2, 3}:
            place = f"{path}:{reader.line_num}"
            raise HistoryError(f"{place}: {len(row)} columns, expected time,ok or time,ok,seconds")
        yield reader.line_num, (row[0], row[1], row[2] if len(row) == 3 else None)


def _rows(reader: Any, path: Path) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error as error:
        raise HistoryError(f"{path}:{reader.line_num}: {error}") from None


def _object(line: str, place: str) -> tuple[Any, Any, Any]:
    try:
        data = json.loads(line)
        return data["at"], data["ok"], data.get("seconds")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise HistoryError(f'{place}: expected an object such as {{"at": 0, "ok": true}}') from None


def _sample(at: Any, ok: Any, seconds: Any) -> Sample:
    return Sample(_time(at), _verdict(ok), None if seconds in {None, ""} else _number(seconds))


def _time(value: Any) -> float:
    try:
        return _number(value)
    except (ValueError, TypeError):
        pass
    moment = datetime.fromisoformat(str(value).strip())
    if moment.tzinfo is None:
        raise ValueError(f"time {value!r} has no zone; write for one 2026-01-02T03:04:05Z")
    return moment.timestamp()


def _number(value: Any) -> float:
    number = float(value)
    if isinstance(value, bool) or not isfinite(number):
        raise ValueError(f"{value!r} is not a number")
    return number


def _verdict(value: Any) -> bool:
    word = str(value).strip().lower()
    if word in _GOOD:
        return True
    if word in _BAD:
        return False
    raise ValueError(f"ok: {value!r} is not allowed; expected 1 or 0, true or false")


async def from_prometheus(
    url: str, query: str, *, begin: float, end: float, step: float, durations: str | None = None
) -> list[Sample]:
    """What ``query`` was from ``begin`` to ``end`` every ``step`` seconds: above 0 is good.

    ``durations`` is a second query for how long each run took. Raises HistoryError when the
    server cannot be asked, or when a query gives other than one series.
    """
    values = await _range(url, query, begin, end, step)
    if len(values) > MOST:
        raise HistoryError(f"more than {MOST} points; ask for less, or for a longer step")
    took = dict(await _range(url, durations, begin, end, step)) if durations else {}
    return [Sample(at, value > 0, took.get(at)) for at, value in values]


async def _range(
    url: str, query: str, begin: float, end: float, step: float
) -> list[tuple[float, float]]:
    import aiohttp  # noqa: PLC0415 - a file is replayed without it

    if urlsplit(url).scheme not in {"http", "https"}:
        raise HistoryError(f"{url}: expected http://HOST:PORT of a Prometheus")
    found: list[tuple[float, float]] = []
    try:
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while begin <= end and len(found) <= MOST:
                until = min(end, begin + _POINTS * step)
                form = {"query": query, "start": begin, "end": until, "step": step}
                address = f"{url.rstrip('/')}/api/v1/query_range"
                async with session.post(address, data=form) as answer:
                    said = _json(await answer.read(), f"{address} answered {answer.status}")
                found += _points(said, query)
                begin = until + step
    except TimeoutError as error:
        raise HistoryError(f"{url}: no answer within {_TIMEOUT:g} s") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise HistoryError(f"{url}: {str(error) or type(error).__name__}") from error
    return found


def _json(body: bytes, what: str) -> Mapping[str, Any]:
    """The answer of Prometheus' API; ``what`` begins what is said of any other."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        return found
    got = "something else" if body.strip() else "nothing"
    raise HistoryError(f"{what} with {got}, expected JSON; is this a Prometheus?")


def _points(answer: Mapping[str, Any], query: str) -> list[tuple[float, float]]:
    if answer.get("status") != "success":
        why = answer.get("error") or "it does not say why"
        raise HistoryError(f"Prometheus refused {query}: {why}")
    try:
        series = list(answer["data"]["result"])
        points = series[0]["values"] if len(series) == 1 else []
        found = [(float(at), float(value)) for at, value in points]
    except (KeyError, TypeError, ValueError):
        raise HistoryError(f"{query} gives no range of numbers; ask for a series") from None
    if len(series) > 1:
        raise HistoryError(f"{query} gives {len(series)} series, expected one; name its labels")
    return found
