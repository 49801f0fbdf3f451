"""A list that changes is noticed; one that cannot be had leaves the last good one in force."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from cbmon.config import CheckConfig, Config, load_config
from cbmon.exports.base import ExportEnvironment
from cbmon.metrics.records import DiscoveryRecord
from cbmon.sources.watch import Watch
from cbmon.testing import ManualClock
from tests.component.exports.gateway import Gateway, serving


def config_types() -> Any:
    from cbmon.build import config_types

    return config_types()


class House:
    """A watch over one source, and its directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = ManualClock()
        self.records: dict[str, DiscoveryRecord] = {}
        self.environment = ExportEnvironment(clock=self.clock, data=directory / "data")
        self.watch = Watch(self.environment, self.records, self.clock)
        self.config: Config | None = None

    def load(self, source: str, more: str = "") -> Config:
        path = self.directory / "cbmon.yml"
        path.write_text(
            f"discovery:\n  - name: fleet\n    {source}\n    {more}\n"
            '    template: {name: "{{ id }}", tcp: {address: "{{ address }}"}}\n'
        )
        return load_config(path, types=config_types())

    async def start(self, source: str, more: str = "") -> list[str]:
        self.config = await self.watch.settled(self.load(source, more))
        return names(self.config.checks)

    async def later(self, seconds: float = 60.0) -> list[str] | None:
        """The checks after so long if the list has changed; None if not."""
        assert self.config is not None
        self.clock.advance(seconds)
        changed = await self.watch.tick()
        looking = [one.looking for one in self.watch._sources.values() if one.looking]
        if looking:
            await asyncio.wait(looking)
        changed |= await self.watch.tick()
        if not changed:
            return None
        self.config = await self.watch.expanded(self.config)
        return names(self.config.checks)

    @property
    def seen(self) -> dict[str, Any]:
        (view,) = self.watch.views()
        return view


def names(checks: tuple[CheckConfig, ...]) -> list[str]:
    return [check.name for check in checks]


def listed(*addresses: str, **labels: str) -> str:
    return json.dumps([{"targets": list(addresses), "labels": labels}])


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path)
    yield made
    await made.watch.close()
    await made.environment.close()


@pytest.fixture
async def server() -> AsyncIterator[Gateway]:
    async with serving() as found:
        yield found


FILE = "file_sd: {files: [targets.json], refresh_interval: 30s}"


async def test_a_change_of_the_file_is_noticed_when_it_is_looked_at(house: House) -> None:
    path = house.directory / "targets.json"
    path.write_text(listed("a:1", "b:2"))
    assert await house.start(FILE) == ["a:1", "b:2"]
    path.write_text(listed("b:2", "c:3"))
    assert await house.later(29.0) is None
    assert await house.later(1.0) == ["b:2", "c:3"]
    assert await house.later(30.0) is None, "nothing has changed"
    path.write_text("[]")
    assert await house.later() == []
    assert house.records["fleet"].failures == 0


@pytest.mark.parametrize(
    "broken",
    [
        None,
        "",
        "{}",
        "[",
        "[1]",
        '[{"targets": "a:1"}]',
        '[{"targets": [1]}]',
        '[{"targets": [""]}]',
        '[{"targets": ["a:1"], "labels": {"a": 1}}]',
        '[{"targets": ["a:1"], "labels": []}]',
        "[" * 100_000,
        json.dumps([{"targets": ["x" * 5000]}]),
        json.dumps([{"targets": [f"a:{number}" for number in range(1, 8)]}]),
    ],
    ids=lambda value: "gone" if value is None else value[:20] or "empty",
)
async def test_a_list_that_is_none_changes_nothing_and_is_told(
    house: House, broken: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    path = house.directory / "targets.json"
    path.write_text(listed("a:1", "b:2"))
    await house.start(FILE, "max_targets: 5")
    if broken is None:
        path.unlink()
    else:
        path.write_text(broken)
    for _ in range(3):
        assert await house.later() is None
    record = house.records["fleet"]
    assert (record.targets, record.failures) == (2, 3)
    assert record.last_success_at == house.clock.time() - 180
    assert house.seen["error"]
    assert house.seen["checks"] == 2
    assert caplog.text.count("the last list stays in force") == 1, "once, not at every look"
    path.write_text(listed("c:3"))
    assert await house.later() == ["c:3"]
    assert house.seen["error"] is None


async def test_yaml_and_patterns_are_read_as_one_list(house: House) -> None:
    folder = house.directory / "lists"
    folder.mkdir()
    (folder / "one.yml").write_text("- targets: [a:1, b:2]\n  labels: {team: shop}\n")
    (folder / "two.yml").write_text('- {targets: ["10"]}\n- targets: ["a:1"]\n')
    source = "file_sd: {files: [lists/*.yml]}"
    assert await house.start(source) == ["a:1", "b:2"]
    assert house.seen["rejected_count"] == 2, "no port, and a name that is taken"
    (folder / "two.yml").unlink()
    await house.later()
    assert house.seen["targets"] == 2
    assert await house.later() is None
    (folder / "one.yml").write_text("- &a [*a]\n")
    await house.later()
    assert "one.yml" in house.seen["error"]


async def test_the_last_good_list_survives_a_restart(house: House) -> None:
    path = house.directory / "targets.json"
    path.write_text(listed("a:1", "b:2", team="x"))
    await house.start(FILE)
    path.unlink()
    again = House(house.directory)
    assert await again.start(FILE) == ["a:1", "b:2"]
    assert again.seen["error"]
    assert again.records["fleet"].last_success_at == 0
    for damaged in (b"", b"[]", b'{"type": "file_sd", "groups": 3}'):
        next((house.directory / "data" / "discovery").iterdir()).write_bytes(damaged)
        assert await House(house.directory).start(FILE) == []


async def test_a_reload_looks_at_once_at_what_has_changed_and_forgets_what_is_gone(
    house: House,
) -> None:
    (house.directory / "targets.json").write_text(listed("a:1"))
    (house.directory / "others.json").write_text(listed("b:2"))
    await house.start(FILE)
    assert await house.start("file_sd: {files: [others.json]}") == ["b:2"]
    await house.watch.configure(())
    assert house.watch.views() == []
    assert house.records == {}


async def test_a_pipe_holds_nothing_up(house: House) -> None:
    os.mkfifo(house.directory / "targets.json")
    assert await house.start(FILE) == []
    assert "no such file" in house.seen["error"]


async def test_a_url_is_asked_as_prometheus_asks(house: House, server: Gateway) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=listed("a:1"), content_type="application/json")

    server.answer = answer
    source = f"http_sd: {{url: '{server.url}/t?k=v', bearer_token: secret, refresh_interval: 90s}}"
    assert await house.start(source) == ["a:1"]
    (asked,) = server.pushed
    assert (asked.method, asked.path) == ("GET", "/t?k=v")
    assert asked.headers["X-Prometheus-Refresh-Interval-Seconds"] == "90"
    assert asked.headers["Accept"] == "application/json"
    assert asked.headers["Authorization"] == "Bearer secret"
    assert house.seen["source"] == f"{server.url}/t", "what may be a secret is not shown"


@pytest.mark.parametrize(
    ("status", "kind", "text", "problem"),
    [
        (500, "application/json", "[]", "answered 500"),
        (302, "application/json", "[]", "redirects are not followed"),
        (200, "text/html", "[]", "expected application/json"),
        (200, "application/json", "<html>", "no JSON"),
        (200, "application/json", "[" * 100_000, "no JSON"),
        (200, "application/json", " " * (33 << 20), "larger than 32 MiB"),
    ],
)
async def test_an_answer_that_is_no_list_leaves_the_last_one(
    house: House, server: Gateway, status: int, kind: str, text: str, problem: str
) -> None:
    good = True

    async def answer(_: web.Request) -> web.Response:
        if good:
            return web.Response(text=listed("a:1"), content_type="application/json")
        return web.Response(status=status, text=text, content_type=kind)

    server.answer = answer
    assert await house.start(f"http_sd: {{url: '{server.url}/'}}") == ["a:1"]
    good = False
    assert await house.later() is None
    assert problem in house.seen["error"]
    assert house.seen["checks"] == 1


async def test_a_server_that_does_not_answer_holds_up_nobody(house: House, server: Gateway) -> None:
    async def never(_: web.Request) -> web.Response:
        await asyncio.sleep(60)
        raise AssertionError

    server.answer = never
    begun = asyncio.get_running_loop().time()
    assert await house.start(f"http_sd: {{url: '{server.url}/', timeout: 200ms}}") == []
    assert asyncio.get_running_loop().time() - begun < 2.0
    assert "no answer within the timeout" in house.seen["error"]
