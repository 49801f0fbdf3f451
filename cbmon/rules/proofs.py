"""The scenes as unit tests for promtool, beside the rules that they test.

Rule: a test names every annotation in full, as Prometheus must write it; a text that a rule
cannot fill in (``<no value>``) fails. Files are by the interval of their evaluations, because
promtool has one for each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote_plus

import yaml as pyyaml

from cbmon.rules.film import lasting, spelled
from cbmon.rules.plan import Plan
from cbmon.rules.quoting import promql, yaml
from cbmon.rules.scenes import (
    Scene,
    breaker_scenes,
    call_scenes,
    check_scenes,
    daemon_scenes,
    notification_scenes,
    slo_scenes,
    traffic_scenes,
)
from cbmon.rules.scenes.scene import Firing, Query

_ACTION: Final = re.compile(r"\{\{ (.+?) \}\}")
_LABEL: Final = re.compile(r"\$labels\.(\w+)( \| urlquery)?")
_SCENES: Final = (
    breaker_scenes,
    call_scenes,
    check_scenes,
    notification_scenes,
    traffic_scenes,
    daemon_scenes,
    slo_scenes,
)

Rule = Mapping[str, Any]


def proofs(plan: Plan, rules: str, name: str) -> dict[str, str]:
    """Test files by name for the text of a rule file that will be named ``name``."""
    alerts = _alerts(rules)
    by_step: dict[str, list[Scene]] = {}
    for scenes in _SCENES:
        for scene in scenes(plan):
            if scene.alert in alerts:
                by_step.setdefault(scene.film.step_interval, []).append(scene)
    return {
        f"{name.removesuffix('.rules.yml')}.test.{step}.yml": "\n".join(
            _file(name, step, found, alerts)
        )
        for step, found in sorted(by_step.items())
    }


def expanded(template: str, firing: Firing) -> str:
    """What Prometheus makes of one of our annotations for an alert.

    ValueError for an action that none of ours has.
    """

    def value(match: re.Match[str]) -> str:
        action = match[1]
        if action == '"{{"':
            return "{{"
        if action.startswith("$value"):
            return firing.value
        label = _LABEL.fullmatch(action)
        if label is None:
            raise ValueError(f"unknown action in a template: {action}")
        found = firing.labels.get(label[1], "")
        return quote_plus(found, safe="-_.~") if label[2] else found

    return _ACTION.sub(value, template)


def _alerts(rules: str) -> dict[str, Rule]:
    loaded = pyyaml.load(rules, Loader=pyyaml.CSafeLoader)
    return {
        rule["alert"]: rule
        for group in loaded["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }


def _file(name: str, step: str, scenes: list[Scene], alerts: Mapping[str, Rule]) -> Iterator[str]:
    yield f"rule_files: [{name}]"
    yield f"evaluation_interval: {step}"
    yield "tests:"
    for scene in scenes:
        yield from _test(scene, alerts[scene.alert])
    yield ""


def _test(scene: Scene, rule: Rule) -> Iterator[str]:
    film = scene.film
    yield f"  # {scene.alert}: {scene.what}"
    yield f"  - interval: {film.sample_interval}"
    yield "    input_series:" if scene.series else "    input_series: []"
    for series in scene.series:
        yield f"      - series: {yaml(series.notation())}"
        yield f"        values: {yaml(spelled(lasting(series.tokens, scene.length)))}"
    if scene.queries:
        yield "    promql_expr_test:"
        yield from (line for query in scene.queries for line in _answer(scene, query))
    if scene.shots:
        yield "    alert_rule_test:"
    for step in sorted(scene.shots):
        yield f"      - eval_time: {_time(film.step(step))}"
        yield f"        alertname: {scene.alert}"
        firing = scene.shots[step]
        yield "        exp_alerts:" if firing else "        exp_alerts: []"
        for one in firing:
            yield from _expected(one, rule)


def _answer(scene: Scene, query: Query) -> Iterator[str]:
    yield f"      - expr: {yaml(query.expression)}"
    yield f"        eval_time: {_time(scene.film.step(query.step))}"
    labels = ",".join(f"{key}={promql(query.labels[key])}" for key in sorted(query.labels))
    yield f"        exp_samples: [{{labels: {yaml('{' + labels + '}')}, value: {query.value:g}}}]"


def _expected(firing: Firing, rule: Rule) -> Iterator[str]:
    static = {key: expanded(value, firing) for key, value in rule["labels"].items()}
    prefix = "          - "
    for title, texts in (
        ("exp_labels", {**firing.labels, **static}),
        ("exp_annotations", {k: expanded(v, firing) for k, v in rule["annotations"].items()}),
    ):
        yield f"{prefix}{title}:"
        prefix = "            "
        yield from (f"{prefix}  {key}: {yaml(texts[key])}" for key in sorted(texts))


def _time(milliseconds: int) -> str:
    return f"{milliseconds}ms"
