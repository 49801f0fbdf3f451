"""The collector for library users: the daemon's names, nothing of the daemon, nothing stale."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from cbmon.breaker.breaker import CircuitBreaker
from cbmon.metrics import BreakerCollector
from cbmon.metrics import families as f
from cbmon.testing import ManualClock

ROOT = Path(__file__).parents[3]


def scrape(*breakers: CircuitBreaker) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(BreakerCollector(breakers))
    return registry


def test_every_family_of_breakers_is_there_with_the_daemons_help() -> None:
    families = {family.name: family for family in scrape(CircuitBreaker("users")).collect()}
    for family in f.BREAKERS:
        found = families[family.name.removesuffix("_total")]
        assert (found.type, found.documentation) == (family.type, family.help)


def test_the_numbers_are_the_breakers() -> None:
    clock = ManualClock()
    breaker = CircuitBreaker("users", clock=clock, failure_threshold=1)
    breaker.enable_duration_histogram((0.5, 1.0))
    breaker.record(breaker.try_acquire() or 0, failed=True, duration=0.7)
    assert breaker.try_acquire() is None
    registry = scrape(breaker)
    labels = {"component": "users", "category": "app"}

    def value(name: str, **more: str) -> float | None:
        return registry.get_sample_value(f"circuit_breaker_{name}", labels | more)

    assert value("state") == 0
    assert value("status", state="open") == 1
    assert value("failures_total") == value("calls_total") == value("trips_total") == 1
    assert value("rejections_total") == 1
    assert value("transitions_total", from_state="closed", to_state="open") == 1
    assert value("transitions_total", from_state="half_open", to_state="closed") == 0
    assert value("open_until_timestamp_seconds") == clock.time() + 60
    assert value("failure_ratio") is None
    assert value("call_duration_seconds_bucket", le="0.5") == 0
    assert value("call_duration_seconds_bucket", le="1.0") == 1
    assert value("call_duration_seconds_sum") == 0.7
    clock.advance(60)
    assert value("state") == 0.5


def test_a_breaker_that_was_evicted_is_gone_and_a_new_one_is_there() -> None:
    held = [CircuitBreaker("a"), CircuitBreaker("b")]
    registry = CollectorRegistry()
    registry.register(BreakerCollector(held))
    assert b'component="a"' in generate_latest(registry)
    held[0] = CircuitBreaker("c")
    text = generate_latest(registry)
    assert b'component="a"' not in text
    assert b'component="c"' in text


def test_an_iterator_is_read_once_and_kept() -> None:
    registry = CollectorRegistry()
    registry.register(BreakerCollector(iter([CircuitBreaker("a")])))
    assert generate_latest(registry) == generate_latest(registry)
    assert b'component="a"' in generate_latest(registry)


def test_two_breakers_of_one_name_do_not_break_the_scrape() -> None:
    text = generate_latest(scrape(CircuitBreaker("a"), CircuitBreaker("a")))
    assert text.count(b"circuit_breaker_calls_total{") == 1


def test_registering_asks_no_breaker_and_a_second_collector_clashes() -> None:
    class Untouchable:
        def __iter__(self) -> object:
            raise AssertionError

    registry, collector = CollectorRegistry(), BreakerCollector(Untouchable())  # type: ignore[arg-type]
    registry.register(collector)
    with pytest.raises(ValueError, match="Duplicated"):
        registry.register(BreakerCollector([]))


def test_importing_it_needs_nothing_of_the_daemon() -> None:
    code = (
        "import sys; from cbmon.metrics import BreakerCollector; "
        "print(*{'aiohttp', 'apscheduler', 'pydantic', 'sqlalchemy', 'yaml', 'jinja2', 're2'}"
        " & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
