"""The daemon as somebody on another machine or with a browser meets it: TLS, users, exit codes."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import trustme

from tests.integration.harness import Daemon
from tests.integration.harness.processes import eventually

CONFIG: dict[str, Any] = {"checks": []}
HASH = bcrypt.hashpw(b"open sesame", bcrypt.gensalt(4)).decode()


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    found = trustme.CA()
    issue(found, tmp_path)
    return found


def issue(authority: trustme.CA, folder: Path) -> None:
    made = authority.issue_cert("localhost", "127.0.0.1")
    (folder / "server.crt").write_bytes(made.cert_chain_pems[0].bytes())
    (folder / "server.key").write_bytes(made.private_key_pem.bytes())


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def ask(daemon: Daemon, context: ssl.SSLContext, user: str = "") -> int:
    request = urllib.request.Request(f"https://{daemon.address}/api/v1/summary")
    if user:
        request.add_header("Authorization", f"Basic {b64encode(user.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=5.0, context=context) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code


def shown(daemon: Daemon) -> str:
    return ssl.get_server_certificate(("127.0.0.1", daemon.port), timeout=5.0)


def test_tls_and_users_come_from_the_web_config_file_and_change_without_a_restart(
    run_daemon: Callable[..., Daemon], tmp_path: Path, authority: trustme.CA
) -> None:
    web = tmp_path / "web.yml"
    tls = {"cert_file": "server.crt", "key_file": "server.key"}
    web.write_text(json.dumps({"tls_server_config": tls, "basic_auth_users": {"ali": HASH}}))
    daemon = run_daemon(CONFIG, start=False, flags=["--web.config.file", str(web)])
    daemon.process.start()
    context = trusting(authority)
    eventually(lambda: _answers(daemon, context), "cbmon to listen", 20.0)
    assert (ask(daemon, context), ask(daemon, context, "ali:open sesame")) == (401, 200)

    before = shown(daemon)
    issue(authority, tmp_path)
    eventually(lambda: shown(daemon) != before, "the new certificate", 10.0)

    web.write_text(json.dumps({"tls_server_config": {**tls, "min_version": "TLS9"}}))
    eventually(lambda: daemon.logged("web-config file refused", "TLS9"), "the refusal", 10.0)
    assert ask(daemon, context, "ali:open sesame") == 200
    assert ask(daemon, context) == 401
    assert daemon.stop() == 0


def _answers(daemon: Daemon, context: ssl.SSLContext) -> bool:
    if not daemon.process.alive:
        pytest.fail(daemon.log())
    try:
        return ask(daemon, context) == 401
    except OSError:
        return False


def test_listening_beyond_this_machine_without_a_credential_is_a_configuration_error(
    run_daemon: Callable[..., Daemon],
) -> None:
    daemon = run_daemon({**CONFIG, "web": {"listen": ["0.0.0.0:0"]}}, start=False)
    code, _, err = daemon.cli("check-config", str(daemon.config_path))
    assert (code, "web.listen[0]: 0.0.0.0:0 is reachable from other machines" in err) == (1, True)
    code, _, err = daemon.cli("run", "--config.file", str(daemon.config_path))
    assert (code, "web.listen[0]: 0.0.0.0:0 is reachable from other machines" in err) == (2, True)
    daemon.write(CONFIG)
    flags = ("--config.file", str(daemon.config_path), "--web.listen-address", "[::]:0")
    code, _, err = daemon.cli("run", *flags)
    assert (code, "--web.listen-address: [::]:0 is reachable" in err) == (2, True)


def test_a_wrong_web_config_file_is_told_by_check_config_and_run(
    run_daemon: Callable[..., Daemon], tmp_path: Path
) -> None:
    web = tmp_path / "web.yml"
    web.write_text("basic_auth_users:\n  ali: open sesame\n")
    daemon = run_daemon(CONFIG, start=False)
    message = f"{web}:2:8: basic_auth_users.ali: expected a bcrypt hash"
    named = ("--web.config.file", str(web))
    code, _, err = daemon.cli("check-config", *named, str(daemon.config_path))
    assert (code, message in err, "sesame" in err) == (1, True, False)
    code, _, err = daemon.cli("run", "--config.file", str(daemon.config_path), *named)
    assert (code, message in err) == (2, True)


def test_a_reload_that_would_leave_others_without_a_credential_is_refused(
    run_daemon: Callable[..., Daemon],
) -> None:
    daemon = run_daemon(CONFIG)
    daemon.write({**CONFIG, "web": {"listen": [daemon.address, "0.0.0.0:0"]}})
    answer = daemon.post("/-/reload")
    assert answer.status == 500
    assert "is reachable from other machines" in answer.text
    assert daemon.get("/-/ready").status == 200
