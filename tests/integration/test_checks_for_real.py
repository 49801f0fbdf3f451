"""Rule: each kind of check is held against a real server of its kind."""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import trustme

from cbmon.model import Reason, Result
from cbmon.probes import ProbeEnvironment, probe_type
from cbmon.probes.run import run_once
from tests.integration.harness.processes import free_port, program
from tests.integration.harness.servers import Server

_NGINX: Final = """
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    gzip on;
    gzip_min_length 1;
    gzip_types text/plain application/json;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate {directory}/server.pem;
    ssl_certificate_key {directory}/server.pem;
    server {{
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{tls_port} ssl;
        location / {{ return 200 "all is well\\n"; }}
        location /status/503 {{ return 503 "no\\n"; }}
        location /silent {{ return 444; }}
        location /to-tls {{ return 302 https://127.0.0.1:{tls_port}/; }}
        location /loop {{ return 301 /loop; }}
        location /private {{
            auth_basic "closed";
            auth_basic_user_file {directory}/users;
            root {directory};
        }}
        location /page {{ alias {directory}/page.txt; }}
        location /json {{ return 200 '{{"db": "up", "n": [1, 2]}}'; }}
        location /echo {{ return 200 "$request_method $http_host $http_user_agent $http_x_a"; }}
    }}
    server {{
        listen 127.0.0.1:{strict_port} ssl;
        ssl_client_certificate {directory}/ca.pem;
        ssl_verify_client on;
        ssl_protocols TLSv1.2;
        location / {{ return 200 "$ssl_client_s_dn"; }}
    }}
}}
"""


class OddNginx(Server):
    """nginx with TLS, passwords, redirects, compression and client certificates."""

    ready_path = "/"

    def command(self) -> Sequence[str | Path]:
        self.tls_port, self.strict_port = free_port(), free_port()
        ca = trustme.CA()
        ca.cert_pem.write_to_path(self.directory / "ca.pem")
        server = ca.issue_cert("127.0.0.1", "shop.test")
        server.private_key_and_cert_chain_pem.write_to_path(self.directory / "server.pem")
        client = ca.issue_cert("client.test")
        client.private_key_and_cert_chain_pem.write_to_path(self.directory / "client.pem")
        (self.directory / "users").write_text("ann:{PLAIN}secret\n")
        (self.directory / "private").write_text("welcome\n")
        (self.directory / "page.txt").write_text("all is well\n" * 1000)
        path = self.directory / "nginx.conf"
        path.write_text(
            _NGINX.format(
                directory=self.directory,
                port=self.port,
                tls_port=self.tls_port,
                strict_port=self.strict_port,
            )
        )
        binary = program("nginx", package="nginx-light")
        return [binary, "-p", self.directory, "-c", path, "-e", "stderr"]

    @property
    def ca_file(self) -> str:
        return str(self.directory / "ca.pem")


class Dnsmasq(Server):
    """An authoritative server for shop.test."""

    def command(self) -> Sequence[str | Path]:
        binary = program("dnsmasq", package="dnsmasq-base")
        zone = ["--host-record=shop.test,192.0.2.7,2001:db8::7", "--txt-record=shop.test,v=spf1"]
        mail = ["--mx-host=shop.test,mail.shop.test,10", "--cname=www.shop.test,shop.test"]
        quiet = ["--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null"]
        where = [f"--port={self.port}", "--listen-address=127.0.0.1", "--bind-interfaces"]
        owner = ["--user=", f"--pid-file={self.directory}/pid", "--local=/test/"]
        return [binary, *quiet, *where, *owner, *zone, *mail]

    def _ready(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), 1):
            return True


class SystemClock:
    """The real time."""

    def monotonic(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return time.time()


@pytest.fixture
async def look() -> AsyncIterator[Callable[..., Any]]:
    """Looks once with a kind of check and its options."""
    clock = SystemClock()
    environment = ProbeEnvironment(clock=clock)

    async def once(kind: str, **options: Any) -> Result:
        found = probe_type(kind)
        probe = found.build(found.options.model_validate(options), environment)
        return await run_once(probe, 5, clock)

    yield once
    await environment.close()


@pytest.fixture
def odd_nginx(tmp_path: Path, started: Callable[[Server], None]) -> OddNginx:
    server = OddNginx(tmp_path / "odd-nginx")
    started(server)
    return server


PLAIN_CASES: Final[list[Any]] = [
    (None, "/", {"expect": {"body": {"matches": "well"}}}),
    (Reason.BODY, "/", {"expect": {"body": {"not_matches": "well"}}}),
    (Reason.STATUS, "/status/503", {}),
    (None, "/status/503", {"expect": {"status": ["5xx"]}}),
    (Reason.CONNECT, "/silent", {}),
    (Reason.REDIRECT, "/loop", {}),
    (Reason.TLS, "/to-tls", {}),
    (Reason.STATUS, "/private", {}),
    (Reason.AUTH, "/private", {"basic_auth": {"username": "ann", "password": "wrong"}}),
    (None, "/private", {"basic_auth": {"username": "ann", "password": "secret"}}),
    (None, "/json", {"expect": {"json": {"$.db": "up", "$.n[-1]": {"above": 1}}}}),
    (Reason.BODY, "/json", {"expect": {"json": {"$.db": "down"}}}),
    (None, "/page", {"compression": ["gzip"], "expect": {"body": {"matches": "well\n$"}}}),
    (None, "/page", {"expect": {"headers": {"matches": {"Content-Type": "text/plain"}}}}),
    (Reason.SIZE, "/page", {"max_body_size": "1KiB"}),
    (Reason.SIZE, "/page", {"max_body_size": "1KiB", "compression": ["gzip"]}),
    (None, "/page", {"expect": {"last_modified_age": "1h"}}),
    (None, "/page", {"method": "HEAD"}),
    (
        None,
        "/echo",
        {
            "method": "POST",
            "body": "x",
            "host": "shop.test",
            "headers": {"X-A": "b"},
            "expect": {"body": {"matches": "^POST shop.test cbmon/.* b$"}},
        },
    ),
]


@pytest.mark.parametrize(("reason", "path", "options"), PLAIN_CASES)
async def test_nginx_is_judged(
    reason: Reason | None, path: str, options: dict[str, Any], odd_nginx: OddNginx, look: Any
) -> None:
    result = await look("http", url=odd_nginx.url + path, **options)

    assert reason is result.reason, result.error


async def test_nginx_is_judged_over_tls(odd_nginx: OddNginx, look: Any) -> None:
    trust = {"tls": {"ca_file": odd_nginx.ca_file}}
    url = f"https://127.0.0.1:{odd_nginx.tls_port}/"

    direct = await look("http", url=url, expect={"tls": True, "certificate_days": 30}, **trust)
    by_redirect = await look("http", url=odd_nginx.url + "/to-tls", **trust)
    plain_on_tls = await look("http", url=f"http://127.0.0.1:{odd_nginx.tls_port}/")
    by_name = await look("http", url=url, host="shop.test", **trust)
    by_wrong_name = await look("http", url=url, host="else.test", **trust)

    assert direct.ok, direct.error
    assert direct.facts["tls_version"] == "TLSv1.3"
    assert by_redirect.ok, by_redirect.error
    assert by_redirect.facts["redirects"] == 1
    assert plain_on_tls.reason is Reason.STATUS
    assert by_name.ok, by_name.error
    assert by_wrong_name.reason is Reason.TLS


async def test_nginx_wants_a_client_certificate(odd_nginx: OddNginx, look: Any) -> None:
    trust = {"ca_file": odd_nginx.ca_file, "cert_file": str(odd_nginx.directory / "client.pem")}
    url = f"https://127.0.0.1:{odd_nginx.strict_port}/"

    with_it = await look("http", url=url, tls=trust)
    without = await look("http", url=url, tls={"ca_file": odd_nginx.ca_file})
    too_old = await look("http", url=url, tls={**trust, "min_version": "TLS1.3"})

    assert with_it.ok, with_it.error
    assert without.reason is Reason.STATUS  # nginx shakes hands and then says 400
    assert too_old.reason is Reason.TLS
    assert "protocol version" in too_old.error


async def test_tcp_and_tls_reach_nginx(odd_nginx: OddNginx, look: Any) -> None:
    tls = f"127.0.0.1:{odd_nginx.tls_port}"

    plain = await look(
        "tcp",
        address=f"127.0.0.1:{odd_nginx.port}",
        send="HEAD / HTTP/1.0\r\n\r\n",
        expect={"matches": "^HTTP/1.1 200"},
    )
    inside = await look(
        "tcp",
        address=tls,
        tls={"ca_file": odd_nginx.ca_file},
        send="HEAD / HTTP/1.0\r\n\r\n",
        expect={"matches": "^HTTP/1.1 200"},
    )
    handshake = await look("tls", address=tls, ca_file=odd_nginx.ca_file)
    untrusted = await look("tls", address=tls)
    not_tls = await look("tls", address=f"127.0.0.1:{odd_nginx.port}")

    assert plain.ok, plain.error
    assert inside.ok, inside.error
    assert handshake.ok, handshake.error
    assert untrusted.reason is not_tls.reason is Reason.TLS
    assert "does not speak TLS" in not_tls.error


@pytest.fixture
def dnsmasq(tmp_path: Path, started: Callable[[Server], None]) -> Dnsmasq:
    server = Dnsmasq(tmp_path / "dnsmasq")
    started(server)
    return server


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize(
    ("reason", "name", "kind", "expect"),
    [
        (None, "shop.test", "A", {"answer": {"matches": ["^shop.test.\t0\tIN\tA\t192.0.2.7$"]}}),
        (None, "shop.test", "AAAA", {"answer": {"matches": ["2001:db8::7$"]}}),
        (None, "shop.test", "MX", {"answer": {"matches": ["10 mail.shop.test.$"]}}),
        (None, "shop.test", "TXT", {"answer": {"matches": ['"v=spf1"']}}),
        (None, "www.shop.test", "A", {"answer": {"matches": ["CNAME\tshop.test."]}}),
        (Reason.STATUS, "nope.test", "A", {}),
        (None, "nope.test", "A", {"rcode": ["NXDOMAIN"]}),
        (Reason.STATUS, "example.org", "A", {}),
        (None, "example.org", "A", {"rcode": ["REFUSED"]}),
        (Reason.BODY, "shop.test", "SRV", {}),
    ],
)
async def test_dnsmasq_is_judged(
    reason: Reason | None,
    name: str,
    kind: str,
    expect: dict[str, Any],
    transport: str,
    dnsmasq: Dnsmasq,
    look: Any,
) -> None:
    result = await look(
        "dns",
        server=f"127.0.0.1:{dnsmasq.port}",
        name=name,
        type=kind,
        transport=transport,
        expect=expect,
    )

    assert reason is result.reason, (result.error, result.facts)
