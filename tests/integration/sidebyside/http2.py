"""nginx with HTTP/2 over TLS, and the cases that ask it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from tests.integration.harness.processes import program
from tests.integration.harness.servers import Server
from tests.integration.sidebyside.cases import CA, Case, header, http

_CONFIG: Final = """
{user} daemon off; worker_processes 1; pid {directory}/nginx.pid; error_log stderr;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
  server {{
    listen 127.0.0.1:{port};
    location / {{ return 200 "plain\\n"; }}
    location /to-h2 {{ return 302 https://localhost:{tls}/; }}
  }}
  server {{
    listen 127.0.0.1:{tls} ssl http2; ssl_certificate {certificate};
    ssl_certificate_key {certificate}; root {directory}/files;
    location = / {{ add_header X-Test yes; return 200 "$server_protocol $request_method\\n"; }}
    location /agent {{ return 200 "$http_user_agent $http_x_test $host\\n"; }}
    location /404 {{ return 404 "nothing"; }}
    location /204 {{ return 204; }}
    location /moved {{ return 301 /; }}
    location /to-plain {{ return 302 http://127.0.0.1:{port}/; }}
    location /packed {{ gzip on; gzip_min_length 1; gzip_types *; alias {directory}/files/large; }}
    location /cut {{ return 444; }}
  }}
}}
"""


class NginxHttp2(Server):
    """Plain HTTP on :attr:`port`, HTTP/2 over TLS on :attr:`tls`."""

    def __init__(self, directory: Path, certificate: Path, tls: int) -> None:
        self.tls = tls
        self._certificate = certificate
        super().__init__(directory)

    def command(self) -> list[str]:
        files = self.directory / "files"
        files.mkdir(exist_ok=True)
        (files / "large").write_bytes(b"0123456789" * 50_000)
        self.directory.chmod(0o755)
        path = self.directory / "nginx.conf"
        path.write_text(
            _CONFIG.format(
                directory=self.directory,
                port=self.port,
                tls=self.tls,
                certificate=self._certificate,
                user="user root;" if os.geteuid() == 0 else "",
            )
        )
        binary = program("nginx", package="nginx-light")
        return [binary, "-p", str(self.directory), "-c", str(path), "-e", "stderr"]


URL = "https://localhost:{h2}"
HTTP2: list[Case] = [
    http("HTTP/2", URL + "/", True, tls_config=CA,
         fail_if_body_not_matches_regexp=["^HTTP/2.0 GET"]),
    http("HTTP/2 is wanted", URL + "/", True, tls_config=CA, valid_http_versions=["HTTP/2.0"]),
    http("HTTP/1.1 is wanted", URL + "/", False, tls_config=CA, valid_http_versions=["HTTP/1.1"]),
    http("HTTP/2 is off", URL + "/", True, tls_config=CA, enable_http2=False,
         fail_if_body_not_matches_regexp=["^HTTP/1.1 GET"]),
    http("HEAD over HTTP/2", URL + "/large", True, tls_config=CA, method="HEAD"),
    http("POST over HTTP/2", URL + "/", True, tls_config=CA, method="POST", body="x" * 100_000,
         fail_if_body_not_matches_regexp=["^HTTP/2.0 POST"]),
    http("a large body over HTTP/2", URL + "/large", True, tls_config=CA,
         fail_if_body_not_matches_regexp=["0123456789$"]),
    http("a limit over HTTP/2", URL + "/large", False, tls_config=CA, body_size_limit="100KB"),
    http("gzip over HTTP/2", URL + "/packed", True, tls_config=CA, compression="gzip",
         headers={"Accept-Encoding": "gzip"}, fail_if_body_not_matches_regexp=["^0123456789"]),
    http("a header over HTTP/2", URL + "/", True, tls_config=CA,
         fail_if_header_not_matches=header("X-Test", "^yes$")),
    http("headers to send over HTTP/2", URL + "/agent", True, tls_config=CA,
         headers={"User-Agent": "mine", "X-Test": "yes", "Host": "localhost",
                  "Connection": "close"},
         fail_if_body_not_matches_regexp=["^mine yes localhost\n"]),
    http("404 over HTTP/2", URL + "/404", False, tls_config=CA),
    http("204 over HTTP/2", URL + "/204", True, tls_config=CA),
    http("a redirect over HTTP/2", URL + "/moved", True, tls_config=CA),
    http("a redirect to HTTP/2", "http://127.0.0.1:{h1}/to-h2", True, tls_config=CA),
    http("a redirect from HTTP/2", URL + "/to-plain", True, tls_config=CA),
    http("a stream that is reset", URL + "/cut", False, tls_config=CA),
]  # fmt: skip
