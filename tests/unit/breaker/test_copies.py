"""Copies and pickles: a breaker is itself, what it raises and tells crosses to other processes."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest

from cbmon import (
    BreakerPolicy,
    BreakerRegistry,
    Bulkhead,
    BulkheadFullError,
    CircuitBreaker,
    CircuitOpenError,
    InvalidTransitionError,
    RegistryFullError,
    State,
)
from cbmon.breaker import CallTimeoutError, NeutralError, Trigger
from cbmon.config.problems import ConfigError, Problem
from cbmon.errors import MissingExtraError
from cbmon.resilience import BulkheadRegistry, RetryBudget, retry
from cbmon.watch import BreakerMonitor

ONE_OF_A_KIND: list[Callable[[], Any]] = [
    lambda: CircuitBreaker("it"),
    BreakerRegistry,
    lambda: Bulkhead("it"),
    BulkheadRegistry,
    RetryBudget,
    lambda: BreakerMonitor([]),
    lambda: CircuitBreaker("it").try_acquire(),
]
ERRORS: list[Exception] = [
    CircuitOpenError("shop", State.OPEN, 2.5),
    CircuitOpenError("shop", State.FORCED_OPEN, None),
    CallTimeoutError("shop", 2.5),
    InvalidTransitionError("shop", State.DISABLED, Trigger.OPEN),
    RegistryFullError("shop", 3),
    NeutralError("shop"),
    BulkheadFullError("shop", 3, 0.5),
    MissingExtraError("shop", "redis"),
    ConfigError((Problem("a.yml", 1, 2, "checks", "wrong"), Problem("a.yml", 2, 2, "", "too"))),
]


@pytest.mark.parametrize("make", ONE_OF_A_KIND)
def test_a_copy_is_the_thing_itself_and_no_other_process_gets_it(make: Callable[[], Any]) -> None:
    it = make()
    assert copy.copy(it) is it
    assert copy.deepcopy({"settings": [it]})["settings"][0] is it
    with pytest.raises(TypeError, match=r"cannot be pickled: it counts what happens in this"):
        pickle.dumps(it)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_crosses_with_its_fields(error: Exception) -> None:
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(other) is type(error)
        assert (str(other), vars(other)) == (str(error), vars(error))
        for name, _ in inspect.getmembers(type(error), lambda it: isinstance(it, property)):
            assert getattr(other, name) == getattr(error, name)


def test_a_rejection_that_somebody_else_made_can_be_printed() -> None:
    assert str(CircuitOpenError("in a test")) == "in a test"
    assert str(CircuitOpenError("a", "b", "c", "d")) == "('a', 'b', 'c', 'd')"


def rejected() -> None:
    breaker = CircuitBreaker("in the other process", recovery_timeout=30)
    breaker.open()
    breaker.call(print)


def test_a_rejection_comes_out_of_a_process_pool() -> None:
    with (
        ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool,
        pytest.raises(CircuitOpenError) as caught,
    ):
        pool.submit(rejected).result(timeout=30)
    assert (caught.value.name, caught.value.state) == ("in the other process", State.OPEN)
    assert 29 < (caught.value.retry_after or 0) <= 30


def test_events_policies_and_counts_are_plain_data() -> None:
    told: list[Any] = []
    breaker = CircuitBreaker("it", kind="time", minimum_calls=1, listeners=[told.append])
    with pytest.raises(ValueError, match="x"):
        breaker.call(int, "x")
    breaker.reconfigure(BreakerPolicy())
    breaker.reset()
    assert {event.kind for event in told} == {
        "failure", "failure_rate_exceeded", "transition", "reconfigured", "reset",
    }  # fmt: skip
    for each in (*told, breaker.policy, breaker.counts, breaker.get_state(), breaker.snapshot()):
        assert pickle.loads(pickle.dumps(each)) == each
        assert copy.deepcopy(each) == each


def test_retries_without_a_seed_do_not_keep_step_after_a_fork() -> None:
    first = retry()
    state = pickle.dumps(getattr(first._random, "__dict__", {}))
    assert first._random.random() != pickle.loads(state)
    assert [retry(seed=1)._random.random() for _ in range(2)] == [
        retry(seed=1)._random.random()
    ] * 2
    with pytest.raises(NotImplementedError):
        first._random.getstate()  # it has none that a child could share
