"""Rule: what is listed of performance data becomes series, in its unit, while it is listed."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from cbmon.metrics import Metrics
from cbmon.model import Unit
from cbmon.probes.exec.perfdata import parse
from cbmon.testing import ManualClock

UNITS: dict[str, Unit] = {
    "a": "value", "time": "seconds", "/": "bytes", "cpu": "ratio", "n": "counter",
}  # fmt: skip


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(ManualClock())


def told(text: str) -> list[dict[str, Any]]:
    return [one.facts() for one in parse(text)]


def series(metrics: Metrics, check: str = "disk") -> dict[tuple[str, str], float]:
    """What is exposed of a check's performance data, by the end of its name and its label."""
    return {
        (sample.name.removeprefix("cbmon_check_perfdata_"), sample.labels["label"]): sample.value
        for family in parse_text(metrics.exposition.text().decode())
        for sample in family.samples
        if sample.name.startswith("cbmon_check_perfdata_") and sample.labels["check"] == check
    }


def test_what_is_listed_is_there_before_it_is_told_and_claims_no_value(metrics: Metrics) -> None:
    metrics.add_perfdata("disk", UNITS)

    found = series(metrics)

    assert {key for key in found if key[0] == "told"} == {("told", label) for label in UNITS}
    assert {found["told", label] for label in UNITS} == {0.0}
    gauges = {("value", "a"), ("seconds", "time"), ("bytes", "/"), ("ratio", "cpu")}
    assert {key for key in found if key[0] != "told"} == gauges
    assert all(math.isnan(found[key]) for key in gauges)


def test_each_is_told_in_its_base_unit_and_nothing_besides(metrics: Metrics) -> None:
    record = metrics.add_perfdata("disk", UNITS)

    record.tell(told("a=3 time=250ms '/'=2KiB;;;0;9 cpu=97% n=12c other=5 evil{x=1"))

    found = series(metrics)
    values = {
        ("value", "a"): 3.0, ("seconds", "time"): 0.25, ("bytes", "/"): 2048.0,
        ("ratio", "cpu"): 0.97, ("total", "n"): 12.0,
    }  # fmt: skip
    assert found == values | {("told", label): 1.0 for label in UNITS}


@pytest.mark.parametrize(
    ("label", "written"),
    [("time", "3B"), ("/", "3s"), ("cpu", "3s"), ("n", "3%"), ("n", "-3c"), ("time", "3widgets")],
)
def test_another_unit_than_the_configured_one_is_not_told(
    metrics: Metrics, label: str, written: str
) -> None:
    record = metrics.add_perfdata("disk", UNITS)

    record.tell(told(f"{label}={written}"))

    found = series(metrics)
    assert found["told", label] == 0.0
    assert all(math.isnan(value) for (name, _), value in found.items() if name != "told")


def test_a_number_without_a_unit_is_believed_and_any_unit_is_a_value(metrics: Metrics) -> None:
    record = metrics.add_perfdata("disk", UNITS)

    record.tell(told("time=3 cpu=0.5 n=4 a=50%"))

    found = series(metrics)
    assert (found["seconds", "time"], found["ratio", "cpu"], found["total", "n"]) == (3, 0.5, 4)
    assert found["value", "a"] == 0.5


def test_what_was_told_stays_until_it_is_told_anew(metrics: Metrics) -> None:
    record = metrics.add_perfdata("disk", {"a": "value", "n": "counter"})

    record.tell(told("a=3 n=1c"))
    record.tell([])

    assert series(metrics) == {
        ("value", "a"): 3.0, ("total", "n"): 1.0, ("told", "a"): 0.0, ("told", "n"): 0.0,
    }  # fmt: skip


def test_a_list_that_changed_has_the_new_series_only_and_they_go_with_the_check(
    metrics: Metrics,
) -> None:
    old = metrics.add_perfdata("disk", {"a": "value"})
    new = metrics.add_perfdata("disk", {"b": "value"})
    metrics.remove_perfdata(old)
    assert {label for _, label in series(metrics)} == {"b"}

    metrics.remove_perfdata(new)

    assert series(metrics) == {}


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_odd_names_and_labels_are_read_back_by_both_parsers(check: str, label: str) -> None:
    metrics = Metrics(ManualClock())
    record = metrics.add_perfdata(check, {label: "counter"})
    record.tell([{"label": label, "value": 7.0, "unit": "counter"}])
    clean = [text.encode("utf-8", "replace").decode() for text in (check, label)]

    families = [
        *parse_text(metrics.exposition.text().decode()),
        *parse_openmetrics(metrics.exposition.openmetrics().decode()),  # type: ignore[no-untyped-call]
    ]

    found = [
        sample
        for family in families
        for sample in family.samples
        if sample.name == "cbmon_check_perfdata_total"
    ]
    assert [[one.labels["check"], one.labels["label"]] for one in found] == [clean, clean]
    assert [one.value for one in found] == [7.0, 7.0]
