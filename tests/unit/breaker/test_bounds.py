"""What every field of a policy may hold and what it holds by itself, and what value objects are.

Rule: written out by hand, so that a bound or a default that changes is a decision.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from math import inf, nan, nextafter
from typing import Any

import pytest

import cbmon.breaker
from cbmon import BreakerPolicy
from cbmon.breaker.arguments import shown
from cbmon.breaker.validation import BOUNDS

WORDS = {
    "failure_threshold": "a whole number >= 1 and <= 1000000",
    "failure_rate_threshold": "a finite number > 0 and <= 1",
    "minimum_calls": "a whole number >= 1 and <= 1000000 or None",
    "window_size": "a whole number >= 1 and <= 1000000",
    "window_seconds": "a finite number > 0 and <= 1000000000",
    "slow_call_seconds": "a finite number > 0 and <= 1000000000 or None",
    "slow_call_rate_threshold": "a finite number > 0 and <= 1",
    "recovery_timeout": "a finite number > 0 and <= 1000000000",
    "recovery_backoff": "a finite number >= 1",
    "max_recovery_timeout": "a finite number > 0 and <= 1000000000 or None",
    "recovery_jitter": "a finite number >= 0 and < 1",
    "half_open_max_calls": "a whole number >= 1 and <= 1000000 or None",
    "success_threshold": "a whole number >= 1 and <= 1000000 or None",
    "half_open_max_wait": "a finite number > 0 and <= 1000000000 or None",
    "call_timeout": "a finite number > 0 and <= 1000000000 or None",
    "max_failure_cycles": "a whole number >= 1 and <= 1000000",
    "gradual_return_seconds": "a finite number > 0 and <= 1000000000 or None",
    "adaptive_floor": "a finite number > 0 and < 1",
    "adaptive_ceiling": "a finite number > 0 and <= 1",
    "adaptive_smoothing": "a finite number > 0 and <= 1",
    "adaptive_sensitivity": "a finite number > 0",
    "adaptive_memory": "a whole number >= 10 and <= 1000000",
    "adaptive_multiplier": "a finite number >= 1",
    "adaptive_latency_limit": "a finite number > 0",
    "adaptive_latency_floor": "a finite number >= 1",
    "adaptive_latency_ceiling": "a finite number >= 1",
}
DEFAULTS: dict[str, Any] = {
    "kind": "count",
    "failure_threshold": 5,
    "failure_rate_threshold": 0.5,
    "minimum_calls": None,
    "window_size": 100,
    "window_seconds": 60.0,
    "slow_call_seconds": None,
    "slow_call_rate_threshold": 1.0,
    "recovery_timeout": 60.0,
    "recovery_backoff": 1.0,
    "max_recovery_timeout": None,
    "recovery_jitter": 0.0,
    "half_open_max_calls": None,
    "success_threshold": None,
    "half_open_max_wait": None,
    "call_timeout": None,
    "auto_disable_enabled": False,
    "max_failure_cycles": 3,
    "expected_exceptions": (Exception,),
    "ignored_exceptions": (),
    "is_failure": None,
    "gradual_return_seconds": None,
    "adaptive_rules": ("error_rate",),
    "adaptive_floor": 0.25,
    "adaptive_ceiling": 0.9,
    "adaptive_smoothing": 0.05,
    "adaptive_sensitivity": 3.0,
    "adaptive_memory": 1000,
    "adaptive_multiplier": 2.0,
    "adaptive_latency_limit": 8.0,
    "adaptive_latency_floor": 1.5,
    "adaptive_latency_ceiling": 10.0,
}

LONGEST = 80


def test_each_field_tells_its_bounds() -> None:
    assert {name: bound.described(whole=True) for name, bound in BOUNDS.items()} == WORDS


def test_each_field_has_its_default() -> None:
    assert {name: getattr(BreakerPolicy(), name) for name in DEFAULTS} == DEFAULTS
    assert {field.name for field in dataclasses.fields(BreakerPolicy)} == set(DEFAULTS)


@pytest.mark.parametrize("name", WORDS)
def test_a_bound_holds_what_its_words_say(name: str) -> None:
    bound, words = BOUNDS[name], WORDS[name]
    step: Any = (lambda value, way: value + way) if bound.type is int else nextafter_towards
    assert bound.holds(bound.low) == (f">= {bound.low:g}" in words)
    assert bound.holds(step(bound.low, 1))
    assert not bound.holds(step(bound.low, -1))
    if bound.high is not None:
        assert bound.holds(bound.high) == ("<=" in words)
        assert bound.holds(step(bound.high, -1))
        assert not bound.holds(step(bound.high, 1))
    assert not any(map(bound.holds, (inf, -inf, nan)))


def nextafter_towards(value: float, way: int) -> float:
    return nextafter(value, inf * way)


def value_objects() -> list[type[Any]]:
    found = []
    for info in pkgutil.iter_modules(cbmon.breaker.__path__):
        module = importlib.import_module(f"cbmon.breaker.{info.name}")
        found += [
            value
            for value in vars(module).values()
            if isinstance(value, type)
            and dataclasses.is_dataclass(value)
            and value.__module__ == module.__name__
        ]
    return found


@pytest.mark.parametrize("kind", value_objects())
def test_value_objects_do_not_change_and_have_no_order_of_arguments(kind: type[Any]) -> None:
    assert kind.__dataclass_params__.frozen
    assert "__slots__" in vars(kind)
    assert all(field.kw_only for field in dataclasses.fields(kind))


@pytest.mark.parametrize("length", [1, 58, 500])
def test_what_an_error_shows_is_not_longer_than_it_may_be(length: int) -> None:
    text = shown(list(range(length)))
    whole = repr(list(range(length)))
    assert text == whole or (len(text) == LONGEST and text == whole[: LONGEST - 1] + "…")
    assert (text == whole) == (len(whole) <= LONGEST)


def test_an_error_shows_letters_as_they_are_and_no_control_characters() -> None:
    assert shown("Größe") == "'Größe'"
    assert shown("ß" * (LONGEST - 2)) == f"'{'ß' * (LONGEST - 2)}'"
    assert shown("Größe\x1b") == r"'Gr\xf6\xdfe\x1b'"
