"""Rules with one slip each, as people make them.

Rule: a mutant changes one thing in one rule; what it changes is its name.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

from cbmon.config.units import format_duration, parse_duration

Rules = dict[str, Any]

_WINDOW = re.compile(r"(\w+)_over_time\([^\[\]]*\[(\w+)\]\)|\[(\w+)\]")
_COMPARED = re.compile(r"(?<![=!<>])(<|>|==|!=|>=|<=)( (?:on|ignoring) \([^)]*\))? (-?[\d.]+)\b")
_CLAUSE = re.compile(r"^( *)(and|unless|or) ", re.MULTILINE)
_SWAPS = {
    "max_over_time": "min_over_time",
    "min_over_time": "max_over_time",
    "avg_over_time": "max_over_time",
    "increase(": "rate(",
}


def mutants(rules: Rules) -> Iterator[tuple[str, Rules]]:
    """Every mutant of a rule file with what is wrong in it."""
    for group, found in enumerate(rules["groups"]):
        for index, rule in enumerate(found["rules"]):
            name = rule.get("alert") or rule["record"]
            for what, changed in _of_rule(rule):
                made = copy.deepcopy(rules)
                made["groups"][group]["rules"][index] = changed
                yield f"{name}: {what}", made


def _of_rule(rule: Rules) -> Iterator[tuple[str, Rules]]:
    for what, expr in _of_expression(rule["expr"]):
        yield what, {**rule, "expr": expr}
    if "for" in rule:
        without = {key: value for key, value in rule.items() if key != "for"}
        yield "no for", without
        yield "twice the for", {**rule, "for": _scaled(rule["for"], 2)}
    if "keep_firing_for" in rule:
        kept = {key: value for key, value in rule.items() if key != "keep_firing_for"}
        yield "no keep_firing_for", kept


def _of_expression(expr: str) -> Iterator[tuple[str, str]]:
    yield from _thresholds(expr)
    yield from _windows(expr)
    yield from _clauses(expr)
    for word, other in _SWAPS.items():
        for at in re.finditer(re.escape(word), expr):
            yield f"{other} for {word}", expr[: at.start()] + other + expr[at.end() :]
    for at in re.finditer(r"last_over_time\(([^\[\]]*)\[\w+\]\)", expr):
        yield "no bridge over failed scrapes", expr[: at.start()] + at[1] + expr[at.end() :]


def _thresholds(expr: str) -> Iterator[tuple[str, str]]:
    for at in _COMPARED.finditer(expr):
        operator, matching, number = at[1], at[2] or "", float(at[3])
        for changed in _other_bounds(operator, matching, number):
            yield f"{changed} for {at[0]}", expr[: at.start()] + changed + expr[at.end() :]


def _other_bounds(operator: str, matching: str, number: float) -> Iterator[str]:
    if operator == "<" and number == 1:
        yield "== 0"
    elif operator == "==" and number == 0:
        yield f"<{matching} 1"
    elif operator == "==" or (operator, number) == ("<", 0.5):
        yield f"<={matching} {number:g}"
    elif number == 0:
        yield f"{operator}={matching} 0"
    else:
        counted = 1 < number <= 50 and number * 2 == int(number * 2)
        step = 1 if counted else number / 10
        yield f"{operator}{matching} {number - step:g}"
        yield f"{operator}{matching} {number + step:g}"


def _windows(expr: str) -> Iterator[tuple[str, str]]:
    """Half and twice a window; what only bridges failed scrapes has a mutant of its own."""
    for at in _WINDOW.finditer(expr):
        group = 2 if at[2] else 3
        if at[1] == "last":
            continue
        start, end = at.span(group)
        for factor in (0.5, 2):
            changed = _scaled(at[group], factor)
            yield f"[{changed}] for [{at[group]}]", expr[:start] + changed + expr[end:]


def _clauses(expr: str) -> Iterator[tuple[str, str]]:
    """Without one guard: an ``and``, ``unless`` or ``or`` with all that is indented below it."""
    for at in _CLAUSE.finditer(expr):
        indent = len(at[1])
        lines = expr[at.start() :].splitlines(keepends=True)
        length = 1
        while length < len(lines) and (
            len(lines[length]) - len(lines[length].lstrip()) > indent
            or (
                lines[length].strip() in {")", ") > 0"}
                and len(lines[length]) - len(lines[length].lstrip()) == indent
                and "(" in lines[0]
                and lines[0].count("(") != lines[0].count(")")
            )
        ):
            length += 1
        clause = "".join(lines[:length])
        yield (
            f"without {clause.split(' (')[0].strip()[:60]!r}",
            expr.replace(clause, "," if clause.rstrip().endswith(",") else "", 1),
        )


def _scaled(duration: str, factor: float) -> str:
    return format_duration(parse_duration(duration) * factor)
