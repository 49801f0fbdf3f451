"""What machines ask: metrics, healthy, ready, reload."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (PROMETHEUS_2, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        (PROMETHEUS_3, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        (BROWSER, "text/plain; version=0.0.4; charset=utf-8"),
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;version=0.0.4", "text/plain; version=0.0.4; charset=utf-8"),
    ],
)
async def test_metrics_come_in_the_format_the_scraper_likes_best(
    web: Any, accept: str, expected: str
) -> None:
    reply = await web.get("/metrics", headers={"Accept": accept, "Accept-Encoding": "identity"})
    assert reply.status == 200
    assert reply.headers["Content-Type"] == expected
    assert reply.body.endswith(b"# EOF\n") == ("openmetrics" in expected)


async def test_metrics_are_compressed_only_for_those_who_take_it(web: Any) -> None:
    packed = await web.get("/metrics", headers={"Accept-Encoding": "gzip"})
    plain = await web.get("/metrics", headers={"Accept-Encoding": "identity"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert gzip.decompress(packed.body) == plain.body


async def test_healthy_says_so_to_everybody(guarded: Any) -> None:
    assert (await guarded.get("/-/healthy")).status == 200


async def test_ready_gives_the_reasons_when_not(web: Any, daemon: Any) -> None:
    assert (await web.get("/-/ready")).status == 200
    daemon.reasons = ["starting", "the store is locked"]
    text = await web.get("/-/ready")
    assert (text.status, text.text) == (
        503,
        "not ready: starting\nnot ready: the store is locked\n",
    )
    data = await web.get("/-/ready", headers={"Accept": "application/json"})
    assert data.json == {"ready": False, "reasons": ["starting", "the store is locked"]}


async def test_a_reload_tells_what_changed(web: Any, daemon: Any) -> None:
    text = await web.post("/-/reload")
    assert (text.status, text.text) == (
        200,
        "configuration reloaded: 1 added, 0 removed, 2 changed\n",
    )
    data = await web.post("/-/reload", headers={"Accept": "application/json"})
    assert data.json == {
        "ok": True,
        "added": ["new"],
        "removed": [],
        "changed": ["api", "db"],
        "needs_restart": [],
    }
    assert daemon.reloads == ["local", "local"]


async def test_a_refused_reload_lists_every_problem(web: Any, daemon: Any) -> None:
    daemon.problems = ("cbmon.yml:1:2: checks: wrong", "cbmon.yml:7:1: exports: wrong too")
    text = await web.post("/-/reload")
    assert text.status == 500
    assert text.text.splitlines() == [
        *daemon.problems,
        "2 problems; still running the previous configuration",
    ]
    data = await web.post("/-/reload", headers={"Accept": "application/json"})
    assert data.code == "configuration_refused"
    assert data.json["error"]["details"]["problems"] == list(daemon.problems)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_only_post_reloads(web: Any, daemon: Any, method: str) -> None:
    reply = await web.ask(method, "/-/reload")
    assert reply.status == 405
    assert reply.headers["Allow"] == "POST"
    assert daemon.reloads == []
