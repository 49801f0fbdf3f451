"""Module files: what blackbox_exporter loads is loaded, what it refuses is refused with a place."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from cbmon.blackbox.file import load_modules, parse_modules
from cbmon.blackbox.modules import Module, shown
from cbmon.config import ConfigError
from cbmon.config.problems import Problems


def parsed(text: str) -> dict[str, Module]:
    return parse_modules(dedent(text).encode(), "blackbox.yml", Problems())


def module(text: str) -> Module:
    body = dedent(text).strip().replace("\n", "\n    ")
    return parsed(f"modules:\n  it:\n    {body}\n")["it"]


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parsed(text)
    return str(caught.value)


GOOD = """
    modules:
      web:
        prober: http
        timeout: 5s
        http:
      web_post:
        prober: http
        timeout: 1m30s
        http:
          method: POST
          headers: {Content-Type: application/json}
          body: '{"a": "${b}"}'
          basic_auth: {username: user, password: hunter2}
          body_size_limit: 1MB
          valid_status_codes: [200, 0o313]
          fail_if_header_not_matches:
          - {header: Access-Control-Allow-Origin, regexp: '(\\*|example\\.com)'}
          tls_config: {insecure_skip_verify: yes}
      mail:
        prober: tcp
        tcp:
          query_response:
          - expect: "^220 ([^ ]+) ESMTP"
            labels: [{name: host, value: "${1}"}]
          - send: "STARTTLS\\r"
          - starttls: on
      database:
        prober: tcp
        tcp:
          query_response:
          - send: !!binary AAAACATSFi8=
          - expect_bytes: S
          - starttls: true
      names:
        prober: dns
        dns:
          query_name: example.com
          query_type: SOA
          valid_rcodes: [NOERROR]
          validate_answer_rrs: {fail_if_matches_regexp: [test]}
      ping: {prober: icmp, icmp: {ttl: 5, preferred_ip_protocol: ip4}}
      health: {prober: grpc, grpc: {service: a, metadata: {key: [v1, v2]}}}
      local: {prober: unix, unix: {query_response: [{send: PING}, {expect: PONG}]}}
      odd: {prober: grpc_probe}
      bare:
"""


def test_a_file_with_everything_is_read() -> None:
    found = parsed(GOOD)
    assert found["web"].timeout == 5
    assert found["web"].http.method == "GET"
    post = found["web_post"]
    assert post.timeout == 90
    assert post.http.body == '{"a": "${b}"}'
    assert post.http.body_size_limit == 1024 * 1024
    assert post.http.valid_status_codes == (200, 0o313)
    assert post.http.tls_config.insecure_skip_verify is True
    assert found["mail"].tcp.query_response[2].starttls is True
    assert found["database"].tcp.query_response[0].send == "\0\0\0\x08\x04\udcd2\x16/"
    assert found["names"].dns is not None
    assert found["names"].dns.recursion_desired is True
    assert found["ping"].icmp.ttl == 5
    assert found["odd"].prober == "grpc_probe"
    assert found["bare"] == Module()


def test_no_modules_are_no_error() -> None:
    assert parsed("modules:\n") == {}


def test_anchors_and_merges_work() -> None:
    found = parsed(
        """
        modules:
          one: &one {prober: http, timeout: 5s}
          two: {<<: *one, timeout: 6s}
        """
    )
    assert (found["two"].prober, found["two"].timeout) == ("http", 6)


def test_no_value_is_the_default() -> None:
    found = module("prober: http\nhttp: {method: ~, follow_redirects: , tls_config: null}")
    assert (found.http.method, found.http.follows) == ("GET", True)


def test_the_old_key_for_redirects_wins() -> None:
    assert module("http: {no_follow_redirects: true, follow_redirects: true}").http.follows is False


BAD: list[tuple[str, str]] = [
    ("modules:\n  a:\n    timeout: 5", "3:14: modules.a.timeout: expected a duration with a unit"),
    ("modules:\n  a: {}\n  a: {}", '3:3: modules: duplicate key "a"'),
    ("module:\n  a: {}", '1:1: unknown key "module"; did you mean "modules"?'),
    ("modules: [a]", "1:10: modules: expected a mapping, got a list"),
    ("modules: {a: 5}", "modules.a: expected a mapping"),
    ("modules: {a: {htpp: {}}}", 'unknown key "htpp"; did you mean "http"?'),
    ("modules: {a: {http: {fail_if_ssl: 1}}}", "expected true or false"),
    ("modules: {a: {http: {valid_status_codes: [2xx]}}}", "expected a whole number"),
    ("modules: {a: {http: {valid_status_codes: 200}}}", "expected a list"),
    ("modules: {a: {http: {body_size_limit: 10}}}", "expected a size with a unit"),
    ("modules: {a: {http: {body_size_limit: 10XB}}}", "expected a unit such as B, KB or MiB"),
    ("modules: {a: {http: {fail_if_body_matches_regexp: ['(?=x)']}}}", "RE2"),
    ("modules: {a: {http: {fail_if_body_matches_regexp: ['(a)\\1']}}}", "RE2"),
    ("modules: {a: {http: {fail_if_header_matches: [{header: a}]}}}", '"regexp" is missing'),
    ("modules: {a: {http: {fail_if_header_matches: [{regexp: a}]}}}", '"header" is missing'),
    (
        "modules: {a: {http: {fail_if_header_matches: [{header: a, regexp: ''}]}}}",
        "the pattern is empty",
    ),
    ("modules: {a: {http: {body: a, body_file: b}}}", "exclude each other"),
    ("modules: {a: {http: {bearer_token: a, bearer_token_file: b}}}", "exclude each other"),
    ("modules: {a: {http: {bearer_token: a, basic_auth: {}}}}", "at most one of basic_auth"),
    ("modules: {a: {http: {authorization: {type: basic}}}}", "use basic_auth instead"),
    ("modules: {a: {http: {oauth2: {client_id: a}}}}", '"token_url" is missing'),
    ("modules: {a: {http: {no_proxy: a}}}", "no_proxy needs proxy_url"),
    ("modules: {a: {http: {http_headers: {Host: {values: [a]}}}}}", "cannot be set here"),
    ("modules: {a: {http: {tls_config: {cert_file: a}}}}", "needs both a cert and a key"),
    ("modules: {a: {http: {tls_config: {min_version: TLS14}}}}", "TLS10"),
    (
        "modules: {a: {http: {compression: gzip, headers: {accEpt-enCoding: deflate}}}}",
        "is not accepted by",
    ),
    ("modules: {a: {http: {valid_http_versions: [HTTP/3.0]}}}", "HTTP/3.0 needs enable_http3"),
    ("modules: {a: {http: {enable_http3: true}}}", "needs enable_http2: false"),
    ("modules: {a: {tcp: {query_response: [{expect: '['}]}}}", "RE2"),
    ("modules: {a: {tcp: {query_response: [{expect: a, expect_bytes: b}]}}}", "exclude each other"),
    ("modules: {a: {dns: {query_type: A}}}", '"query_name" is missing'),
    ("modules: {a: {dns: {query_name: a, query_type: X}}}", '"X" is no type of records'),
    ("modules: {a: {dns: {query_name: a, query_class: X}}}", '"X" is no class of records'),
    ("modules: {a: {icmp: {ttl: 256}}}", "expected at most 255"),
    ("modules: {a: {icmp: {ttl: -1}}}", "expected at least 0"),
    ("modules: {a: {http: {method: !!timestamp 2001-01-01}}}", "is not supported"),
    ("modules: {a: {http: {body: !!binary '?'}}}", "!!binary expects base64"),
    ("# nothing", "the file is empty; expected modules:"),
    ("- a", "expected a mapping"),
    ("modules: {a: {timeout: 5s}", "blackbox.yml:"),
]


@pytest.mark.parametrize(("text", "expected"), BAD, ids=[text[:60] for text, _ in BAD])
def test_what_is_wrong_is_told_with_its_place(text: str, expected: str) -> None:
    told = refusal(text)
    assert expected in told
    assert all(line.startswith("blackbox.yml:") for line in told.splitlines())


def test_everything_that_is_wrong_is_told_at_once() -> None:
    told = refusal("modules: {a: {timeout: 5}, b: {http: {method: {}}}, c: {htp: {}}}")
    assert len(told.splitlines()) == 3


def test_a_missing_and_an_empty_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_modules(tmp_path / "none.yml")
    (tmp_path / "empty.yml").write_text("\n")
    with pytest.raises(ConfigError, match="the file is empty"):
        load_modules(tmp_path / "empty.yml")


def test_files_that_a_module_names_need_not_be_there() -> None:
    found = module(
        """
        http:
          bearer_token_file: /nowhere/token
          tls_config: {ca_file: /nowhere/ca}
          body_file: /nowhere/body
        """
    )
    assert str(found.http.tls_config.ca_file) == "/nowhere/ca"


def test_what_is_only_wrong_at_the_probe_is_loaded() -> None:
    found = module("dns: {query_name: a, valid_rcodes: [NOPE], transport_protocol: sctp}")
    assert found.dns is not None
    assert found.dns.valid_rcodes == ("NOPE",)


def test_secrets_are_not_shown() -> None:
    found = module(
        """
        prober: http
        http:
          basic_auth: {username: u, password: hunter2}
          http_headers: {X-Key: {secrets: [hunter2]}}
          tls_config: {cert: public, key: hunter2}
          proxy_url: http://proxy
          proxy_connect_header: {Proxy-Authorization: [hunter2]}
        """
    )
    told: Any = shown(found)
    assert "hunter2" not in str(told)
    assert told["http"]["basic_auth"] == {"username": "u", "password": "<secret>"}
