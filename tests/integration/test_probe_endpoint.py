"""/probe of the real daemon: the module file at the start and at a reload."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.harness import Daemon, Nginx

GOOD = "modules: {web: {prober: http, timeout: 2s}}\n"
BAD = "modules: {web: {prober: http, timeout: 2}}\n"
Run = Callable[..., Daemon]


def probe(daemon: Daemon, module: str, target: str) -> Any:
    return daemon.get(f"/probe?module={module}&target={target}")


def test_a_module_file_alone_switches_nothing_on(
    tmp_path: Path, run_daemon: Run, nginx: Nginx
) -> None:
    file = tmp_path / "blackbox.yml"
    file.write_text(GOOD)
    daemon = run_daemon({}, flags=["--blackbox.config.file", str(file)])
    assert probe(daemon, "web", nginx.url).status == 403


def test_a_bad_module_file_leaves_everything_as_it_was(
    tmp_path: Path, run_daemon: Run, nginx: Nginx
) -> None:
    file = tmp_path / "blackbox.yml"
    file.write_text(GOOD)
    daemon = run_daemon({}, flags=["--blackbox.config.file", str(file), "--web.enable-probe"])
    assert "\nprobe_success 1\n" in probe(daemon, "web", nginx.url).text
    file.write_text(BAD)
    refused = daemon.post("/-/reload")
    assert refused.status == 500
    problems = json.loads(refused.text)["error"]["details"]["problems"]
    assert f"{file}:1:40: modules.web.timeout" in problems[0]
    assert "\nprobe_success 1\n" in probe(daemon, "web", nginx.url).text
    file.write_text(GOOD.replace("web", "other"))
    assert daemon.post("/-/reload").status == 200
    assert probe(daemon, "web", nginx.url).status == 400
    assert probe(daemon, "other", nginx.url).status == 200
    assert daemon.metric("blackbox_module_unknown_total") == 1


@pytest.mark.parametrize("text", [BAD, "", "modules: {a: {}, a: {}}"])
def test_it_does_not_start_with_a_bad_module_file(
    tmp_path: Path, run_daemon: Run, text: str
) -> None:
    file = tmp_path / "blackbox.yml"
    file.write_text(text)
    daemon = run_daemon({}, flags=["--blackbox.config.file", str(file)], start=False)
    daemon.process.start()
    assert daemon.process.wait() == 2
    assert f"{file}:" in daemon.log()
