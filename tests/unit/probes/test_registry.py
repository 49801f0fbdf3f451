"""Rule: a kind is found by its name, describes itself, and costs nothing until it is used."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from cbmon.errors import ConfigurationError
from cbmon.interfaces import Probe
from cbmon.probes import PROBES, ProbeEnvironment, probe_type
from cbmon.testing import ManualClock

SMALLEST = {
    "mysql": {"dsn": "mysql://u:hunter2@a.test/b"},
    "python": {"call": "acme.checks:queue"},
    "mcp": {"url": "http://a.test/mcp?key=k"},
    "llm": {"url": "http://a.test/v1", "model": "m"},
    "heartbeat": {"token": "0123456789abcdef", "cron": "0 3 * * *"},
    "grpc": {"address": "a.test:50051", "service": "cart"},
    "http": {"url": "http://a.test/?token=t"},
    "postgres": {"dsn": "postgresql://u:hunter2@a.test/b"},
    "promql": {"url": "http://a.test:9090", "query": "up"},
    "redis": {"url": "redis://u@a.test/3", "password": "hunter2"},
    "exec": {"command": ["/usr/bin/true", "--password=hunter2"]},
    "icmp": {"host": "a.test"},
    "ssh": {"address": "a.test:22"},
    "smtp": {"address": "a.test:25"},
    "tcp": {"address": "a.test:80"},
    "tls": {"address": "a.test:443"},
    "websocket": {"url": "wss://a.test/live?token=t"},
    "dns": {"server": "[::1]:53", "name": "a.test"},
}


@pytest.mark.parametrize("name", PROBES)
def test_every_kind_is_there_under_its_name(name: str) -> None:
    assert name == probe_type(name).name


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("http://a.test/?token=<secret>", "http"),
        ("a.test:5432/b", "postgres"),
        ("http://a.test:9090", "promql"),
        ("a.test:50051/cart", "grpc"),
        ("a.test:6379/3", "redis"),
        ("/usr/bin/true", "exec"),
        ("a.test", "icmp"),
        ("a.test:22", "ssh"),
        ("a.test:25", "smtp"),
        ("0 3 * * * UTC", "heartbeat"),
        ("http://a.test/v1 m", "llm"),
        ("http://a.test/mcp?key=<secret>", "mcp"),
        ("acme.checks:queue", "python"),
        ("a.test:3306/b", "mysql"),
        ("a.test:80", "tcp"),
        ("a.test:443", "tls"),
        ("wss://a.test/live?token=<secret>", "websocket"),
        ("a.test A @[::1]:53", "dns"),
    ],
)
async def test_a_kind_names_its_target_and_builds_its_probe(target: str, name: str) -> None:
    found = probe_type(name)
    options = found.options.model_validate(SMALLEST[name])

    probe: Probe = found.build(options, ProbeEnvironment(clock=ManualClock()))

    assert target == found.target(options)
    await probe.close()


SECRETIVE = [
    ("http", {"url": "https://me@a.test/?api_key=hunter2&x=1#hunter2"}),
    ("http", {"url": "http://a.test/", "bearer_token": "hunter2"}),
    ("websocket", {"url": "wss://a.test/live?access_token=hunter2"}),
    ("promql", {"url": "http://a.test/?token=hunter2", "query": "up"}),
    ("llm", {"url": "http://a.test/v1?key=hunter2", "model": "m"}),
    ("mcp", {"url": "http://a.test/mcp?secret=hunter2"}),
    ("postgres", {"dsn": "postgresql://me:hunter2@a.test/b"}),
    ("mysql", {"dsn": "mysql://me:hunter2@a.test/b"}),
    ("redis", {"url": "redis://me@a.test/3", "password": "hunter2"}),
    ("exec", {"command": ["/usr/bin/true", "-p", "hunter2"], "environment": {"P": "hunter2"}}),
    ("heartbeat", {"token": "hunter2hunter2hunter2", "interval": "1h"}),
    ("tcp", {"address": "a.test:1", "dialogue": [{"send": "AUTH hunter2"}]}),
]


@pytest.mark.parametrize(("name", "given"), SECRETIVE)
def test_no_kind_names_a_credential_with_its_target(name: str, given: dict[str, Any]) -> None:
    """It is a label of ``cbmon_check_info``, which everybody who scrapes can read."""
    found = probe_type(name)
    target = found.target(found.options.model_validate(given))

    assert "hunter2" not in target
    assert "me@" not in target


@pytest.mark.parametrize("name", PROBES)
def test_every_option_of_a_kind_is_described(name: str) -> None:
    schema = probe_type(name).options.model_json_schema()

    for model in (schema, *schema.get("$defs", {}).values()):
        for option, described in model.get("properties", {}).items():
            assert described.get("description"), option


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match='unknown kind of check "htpp"; known are dns, '):
        probe_type("htpp")


def test_no_client_is_imported_before_a_check_needs_it() -> None:
    code = "import sys, cbmon.probes; sys.exit('aiohttp' in sys.modules or 're2' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
