"""Loading as a whole: any text, many checks, and everything at once.

Rule: a configuration or a ConfigError, soon.
"""

from __future__ import annotations

import gc
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cbmon.config import Config, ConfigError, ConfigTypes, load_config

WORDS = (
    "global storage web templates defaults include checks exports notifications name http tcp "
    "redis url address breaker template base kind interval timeout depends_on labels tags group "
    "receivers route routes receiver matchers retention listen tokens webhook email to x-a <<"
)
KEYS = st.sampled_from(WORDS.split())
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        ["30s", "40%", "a:1", "https://a/", "lenient", "${TOKEN}", "${NONE}", "*.yml"]
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=25,
)


ANY = settings(
    deadline=None, max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def outcome(path: Path, types: ConfigTypes) -> Config | ConfigError:
    try:
        return load_config(path, types=types, environ={"TOKEN": "hunter2"})
    except ConfigError as error:
        return error


@ANY
@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_any_mapping_is_a_configuration_or_a_list_of_problems(
    types: ConfigTypes, tmp_path: Path, data: dict[str, Any]
) -> None:
    path = tmp_path / "cbmon.yml"
    path.write_bytes(yaml.safe_dump(data, allow_unicode=True).encode("utf-8", "replace"))
    found = outcome(path, types)

    if isinstance(found, Config):
        assert found == outcome(path, types)
    else:
        assert found.problems
        assert "hunter2" not in str(found)


@ANY
@given(st.binary(max_size=300))
def test_any_bytes_are_a_configuration_or_a_list_of_problems(
    types: ConfigTypes, tmp_path: Path, data: bytes
) -> None:
    path = tmp_path / "cbmon.yml"
    path.write_bytes(data)
    found = outcome(path, types)

    assert isinstance(found, Config) or str(found).startswith(str(path))


def many(number: int) -> str:
    """As many checks as a large installation has, each with settings of its own."""
    return (
        "checks:\n"
        + "".join(
            f"  - name: shop-{index:05d}\n"
            f"    http:\n      url: https://shop-{index}.example.net/\n"
            "      expect: {max_duration: 800ms}\n"
            f"    interval: 15s\n    timeout: 3s\n"
            f"    breaker: {{template: lenient, failure_threshold: {3 + index % 5}}}\n"
            f"    depends_on: [shop-{max(index - 1, 0):05d}]\n    labels: {{team: shop}}\n"
            for index in range(1, number)
        )
        + "  - {name: shop-00000, tcp: {address: 'db:5432'}}\n"
    )


measured = pytest.mark.skipif(sys.gettrace() is not None, reason="coverage slows it down")


@measured
def test_ten_thousand_checks_are_loaded_within_three_seconds_of_work(load: Any) -> None:
    text = many(10_000)
    started = time.process_time()
    config = load(text)
    spent = time.process_time() - started

    assert len(config.checks) == 10_000
    assert len({id(check.policy) for check in config.checks}) <= 6
    assert spent < 3.0


@measured
def test_ten_thousand_typing_errors_are_told_within_ten_seconds_of_work(refuse: Any) -> None:
    text = (
        many(10_000)
        .replace("depends_on: [shop-", "depends_on: [sohp-")
        .replace("interval", "intervall")
    )
    started = time.process_time()
    said = refuse(text)
    spent = time.process_time() - started

    assert '"intervall"; did you mean "interval"?' in said
    assert spent < 10.0


def test_a_long_chain_of_dependencies_is_no_recursion(load: Any) -> None:
    assert len(load(many(5_000)).checks) == 5_000


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_left_as_it_was(load: Any, refuse: Any, enabled: bool) -> None:
    was = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        load("checks: []")
        refuse("chekcs: []")
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if was else gc.disable)()
