"""What a configuration means once it is loaded.

Rule: everything is resolved; nothing refers to a template, a default or a file any more.
"""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from cbmon.config import CheckConfig, Config, ConfigTypes, load_config
from cbmon.config.fields import HostPort, Regex

GOOD = Path(__file__).parent / "good" / "contract.yml"


@pytest.fixture
def config(types: ConfigTypes, environ: dict[str, str]) -> Config:
    return load_config(GOOD, types=types, environ=environ)


def check(config: Config, name: str) -> CheckConfig:
    return next(one for one in config.checks if one.name == name)


def test_sections_are_in_the_units_of_the_daemon(config: Config) -> None:
    assert config.external_url == "https://cbmon.example.net"
    assert config.labels == {"site": "fra1"}
    assert config.storage.url == "sqlite:///var/lib/cbmon/cbmon.db"
    assert config.storage.retention == 30 * 86_400
    assert config.web.listen == (HostPort("127.0.0.1", 9813), HostPort("::1", 8080))
    assert [str(one) for one in config.web.probe.deny_cidrs] == ["169.254.0.0/16"]
    assert [(one.name, one.role) for one in config.web.tokens] == [
        ("ci", "operator"),
        ("me", "admin"),
    ]


def test_checks_of_all_files_come_in_order_with_their_options(config: Config) -> None:
    options: Any = check(config, "shop-api").options

    assert [one.name for one in config.checks] == [
        "shop-api",
        "shop-db",
        'quote " back\\slash {brace} é',
        "more",
    ]
    assert [one.type for one in config.checks] == ["http", "redis", "tcp", "tcp"]
    assert options.expect.status == (200, 204)
    assert options.expect.max_duration == 0.8
    assert options.expect.body.matches == Regex("ok")
    assert options.password.reveal() == "hunter2"
    assert options.follow is False
    assert config.files == (
        GOOD,
        GOOD.parent / "conf.d/10-more.yml",
        GOOD.parent / "conf.d/20-empty.yml",
    )


def test_what_a_check_does_not_say_comes_from_the_defaults(config: Config) -> None:
    api, database, other, more = config.checks

    assert (api.interval, api.timeout) == (15, 5)
    assert (database.interval, database.timeout) == (120, 60)
    assert (other.interval, other.timeout, other.enabled) == (2, 2, False)
    assert (more.group, more.tags, more.labels, more.receivers) == ("", (), {}, ())
    assert (api.group, api.tags, api.labels, api.receivers) == (
        "shop",
        ("critical",),
        {"team": "shop"},
        ("oncall",),
    )
    assert api.depends_on == ("shop-db",)


def test_policies_are_resolved_through_templates_and_overrides(config: Config) -> None:
    policy = check(config, "shop-api").policy
    overridden = check(config, "more").policy

    assert (policy.kind, policy.failure_rate_threshold) == ("percentage", 0.4)
    assert (policy.failure_threshold, policy.recovery_timeout) == (10, 120)
    assert (policy.recovery_backoff, policy.recovery_jitter) == (2, 0.2)
    assert (overridden.failure_threshold, overridden.recovery_timeout) == (2, 45)
    assert config.exports[1].policy.failure_threshold == 3
    assert config.exports[0].policy is check(config, "shop-db").policy


def test_exports_and_receivers_carry_their_types(config: Config) -> None:
    assert [(one.name, one.type) for one in config.exports] == [
        ("node-textfile", "textfile"),
        ("gateway", "pushgateway"),
    ]
    receivers = config.notifications.receivers
    assert [one.name for one in receivers] == ["oncall", "hook", "late"]
    assert [kind for kind, _ in receivers[0].integrations] == ["webhook", "email"]
    assert receivers[2].policy.failure_threshold == 10


def test_paths_are_relative_to_the_file_that_names_them(config: Config) -> None:
    options: Any = config.exports[0].options
    database: Any = check(config, "shop-db").options

    assert options.path == GOOD.parent / "cbmon.prom"
    assert database.dsn_file.path == GOOD.parent / "dsn"


def test_secret_files_that_are_not_there_yet_are_a_warning(config: Config) -> None:
    warned = {(problem.path, problem.line) for problem in config.warnings}

    assert ("checks[1].redis", 28) in warned
    assert all("is not there; it is read at each use" in one.message for one in config.warnings)


def test_a_configuration_cannot_be_changed(config: Config) -> None:
    with pytest.raises(FrozenInstanceError):
        config.labels = {}  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        config.checks[0].interval = 1  # type: ignore[misc]


def test_an_almost_empty_file_is_a_configuration_with_all_defaults(load: Any) -> None:
    config = load("checks:\nnotifications:\nweb:\n")

    assert (config.checks, config.exports, config.notifications.receivers) == ((), (), ())
    assert config.notifications.route is None
    assert config.web.listen == (HostPort("127.0.0.1", 9813),)
    assert config.storage.url == "sqlite:///var/lib/cbmon/cbmon.db"


def test_a_timeout_may_be_as_long_as_the_interval(load: Any) -> None:
    config = load("checks: [{name: a, tcp: {address: 'a:1'}, interval: 10s, timeout: 10s}]")

    assert config.checks[0].timeout == config.checks[0].interval == 10


def test_a_relative_path_to_the_file_still_gives_absolute_paths(load: Any) -> None:
    config = load("exports: [{name: a, textfile: {path: a.prom}}]")

    assert config.exports[0].options.path == Path.cwd() / "a.prom"
