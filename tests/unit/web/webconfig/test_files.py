"""Which web-config files are taken and which are refused, as exporter-toolkit documents it."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from tests.unit.web.webconfig.cases import BAD, CA, GOOD, HASH, TLS


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_a_good_file_is_taken(load: Any, text: str) -> None:
    found = load(text)
    assert (found.context is not None) == ("cert_file" in text)


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD)
def test_a_bad_file_is_refused_with_its_place(refuse: Any, text: str, message: str) -> None:
    told = refuse(text)
    assert any(one.startswith(message) for one in told), told
    assert "hunter2" not in "".join(told)


def test_everything_wrong_is_told_at_once(refuse: Any) -> None:
    told = refuse("tls_server_config: {min_version: TLS9}\nrate_limit: {burst: x}\nusers: {}\n")
    assert [one.partition(":")[0] for one in told] == ["1", "2", "3"]


def test_a_file_that_is_not_there_is_told(refuse: Any, certificates: Any) -> None:
    from cbmon.config import ConfigError
    from cbmon.web.webconfig import load_web_config

    with pytest.raises(ConfigError, match=r"none\.yml:1:1: cannot be read: No such file"):
        load_web_config(certificates / "none.yml")


def test_inline_certificates_need_no_file(load: Any, certificates: Any) -> None:
    def block(name: str, file: str) -> str:
        lines = (certificates / file).read_text().splitlines()
        return f"  {name}: |\n" + "".join(f"    {line}\n" for line in lines)

    text = "tls_server_config:\n" + block("cert", "server.crt") + block("key", "server.key")
    assert load(text).context is not None
    clients = block("client_ca", "ca.crt") + "  client_auth_type: RequireAndVerifyClientCert\n"
    found = load(text + clients)
    assert found.verifies
    assert found.context.verify_mode is ssl.CERT_REQUIRED


def test_a_file_wins_over_an_inline_text(load: Any) -> None:
    assert load(TLS + "  cert: junk\n  key: junk\n").context is not None


def test_what_is_probably_not_meant_is_a_warning(load: Any) -> None:
    def told(text: str) -> list[str]:
        return [str(one).partition("web.yml:")[2] for one in load(text).warnings]

    assert told(TLS) == []
    assert told("tls_server_config: {min_version: TLS13}\n") == [
        "1:20: tls_server_config: names no certificate: there is no TLS"
    ]
    assert (
        "every certificate of a public authority"
        in told(TLS + "  client_auth_type: RequireAndVerifyClientCert\n")[0]
    )
    assert "prove nothing" in told(TLS + "  client_auth_type: RequireAnyClientCert\n")[0]
    assert "in clear" in told(f"basic_auth_users: {{a: {HASH}}}\n")[0]
    assert told("http_server_config: {http2: true}\n") == [], "there is none without TLS"
    assert told(TLS + "http_server_config: {http2: false}\n") == []
    (http2,) = told(TLS + "http_server_config: {http2: true}\n")
    assert "http_server_config.http2: cbmon offers HTTP/1.1 alone" in http2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", False),
        (TLS, False),
        (TLS + "  client_auth_type: RequireAnyClientCert\n", False),
        (TLS + CA + "  client_auth_type: RequestClientCert\n", False),
        (TLS + "  client_auth_type: RequireAndVerifyClientCert\n", False),
        (TLS + CA + "  client_auth_type: RequireAndVerifyClientCert\n", True),
        (TLS + CA + "  client_auth_type: VerifyClientCertIfGiven\n", True),
        (f"basic_auth_users: {{a: {HASH}}}\n", True),
    ],
)
def test_only_users_and_verified_certificates_authenticate(
    load: Any, text: str, expected: bool
) -> None:
    assert load(text).authenticates is expected


def test_a_change_of_any_file_is_noticed(load: Any, certificates: Any) -> None:
    found = load(TLS)
    assert not found.changed()
    key = certificates / "server.key"
    key.write_bytes(key.read_bytes())
    assert found.changed()
