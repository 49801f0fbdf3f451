"""Rule: an answer of Prometheus is good when every series passes, and there is one."""

from __future__ import annotations

import time
from typing import Any

import pytest

from cbmon.model import Reason

THREE = 'label_replace(vector(1), "n", "a", "", "") or label_replace(vector(2), "n", "b", "", "")'


@pytest.mark.parametrize(
    ("query", "expect"),
    [
        ("vector(1)", {}),
        ("vector(1)", {"value": 1, "series": 1}),
        ("0.6", {"value": "> 0.5"}),
        (THREE, {"value": [">= 1", "< 3"], "series": "> 1"}),
        ("1 / 0", {"value": "> 0"}),
        ("nowhere", {"empty": "pass", "value": "> 5"}),
        ("nowhere", {"series": 0}),
    ],
)
async def test_a_good_answer_passes(
    look: Any, metrics: Any, query: str, expect: dict[str, Any]
) -> None:
    result = await look("promql", url=metrics.url, query=query, expect=expect)

    assert result.ok, result.error


@pytest.mark.parametrize(
    ("reason", "message", "query", "expect"),
    [
        (Reason.BODY, "got no series, expected some", "nowhere", {}),
        (Reason.BODY, "got 1 series, expected > 1", "vector(1)", {"series": "> 1", "value": 1}),
        (Reason.BODY, "{} is 0.5, expected > 0.5", "0.5", {"value": "> 0.5"}),
        (Reason.BODY, '{n="b"} is 2, expected 1 (1 of 2 series)', THREE, {"value": 1}),
        (Reason.BODY, "is nan, expected != 5", "0 / 0", {"value": "!= 5"}),
        (Reason.BODY, "a vector or a scalar", "vector(1)[1m:1s]", {}),
        (Reason.BODY, "a vector or a scalar", '"text"', {}),
        (Reason.STATUS, "got status 400, expected 200", "sum(", {}),
        (Reason.LATENCY, "expected at most 0.1ms", "vector(1)", {"max_duration": 0.0001}),
    ],
)
async def test_a_bad_answer_says_what_was_expected(
    look: Any, metrics: Any, reason: Reason, message: str, query: str, expect: dict[str, Any]
) -> None:
    result = await look("promql", url=metrics.url, query=query, expect=expect)

    assert result.reason is reason, result.error
    assert message in result.error


async def test_the_facts_show_what_was_found(look: Any, metrics: Any) -> None:
    result = await look("promql", url=f"{metrics.url}/", query=THREE)

    assert result.facts["series"] == 2
    assert result.facts["values"] == {'{n="a"}': 1.0, '{n="b"}': 2.0}
    assert result.facts["url"] == f"{metrics.url}/api/v1/query"
    assert result.phases.processing > 0


async def test_a_metric_of_its_own_can_be_asked_for(look: Any, metrics: Any) -> None:
    result = await look("promql", url=metrics.url, query="time()", expect={"value": "> 1e9"})

    assert result.ok, result.error
    assert result.facts["values"]["{}"] == pytest.approx(time.time(), abs=60)
