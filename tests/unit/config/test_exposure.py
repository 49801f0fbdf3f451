"""Addresses that other machines reach, and tokens that expire and are rotated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cbmon.config import ConfigError
from cbmon.config.addresses import HostPort
from cbmon.config.exposure import is_exposed
from cbmon.web.exposure import web_config_of

HASH = "$2y$04$" + "a" * 53


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:1", False),
        ("[::1]:1", False),
        ("localhost:1", False),
        (":1", True),
        ("0.0.0.0:1", True),
        ("[::]:1", True),
        ("192.0.2.7:1", True),
        ("cbmon.example.net:1", False),
    ],
)
def test_what_others_reach_is_exposed_and_names_are_judged_later(
    address: str, expected: bool
) -> None:
    assert is_exposed(HostPort.parse(address, listen=True)) is expected


def test_an_exposed_address_without_a_credential_is_told_with_its_place(load: Any) -> None:
    config = load('web:\n  listen: ["127.0.0.1:9813", "0.0.0.0:9813"]\n')
    with pytest.raises(ConfigError) as caught:
        web_config_of(config)
    assert ":2:30: web.listen[1]: 0.0.0.0:9813 is reachable from other machines" in str(
        caught.value
    )


def test_a_token_makes_an_exposed_address_good(load: Any) -> None:
    config = load('web:\n  listen: [":9813"]\n  tokens: [{name: a, token: long}]\n')
    assert web_config_of(config) is None


def test_a_web_config_file_with_users_does_as_well(load: Any, tmp_path: Path) -> None:
    file = tmp_path / "web.yml"
    config = load(f'web:\n  listen: [":9813"]\n  config_file: {file}\n')
    file.write_text("rate_limit: {interval: 1s, burst: 9}\n")
    with pytest.raises(ConfigError, match="no credential is configured"):
        web_config_of(config)
    file.write_text(f"basic_auth_users: {{a: {HASH}}}\n")
    found = web_config_of(config)
    assert found is not None
    assert found.users.keys() == {"a"}


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("0.0.0.0:1", "1:1: --web.listen-address: 0.0.0.0:1 is reachable"),
        ("nowhere", '1:1: --web.listen-address: expected "host:port"'),
    ],
)
def test_an_address_of_the_command_line_is_judged_too(
    load: Any, address: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        web_config_of(load("web: {}\n"), listen=[address])
    assert message in str(caught.value)
    assert web_config_of(load('web: {listen: [":1"]}\n'), listen=["127.0.0.1:1"]) is None


@pytest.mark.parametrize(
    "moment", ["2027-01-31T12:00:00", "2027-01-31", "soon", "12", "2027-13-01T00:00:00Z"]
)
def test_an_expiry_is_a_moment_with_its_zone(refuse: Any, moment: str) -> None:
    told = refuse(f'web: {{tokens: [{{name: a, token: b, expires_at: "{moment}"}}]}}\n')
    assert "expected a moment with its zone, such as 2027-01-31T12:00:00Z" in str(told)


def test_two_tokens_of_one_name_are_a_rotation_and_three_are_a_mistake(
    load: Any, refuse: Any
) -> None:
    entry = "    - {name: ci, role: operator, token: %s, expires_at: 2027-01-31T12:00:00+01:00}\n"
    config = load("web:\n  tokens:\n" + entry % "old" + entry % "new")
    assert [token.expires for token in config.web.tokens] == [1801393200.0] * 2
    assert "a third token" in str(refuse("web:\n  tokens:\n" + entry % "a" * 3))
    other = entry.replace("operator", "admin")
    assert "has role operator" in str(refuse("web:\n  tokens:\n" + entry % "a" + other % "b"))
