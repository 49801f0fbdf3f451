"""What is taken over from other monitors loads, and nothing is left out in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from cbmon.build import config_types
from cbmon.cli.root import cli
from cbmon.config import Config, ConfigError, load_config
from cbmon.errors import ConfigurationError
from cbmon.migrate import blackbox, gatus
from cbmon.migrate.draft import Draft

MODULES = """
modules:
  web:
    prober: http
    timeout: 3s
    http:
      method: POST
      headers: {Host: shop.example, X-A: "${b}", Accept-Encoding: gzip}
      body: '{"a": 1}'
      bearer_token: t0ken
      compression: gzip
      valid_status_codes: [200, 204]
      fail_if_not_ssl: true
      follow_redirects: false
      preferred_ip_protocol: ip4
      fail_if_body_not_matches_regexp: [ok]
      fail_if_body_matches_regexp: [error]
      fail_if_header_matches: [{header: Server, regexp: nginx}]
      fail_if_header_not_matches: [{header: X-B, regexp: "^1$"}]
      tls_config: {ca_file: /etc/ca.pem, min_version: TLS13}
      proxy_url: http://proxy
  mail:
    prober: tcp
    tcp:
      query_response:
      - expect: "^220 ([^ ]+)"
      - send: "EHLO ${1}"
      - starttls: true
      - {expect_bytes: S}
  names:
    prober: dns
    dns:
      query_name: a.example
      query_type: SOA
      valid_rcodes: [NXDOMAIN]
      validate_answer_rrs: {fail_if_none_matches_regexp: [a, b]}
  ping: {prober: icmp, icmp: {ttl: 5}}
  health: {prober: grpc, grpc: {tls: true, service: cart, metadata: {Key: [v]}}}
  socket: {prober: unix}
  odd: {prober: dns}
"""
PROMETHEUS = """
global: {scrape_interval: 45s}
scrape_configs:
- job_name: node
  static_configs: [{targets: [a]}]
- job_name: blackbox
  metrics_path: /probe
  params: {module: [web]}
  static_configs: [{targets: ["https://shop.example/x", "b.example"]}]
- job_name: mail
  metrics_path: /probe
  scrape_interval: 2m
  params: {module: [mail]}
  static_configs: [{targets: ["mail.example:25"]}]
- job_name: gone
  metrics_path: /probe
  params: {module: [gone]}
  static_configs: [{targets: [c]}]
"""
GATUS = """
alerting: {slack: {webhook-url: x}}
endpoints:
- name: front-end
  group: core
  url: "https://shop.example/health"
  interval: 5m
  method: POST
  body: '{"q": "${x}"}'
  headers: {Host: x.example, X-A: b}
  client: {insecure: true, ignore-redirect: true, timeout: 4s}
  conditions:
  - "[STATUS] == any(200, 429)"
  - "[BODY].status == UP"
  - "[BODY].n > 3"
  - "[BODY].name == pat(a*b)"
  - "[RESPONSE_TIME] < 150"
  - "[BODY] == pat(*ok*)"
  - "[BODY] != error"
  - "has([BODY].errors) == false"
  - "len([BODY].data) > 3"
  - "[CERTIFICATE_EXPIRATION] > 48h"
  - "[DOMAIN_EXPIRATION] > 720h"
- name: front-end
  url: http://other.example
  enabled: false
  conditions: ["[STATUS] < 300", "[CONNECTED] == true"]
- {name: dns, url: "192.0.2.53", dns: {query-name: example.com, query-type: A},
   conditions: ["[BODY] == 192.0.2.1", "[DNS_RCODE] == NOERROR"]}
- {name: ping, url: "icmp://example.org", conditions: ["[CONNECTED] == true"]}
- {name: tcp, url: "tcp://example.org:5432", alerts: [{type: slack}]}
- {name: tls, url: "tls://example.org:443", conditions: ["[CERTIFICATE_EXPIRATION] > 24h"]}
- {name: queue, url: "sctp://example.org:443"}
"""


def loaded(draft: Draft, directory: Path) -> Config:
    file = directory / "cbmon.yml"
    file.write_text(draft.text())
    return load_config(file, types=config_types(), environ={})


def written(directory: Path, name: str, text: str) -> Path:
    file = directory / name
    file.write_text(text)
    return file


def test_modules_and_their_targets_become_checks(tmp_path: Path) -> None:
    modules = written(tmp_path, "blackbox.yml", MODULES)
    draft = blackbox.convert(modules, written(tmp_path, "prometheus.yml", PROMETHEUS))
    config = loaded(draft, tmp_path)
    checks: dict[str, Any] = {check.name: check for check in config.checks}
    assert set(checks) == {
        "web shop.example-x",
        "web b.example",
        "mail mail.example:25",
        "names",
        "ping",
        "health",
    }
    web = checks["web shop.example-x"]
    assert (web.timeout, web.interval, web.group, web.enabled) == (3, 45, "web", True)
    options = web.options
    assert (options.url, options.host, options.method) == (
        "https://shop.example/x",
        "shop.example",
        "POST",
    )
    assert options.headers == {"X-A": "${b}"}
    assert options.bearer_token.reveal() == "t0ken"
    assert options.expect.tls is True
    assert options.family == "prefer_ipv4"
    assert checks["mail mail.example:25"].options.dialogue[1].send == "EHLO $1\n"
    assert checks["mail mail.example:25"].interval == 120
    assert checks["names"].enabled is False


def test_what_cannot_be_carried_over_is_told(tmp_path: Path) -> None:
    modules = written(tmp_path, "blackbox.yml", MODULES)
    draft = blackbox.convert(modules, written(tmp_path, "prometheus.yml", PROMETHEUS))
    told = "\n".join(draft.notes)
    for words in (
        "web: proxy_url was not carried over",
        "names: no target was named",
        'socket: the prober "unix" has no check',
        "odd: there is no query_name",
        "gone: Prometheus probes by this module",
    ):
        assert words in told
        assert f"# {words}" in draft.text()


def test_endpoints_become_checks(tmp_path: Path) -> None:
    draft = gatus.convert(written(tmp_path, "gatus.yml", GATUS))
    config = loaded(draft, tmp_path)
    checks: dict[str, Any] = {check.name: check for check in config.checks}
    assert list(checks) == ["front-end", "front-end-2", "dns", "ping", "tcp", "tls"]
    first = checks["front-end"]
    assert (first.interval, first.timeout, first.group) == (300, 4, "core")
    assert first.options.body == '{"q": "${x}"}'
    assert first.options.tls.insecure_skip_verify is True
    assert first.options.follow_redirects is False
    expect = first.options.expect
    assert [str(one) for one in expect.status] == ["200", "429"]
    assert set(map(str, expect.json_paths)) == {"$.status", "$.n", "$.name", "$.errors"}
    assert (expect.max_duration, expect.certificate_days) == (0.15, 2)
    assert [pattern.pattern for pattern in expect.body.matches] == ["(?s)^.*ok.*$"]
    assert checks["front-end-2"].enabled is False
    assert checks["tls"].options.expect.certificate_days == 1


def test_conditions_without_a_counterpart_are_told(tmp_path: Path) -> None:
    notes = gatus.convert(written(tmp_path, "gatus.yml", GATUS)).notes
    assert notes == [
        "front-end: the condition len([BODY].data) > 3 was not carried over",
        "front-end: the condition [DOMAIN_EXPIRATION] > 720h was not carried over",
        "tcp: its alerts were not carried over; name receivers instead",
        "queue: sctp is not known to cbmon; it was left out",
        "alerting: was not carried over; see notifications and web in docs",
    ]


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        blackbox.convert(tmp_path / "none.yml")
    for text in ("a: [", "- a", "{{"):
        with pytest.raises(ConfigurationError, match=r"gatus\.yml"):
            gatus.convert(written(tmp_path, "gatus.yml", text))


def test_the_command_prints_or_writes(tmp_path: Path) -> None:
    file = str(written(tmp_path, "gatus.yml", GATUS))
    printed = CliRunner().invoke(cli, ["import", "gatus", file])
    assert printed.exit_code == 0
    assert len(yaml.safe_load(printed.stdout)["checks"]) == 6
    assert "queue: sctp is not known" in printed.stderr
    out = str(tmp_path / "out.yml")
    assert CliRunner().invoke(cli, ["import", "gatus", file, "--out", out]).exit_code == 0
    assert Path(out).read_text() == printed.stdout
    again = CliRunner().invoke(cli, ["import", "gatus", file, "--out", out])
    assert (again.exit_code, "is there already" in again.stderr) == (2, True)


def test_a_bad_module_file_is_bad_news(tmp_path: Path) -> None:
    file = written(tmp_path, "blackbox.yml", "modules: {a: {timeout: 5}}")
    result = CliRunner().invoke(cli, ["import", "blackbox", str(file)])
    assert result.exit_code == 1
    assert "expected a duration with a unit" in result.stderr
