"""/probe, /config and /logs over HTTP."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cbmon.blackbox.file import ModuleFile, parse_modules
from cbmon.blackbox.service import Probing
from cbmon.config.problems import Problems
from cbmon.config.sections import ProbeSection
from cbmon.probes import ProbeEnvironment
from cbmon.web.server import WebServer

MODULES = b"""
modules:
  tcp: {prober: tcp, timeout: 2s}
  http: {prober: http, http: {bearer_token: hunter2, headers: {Host: a}}}
  odd: {prober: telepathy}
"""


class Site:
    """A server with /probe, and a client for it."""

    def __init__(self, server: WebServer, client: aiohttp.ClientSession, probing: Probing) -> None:
        self.port = server.addresses[0][1]
        self._client = client
        self.probing = probing

    async def get(self, path: str, **headers: str) -> tuple[int, Any, str]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"http://127.0.0.1:{self.port}{path}"
        async with self._client.get(url, headers=named) as response:
            data = await response.read()
            if response.headers.get("Content-Encoding") == "gzip":
                data = gzip.decompress(data)
            return response.status, response.headers, data.decode()


@pytest.fixture
async def site(daemon: Any) -> AsyncIterator[Site]:
    environment = ProbeEnvironment(clock=daemon.clock)
    probing = Probing(environment)
    file = ModuleFile(Path("x"), parse_modules(MODULES, "x", Problems()))
    probing.configure(ProbeSection(enabled=True), file)
    server = WebServer(daemon, probing=probing)
    await server.bind([("127.0.0.1", 0)])
    await server.serve()
    async with aiohttp.ClientSession(auto_decompress=False) as client:
        yield Site(server, client, probing)
    await server.stop(1.0)
    await environment.close()


async def test_a_probe_is_answered_with_metrics(site: Site) -> None:
    target = f"127.0.0.1:{site.port}"
    status, headers, text = await site.get(f"/probe?module=tcp&target={target}")
    assert status == 200
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "\nprobe_success 1\n" in text
    _, packed, same = await site.get(f"/probe?module=tcp&target={target}", Accept_Encoding="gzip")
    assert packed["Content-Encoding"] == "gzip"
    assert "\nprobe_success 1\n" in same


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("target=x", 400, 'Unknown module "http_2xx"'),
        ("module=none&target=x", 400, 'Unknown module "none"'),
        ("module=tcp", 400, "Target parameter is missing"),
        ("module=odd&target=x", 400, 'Unknown prober "telepathy"'),
        ("module=http&target=x&hostname=b", 400, "host header defined both"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    site: Site, query: str, status: int, words: str
) -> None:
    found, _, text = await site.get(f"/probe?{query}")
    assert (found, words in text) == (status, True)


async def test_a_timeout_that_is_no_number_is_an_error(site: Site) -> None:
    status, _, text = await site.get(
        "/probe?module=tcp&target=x", X_Prometheus_Scrape_Timeout_Seconds="soon"
    )
    assert (status, "Failed to parse timeout" in text) == (500, True)


@pytest.mark.parametrize(("debug", "shown"), [("true", True), ("1", False), ("True", False)])
async def test_debug_is_exactly_true(site: Site, debug: str, shown: bool) -> None:
    _, headers, text = await site.get(f"/probe?module=tcp&target=127.0.0.1:1&debug={debug}")
    assert text.startswith("Logs for the probe:\n") is shown
    assert headers["Content-Type"].startswith("text/plain")


async def test_a_foreign_page_cannot_probe(site: Site) -> None:
    path = "/probe?module=tcp&target=127.0.0.1:1"
    assert (await site.get(path, Sec_Fetch_Site="cross-site"))[0] == 403
    assert (await site.get(path, Origin="http://evil.example"))[0] == 403
    assert not list(site.probing.history)


async def test_the_modules_are_shown_without_secrets(site: Site) -> None:
    status, _, text = await site.get("/config")
    assert status == 200
    assert "bearer_token: <secret>" in text
    assert "hunter2" not in text


async def test_earlier_probes_are_shown(site: Site) -> None:
    await site.get("/probe?module=tcp&target=127.0.0.1:1")
    by_id = await site.get("/logs?id=0")
    by_target = await site.get("/logs?target=127.0.0.1:1&module=tcp")
    assert by_id[0] == by_target[0] == 200
    assert by_id[2] == by_target[2]
    assert "Error dialing TCP" in by_id[2]


@pytest.mark.parametrize(
    ("query", "status"),
    [("", 400), ("?id=x", 400), ("?id=1&target=a", 400), ("?id=99", 404), ("?target=none", 404),
     ("?id=99999999999999999999999", 404)],
)  # fmt: skip
async def test_logs_that_are_not_there(site: Site, query: str, status: int) -> None:
    assert (await site.get(f"/logs{query}"))[0] == status


async def test_it_is_off_unless_switched_on(site: Site) -> None:
    site.probing.configure(ProbeSection(), None)
    for path in ("/probe?module=tcp&target=x", "/config", "/logs?id=0"):
        status, _, text = await site.get(path)
        assert status == 403
        assert "set web.probe.enabled, or start with --web.enable-probe" in text
    site.probing.configure(ProbeSection(), None, enable=True)
    assert (await site.get("/config"))[0] == 200
