"""node_exporter and the Pushgateway, as Debian ships them, take what the exports give them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, generate_latest

from cbmon.exports import pushgateway as gateway_type
from cbmon.exports import textfile as textfile_type
from cbmon.exports.base import ExportEnvironment
from cbmon.exports.pushgateway import PushgatewayOptions
from cbmon.exports.textfile import TextfileOptions
from cbmon.interfaces import Attempt
from cbmon.model import Reason
from tests.integration.harness import NodeExporter, Pushgateway

UP = b'# HELP cbmon_check_up Up.\n# TYPE cbmon_check_up gauge\ncbmon_check_up{check="a"} 1.0\n'


class Metrics:
    """Some metrics besides those that every Python process has: process_* and python_*."""

    def __init__(self, more: bytes = UP) -> None:
        self.more = more

    def text(self) -> bytes:
        return generate_latest(REGISTRY) + self.more

    def openmetrics(self) -> bytes:
        raise AssertionError("neither reads OpenMetrics")

    async def render(self, *, openmetrics: bool = False) -> bytes:
        return self.openmetrics() if openmetrics else self.text()


@pytest.fixture
async def environment() -> AsyncIterator[ExportEnvironment]:
    shared = ExportEnvironment()
    yield shared
    await shared.close()


def attempt() -> Attempt:
    return Attempt(asyncio.get_running_loop().time, 5.0)


async def test_node_exporter_reads_the_file_without_a_complaint(
    node_exporter: NodeExporter, environment: ExportEnvironment
) -> None:
    options = TextfileOptions(path=node_exporter.textfiles / "cbmon.prom")
    result = await textfile_type.build(options, environment).run(attempt(), Metrics())
    assert result.ok
    answer = await asyncio.to_thread(node_exporter.get, "/metrics")
    assert answer.status == 200
    lines = answer.text.splitlines()
    assert 'cbmon_check_up{check="a"} 1' in lines
    assert "node_textfile_scrape_error 0" in lines
    assert any(line.startswith("node_textfile_mtime_seconds{") for line in lines)
    assert "level=error" not in node_exporter.process.log()


async def test_what_the_default_leaves_out_would_be_a_complaint(
    node_exporter: NodeExporter, environment: ExportEnvironment
) -> None:
    """The reason for the default: without it node_exporter refuses its own metrics too."""
    options = TextfileOptions(path=node_exporter.textfiles / "cbmon.prom", exclude=())
    assert (await textfile_type.build(options, environment).run(attempt(), Metrics())).ok
    await asyncio.to_thread(node_exporter.get, "/metrics")
    assert "collected before" in node_exporter.process.log()


async def test_nothing_but_the_file_itself_is_ever_read(
    node_exporter: NodeExporter, environment: ExportEnvironment, tmp_path: Path
) -> None:
    left = node_exporter.textfiles / ".cbmon.prom.tmp"
    await asyncio.to_thread(left.write_bytes, b"half a li")
    answer = await asyncio.to_thread(node_exporter.get, "/metrics")
    assert "node_textfile_scrape_error 0" in answer.text


async def test_the_gateway_takes_the_whole_group_and_gives_it_back(
    pushgateway: Pushgateway, environment: ExportEnvironment
) -> None:
    given = {"url": pushgateway.url, "job": "a/b", "grouping": {"instance": "", "dir": "/x y"}}
    options = PushgatewayOptions.model_validate(given)
    export = gateway_type.build(options, environment)
    first = await export.run(attempt(), Metrics())
    assert first.ok, first.error
    text = (await asyncio.to_thread(pushgateway.get, "/metrics")).text
    assert 'cbmon_check_up{check="a",dir="/x y",instance="",job="a/b"} 1' in text
    assert 'python_info{dir="/x y"' in text

    assert (await export.run(attempt(), Metrics(UP.replace(b'"a"', b'"b"')))).ok
    text = (await asyncio.to_thread(pushgateway.get, "/metrics")).text
    assert 'check="b"' in text
    assert 'check="a"' not in text, "a check that is gone is gone from the gateway"


async def test_a_group_that_is_to_be_deleted_is_gone(
    pushgateway: Pushgateway, environment: ExportEnvironment
) -> None:
    given = {"url": pushgateway.url, "delete_on_close": True}
    export = gateway_type.build(PushgatewayOptions.model_validate(given), environment)
    await export.run(attempt(), Metrics())
    await export.close()
    assert "cbmon_check_up" not in (await asyncio.to_thread(pushgateway.get, "/metrics")).text


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        (b"cbmon_check_up 1 1000\n", "timestamps"),
        (b"# TYPE cbmon_check_up gauge\ncbmon_check_up{\n", "text format parsing error"),
        (UP + UP, "second HELP line"),
    ],
)
async def test_what_the_gateway_refuses_is_a_status_with_its_words(
    pushgateway: Pushgateway, environment: ExportEnvironment, metrics: bytes, said: str
) -> None:
    options = PushgatewayOptions(url=pushgateway.url)
    result = await gateway_type.build(options, environment).run(attempt(), Metrics(metrics))
    assert result.reason is Reason.STATUS
    assert result.error is not None
    assert result.error.startswith("the server answered 400: ")
    assert said in result.error


async def test_a_gateway_that_is_stopped_is_connect(
    pushgateway: Pushgateway, environment: ExportEnvironment
) -> None:
    await asyncio.to_thread(pushgateway.stop)
    options = PushgatewayOptions(url=pushgateway.url)
    result = await gateway_type.build(options, environment).run(attempt(), Metrics())
    assert result.reason is Reason.CONNECT
