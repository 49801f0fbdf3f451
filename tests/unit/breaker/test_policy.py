"""R3 and the policy's fields: what cannot work is refused, with field, value and bound."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cbmon import BreakerPolicy, CircuitBreaker
from cbmon.breaker import BreakerWarning

RULES = ("error_rate", "throttling", "latency")
NAN, INF = float("nan"), float("inf")
COUNTS = ("failure_threshold", "minimum_calls", "window_size", "half_open_max_calls",
          "success_threshold", "max_failure_cycles", "adaptive_memory")  # fmt: skip
SECONDS = ("window_seconds", "slow_call_seconds", "recovery_timeout", "max_recovery_timeout",
           "half_open_max_wait", "call_timeout", "gradual_return_seconds", "adaptive_sensitivity",
           "adaptive_latency_limit")  # fmt: skip
RATIOS = ("failure_rate_threshold", "slow_call_rate_threshold", "adaptive_ceiling",
          "adaptive_floor", "adaptive_smoothing")  # fmt: skip
AT_LEAST_ONE = ("recovery_backoff", "adaptive_multiplier", "adaptive_latency_floor",
                "adaptive_latency_ceiling")  # fmt: skip
WRONG_TYPES: tuple[Any, ...] = (True, "5", [], object)
BAD: list[tuple[str, Any]] = [
    *((name, value) for name in COUNTS for value in (0, -1, 1.5, NAN, *WRONG_TYPES)),
    *((name, value) for name in SECONDS for value in (0, -1.0, NAN, INF, 10**400, *WRONG_TYPES)),
    *((name, value) for name in RATIOS for value in (0, -0.1, 1.1, NAN, INF, *WRONG_TYPES)),
    *((name, value) for name in AT_LEAST_ONE for value in (0.999, NAN, INF, *WRONG_TYPES)),
    *(("recovery_jitter", value) for value in (-0.1, 1.0, NAN, *WRONG_TYPES)),
    ("adaptive_floor", 1.0), ("adaptive_memory", 9), ("window_size", 1_000_001),
    *(("kind", value) for value in ("counts", None, 1, ["count"])),
    *(("auto_disable_enabled", value) for value in (1, "yes", None)),
    *(("is_failure", value) for value in (1, "x")),
    *((name, value) for name in ("expected_exceptions", "ignored_exceptions")
      for value in (None, 5, "OSError", ("OSError",), (OSError(),))),
    *(("adaptive_rules", value) for value in (None, (), "latency", ("speed",), (["latency"],))),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), BAD)
def test_a_wrong_value_is_refused_with_field_value_and_bound(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r" is not allowed; expected ") as caught:
        BreakerPolicy(**{field: value})
    assert str(caught.value).startswith(f"{field}: ")


@pytest.mark.parametrize(("fields", "message"), [
    ({"failure_threshold": 0},
     "failure_threshold: 0 is not allowed; expected a whole number >= 1 and <= 1000000"),
    ({"failure_threshold": 1_000_001},
     "failure_threshold: 1000001 is not allowed; expected a whole number >= 1 and <= 1000000"),
    ({"max_failure_cycles": 10**9},
     "max_failure_cycles: 1000000000 is not allowed; expected a whole number >= 1 and <= 1000000"),
    ({"minimum_calls": 0},
     "minimum_calls: 0 is not allowed; expected a whole number >= 1 and <= 1000000 or None"),
    ({"window_size": 0},
     "window_size: 0 is not allowed; expected a whole number >= 1 and <= 1000000"),
    ({"recovery_timeout": NAN},
     "recovery_timeout: nan is not allowed; expected a finite number > 0"),
    ({"recovery_jitter": 1.0},
     "recovery_jitter: 1.0 is not allowed; expected a finite number >= 0 and < 1"),
    ({"failure_rate_threshold": 0},
     "failure_rate_threshold: 0 is not allowed; expected a finite number > 0 and <= 1"),
    ({"kind": "counts"},
     "kind: 'counts' is not allowed; expected one of count, time, percentage, adaptive"),
    ({"auto_disable_enabled": 1},
     "auto_disable_enabled: 1 is not allowed; expected True or False"),
    ({"is_failure": 1}, "is_failure: 1 is not allowed; expected a callable or None"),
    ({"expected_exceptions": 5},
     "expected_exceptions: 5 is not allowed; expected a tuple of exception classes"),
    ({"ignored_exceptions": ("x",)},
     "ignored_exceptions: 'x' is not allowed; expected an exception class"),
    ({"adaptive_rules": ("speed",)},
     "adaptive_rules: 'speed' is not allowed; expected one of error_rate, throttling, latency"),
    ({"adaptive_rules": ()},
     "adaptive_rules: () is not allowed; expected a tuple of some of " + ", ".join(RULES)),
    ({"half_open_max_calls": 2, "success_threshold": 3},
     "success_threshold: 3 is not allowed; expected <= half_open_max_calls 2, or it never closes"),
    ({"recovery_timeout": 60, "max_recovery_timeout": 59},
     "max_recovery_timeout: 59.0 is not allowed; expected >= recovery_timeout 60.0"),
    ({"adaptive_floor": 0.5, "adaptive_ceiling": 0.5},
     "adaptive_ceiling: 0.5 is not allowed; expected > adaptive_floor 0.5"),
    ({"adaptive_latency_floor": 2, "adaptive_latency_ceiling": 2},
     "adaptive_latency_ceiling: 2.0 is not allowed; expected > adaptive_latency_floor 2.0"),
])  # fmt: skip
def test_the_message_is_exact(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r" is not allowed; ") as caught:
        BreakerPolicy(**fields)
    assert str(caught.value) == message


class TestR3:
    def test_a_rate_that_can_never_be_judged_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r" is not allowed; ") as caught:
            CircuitBreaker("x", kind="percentage", window_size=10, minimum_calls=11)
        assert str(caught.value) == (
            "minimum_calls: 11 is not allowed; expected <= window_size 10, or it never trips"
        )

    def test_it_concerns_the_percentage_kind_only(self) -> None:
        for kind in ("count", "time", "adaptive"):
            fields: dict[str, Any] = {"kind": kind, "window_size": 10, "minimum_calls": 11}
            assert BreakerPolicy(**fields).required_calls == 11
        assert (
            BreakerPolicy(kind="percentage", window_size=10, minimum_calls=10).required_calls == 10
        )


def test_the_edges_are_allowed() -> None:
    policy = BreakerPolicy(
        failure_rate_threshold=1, slow_call_rate_threshold=1.0, recovery_backoff=1,
        recovery_jitter=0, max_recovery_timeout=60, half_open_max_calls=2, success_threshold=2,
        adaptive_smoothing=1, adaptive_ceiling=1, adaptive_memory=10, window_size=1_000_000,
        failure_threshold=1, adaptive_latency_floor=1, call_timeout=1e-9,
    )  # fmt: skip
    assert policy.failure_rate_threshold == 1.0
    assert isinstance(policy.failure_rate_threshold, float)
    assert isinstance(policy.max_recovery_timeout, float)


def test_a_policy_is_frozen_shared_and_compared_by_value() -> None:
    policy = BreakerPolicy(expected_exceptions=OSError)  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        policy.kind = "time"  # type: ignore[misc]
    assert policy == BreakerPolicy(expected_exceptions=[OSError])  # type: ignore[arg-type]
    assert policy.expected_exceptions == (OSError,)
    assert hash(policy) == hash(policy.replace())
    assert CircuitBreaker("x", policy).policy is policy
    assert not hasattr(policy, "__dict__")
    with pytest.raises(TypeError):
        BreakerPolicy("count")  # type: ignore[call-arg]


def test_fields_given_to_a_breaker_replace_the_policys() -> None:
    policy = BreakerPolicy(failure_threshold=9, recovery_timeout=5.0)
    breaker = CircuitBreaker("x", policy, failure_threshold=2)
    assert (breaker.policy.failure_threshold, breaker.policy.recovery_timeout) == (2, 5.0)
    with pytest.raises(TypeError, match="failure_treshold"):
        CircuitBreaker("x", failure_treshold=2)


def test_the_defaults_are_the_contracts() -> None:
    policy = BreakerPolicy()
    assert policy.as_dict() | {name: None for name in policy.as_dict() if "adaptive" in name} == {
        "kind": "count", "failure_threshold": 5, "failure_rate_threshold": 0.5,
        "minimum_calls": None, "window_size": 100, "window_seconds": 60.0,
        "slow_call_seconds": None, "slow_call_rate_threshold": 1.0, "recovery_timeout": 60.0,
        "recovery_backoff": 1.0, "max_recovery_timeout": None, "recovery_jitter": 0.0,
        "half_open_max_calls": None, "success_threshold": None, "half_open_max_wait": None,
        "call_timeout": None, "auto_disable_enabled": False, "max_failure_cycles": 3,
        "expected_exceptions": ["Exception"], "ignored_exceptions": [], "is_failure": None,
        "gradual_return_seconds": None,
        **{name: None for name in policy.as_dict() if "adaptive" in name},
    }  # fmt: skip
    assert {name: value for name, value in policy.as_dict().items() if "adaptive" in name} == {
        "adaptive_rules": ["error_rate"], "adaptive_floor": 0.25, "adaptive_ceiling": 0.9,
        "adaptive_smoothing": 0.05, "adaptive_sensitivity": 3.0, "adaptive_memory": 1000,
        "adaptive_multiplier": 2.0, "adaptive_latency_limit": 8.0, "adaptive_latency_floor": 1.5,
        "adaptive_latency_ceiling": 10.0,
    }  # fmt: skip


def test_as_dict_is_json() -> None:
    class Judge:
        def __call__(self, result: object) -> bool:
            return False

    policy = BreakerPolicy(is_failure=Judge(), ignored_exceptions=(KeyError, OSError))
    data = json.loads(json.dumps(policy.as_dict()))
    assert (data["is_failure"], data["ignored_exceptions"]) == (
        Judge.__qualname__, ["KeyError", "OSError"],
    )  # fmt: skip
    assert BreakerPolicy(is_failure=len).as_dict()["is_failure"] == "len"


def test_it_measures_only_what_somebody_judges() -> None:
    assert not BreakerPolicy().measures
    assert BreakerPolicy(slow_call_seconds=1.0).measures
    assert not BreakerPolicy(adaptive_rules=("latency",)).measures
    assert BreakerPolicy(kind="adaptive", adaptive_rules=("latency",)).measures


DURATIONS = (
    "window_seconds", "slow_call_seconds", "recovery_timeout", "max_recovery_timeout",
    "half_open_max_wait", "call_timeout", "gradual_return_seconds",
)  # fmt: skip


@pytest.mark.parametrize("field", DURATIONS)
@pytest.mark.parametrize("value", [1e9 + 1, 1e308, 10**18, 10**400, 10**5000], ids=range(5))
def test_a_duration_is_at_most_what_calendars_and_timers_can_count(field: str, value: Any) -> None:
    longest: Any = {field: 1e9}
    BreakerPolicy(kind="time", **longest)
    with pytest.raises(ValueError, match=rf"^{field}: .* is not allowed; expected a finite number"):
        BreakerPolicy(kind="time", **{field: value})


def test_the_bound_that_is_broken_is_named() -> None:
    with pytest.raises(ValueError, match=r"number > 0 and <= 1000000000$"):
        BreakerPolicy(recovery_timeout=2e9)
    with pytest.raises(ValueError, match=r"number > 0 and <= 1000000000 or None$"):
        BreakerPolicy(call_timeout=2e9)
    with pytest.raises(ValueError, match=r"for_seconds: .* <= 1000000000$"):
        CircuitBreaker("it").open(for_seconds=2e9)
    longest = CircuitBreaker(
        "it", recovery_timeout=1e9, recovery_backoff=1e300, recovery_jitter=0.9
    )
    for _ in range(3):
        longest.open()
        longest.half_open()
    longest.open()
    assert longest.retry_after is not None
    assert longest.get_state()["state"] == "open"
    assert longest.explain()


def test_only_a_window_of_calls_lowers_the_least_number_of_them() -> None:
    for kind, number in (("percentage", 5), ("time", 10), ("adaptive", 10)):
        assert BreakerPolicy(kind=kind, window_size=5).required_calls == number  # type: ignore[arg-type]


@pytest.mark.parametrize(("what", "floor", "ceiling"), [
    ("adaptive", 0.3, 0.2), ("adaptive", 0.3, 0.3), ("adaptive_latency", 3.0, 2.0),
    ("adaptive_latency", 3.0, 3.0),
])  # fmt: skip
def test_a_ceiling_is_above_its_floor(what: str, floor: float, ceiling: float) -> None:
    fields: dict[str, Any] = {f"{what}_floor": floor, f"{what}_ceiling": ceiling}
    with pytest.raises(ValueError, match=f"{what}_ceiling: .* expected > {what}_floor {floor}"):
        BreakerPolicy(kind="adaptive", **fields)


@pytest.mark.parametrize("size", [20, 200])
def test_a_field_without_effect_is_told_whether_it_is_more_or_less_than_the_default(
    size: int,
) -> None:
    with pytest.warns(BreakerWarning, match="window_size"):
        CircuitBreaker("it", window_size=size)


def test_a_field_that_is_as_it_was_is_no_field_without_effect() -> None:
    assert CircuitBreaker("it", window_size=100).policy == BreakerPolicy()
