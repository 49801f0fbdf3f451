"""The page ``docs/metrics.md``, made from the table of families.

Rule: what the page says is what :mod:`cbmon.metrics.families` says; a test compares the two.
Write it anew with ``python -m cbmon.metrics.page > docs/metrics.md``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Final

from cbmon.metrics import families as f
from cbmon.metrics.app_families import APPS
from cbmon.metrics.perfdata import PERFDATA
from cbmon.metrics.text import Family
from cbmon.metrics.worker_families import WORKERS

_INTRODUCTION: Final = """\
# Metrics

`GET /metrics` gives them in the text format 0.0.4, or in OpenMetrics 1.0 when the `Accept` header
prefers it, and compressed when it may be. This page is made from `cbmon/metrics/families.py`.

* Every series exists from the start, at 0, and is gone at the first scrape after its check, export
  or receiver was removed. The column *absent* tells the exceptions.
* Label values come from the configuration and from closed sets, never from what a target answers.
* Times are seconds, moments are Unix seconds. Durations are written to the microsecond, moments
  to the millisecond.
* A scrape is rendered while runs go on. Every check is read first, with its breaker, as it is
  at one moment, so that a scrape never shows more failures than runs.
"""

_VALUES: Final = (
    ("category", ("app", "check", "export", "receiver")),
    ("cause of a skipped run", f.CAUSES),
    ("cause of dropped samples", f.DROP_CAUSES),
    ("phase", f.PHASES),
    ("reason", f.REASONS),
    ("state, from_state, to_state", f.STATES),
)


def page() -> str:
    """The whole page."""
    return "\n".join(
        [
            _INTRODUCTION,
            "## Breakers",
            "",
            "The same from the daemon and, by `cbmon.metrics.BreakerCollector`, from applications.",
            "",
            *_table(f.BREAKERS),
            "## Checks",
            "",
            *_table(f.CHECKS),
            "What plug-ins tell, for the labels that [`exec`](checks/exec.md) lists:",
            "",
            *_table(PERFDATA),
            "## Exports",
            "",
            *_table(f.EXPORTS),
            "What they keep while they cannot hand on:",
            "",
            *_table(f.WAITING),
            "## Service discovery",
            "",
            *_table(f.DISCOVERY),
            "## Notifications",
            "",
            *_table(f.NOTIFYING),
            "## cbmon itself",
            "",
            *_table(f.ITSELF),
            "Worker processes (`cbmon run --workers N`):",
            "",
            *_table(WORKERS),
            "Applications that report their breakers:",
            "",
            *_table(APPS),
            "Besides, `process_*`, `python_info` and `python_gc_*` as prometheus_client has them.",
            "",
            "## Closed sets",
            "",
            "| label | values |",
            "| --- | --- |",
            *(f"| {_words(label)} | {_code(values)} |" for label, values in _VALUES),
            "",
            "## Histograms",
            "",
            "| metric | upper bounds in seconds |",
            "| --- | --- |",
            f"| `{f.CALL_DURATION.name}` | {_numbers(f.DURATION_BOUNDS)} |",
            f"| `{f.NOTIFICATION_LATENCY.name}` | {_numbers(f.LATENCY_BOUNDS)} |",
            f"| `{f.LATENESS.name}` | {_numbers(f.LATENESS_BOUNDS)} |",
            "",
        ]
    )


def _table(families: Iterable[Family]) -> Iterator[str]:
    yield "| metric | type | labels | meaning | absent |"
    yield "| --- | --- | --- | --- | --- |"
    for family in families:
        labels = _code(family.labels)
        yield f"| `{family.name}` | {family.type} | {labels} | {family.help} | {family.absent} |"
    yield ""


def _code(words: Iterable[str]) -> str:
    return " ".join(f"`{word}`" for word in words)


def _words(label: str) -> str:
    name, space, rest = label.partition(" of ")
    return f"`{name}`{space}{rest}"


def _numbers(values: Iterable[float]) -> str:
    return " ".join(f"{value:g}" for value in values)


if __name__ == "__main__":
    sys.stdout.write(page())
