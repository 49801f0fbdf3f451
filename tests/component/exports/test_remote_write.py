"""Samples arrive in order; what may be taken later waits, what never will is counted and goes."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port

from cbmon.backlog import DropCause
from cbmon.exports import remote_write
from cbmon.exports.base import ExportEnvironment
from cbmon.exports.posting import retry_after
from cbmon.exports.remote_write import RemoteWriteOptions
from cbmon.exports.sampling import SamplesExport
from cbmon.model import Reason, Result
from tests.component.exports.gateway import Gateway, Metrics, attempt
from tests.unit.exports.unsnappy import series

NAME: Final = "mimir"


class Clock:
    """Wall time that a test moves."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


class Subject:
    """An export, what it is given, and the moments at which it runs."""

    def __init__(self, url: str, directory: Path, **options: Any) -> None:
        self.clock = Clock()
        self.metrics = Metrics(b"x 0\n")
        self.environment = ExportEnvironment(clock=self.clock, data=directory)
        self.backlog = self.environment.backlog(NAME)
        self.export = self.anew(url, **options)

    def anew(self, url: str, **options: Any) -> SamplesExport:
        given = {"url": f"{url}/api/v1/write", "instance": "i", **options}
        made = RemoteWriteOptions.model_validate(given)
        return remote_write.build(made, self.environment, NAME)

    async def run(self, number: int) -> Result:
        self.clock.now += 15.0
        self.metrics.now = b"x %d\n" % number
        return await self.export.run(attempt(), self.metrics)

    async def collect(self, number: int) -> None:
        self.clock.now += 15.0
        self.metrics.now = b"x %d\n" % number
        await self.export.collect(self.metrics)


@pytest.fixture
async def subject(gateway: Gateway, tmp_path: Path) -> Any:
    made = Subject(gateway.url, tmp_path)
    yield made
    await made.environment.close()


def arrived(gateway: Gateway, name: str = "x") -> list[float]:
    """The values of a series in the order in which they came; NaN marks its end."""
    return [
        value
        for push in gateway.pushed
        for labels, value, _ in series(push.body)
        if labels["__name__"] == name
    ]


def answering(gateway: Gateway, *statuses: int, **headers: str) -> None:
    """Answer so, one after the other, then 204."""
    waiting = list(statuses)

    async def answer(_: web.Request) -> web.Response:
        status = waiting.pop(0) if waiting else 204
        return web.Response(status=status, text="so it is", headers=headers if status > 299 else {})

    gateway.answer = answer


async def test_a_run_posts_what_a_scrape_would_have_stored(
    subject: Subject, gateway: Gateway
) -> None:
    result = await subject.run(7)
    assert result.ok
    (push,) = gateway.pushed
    assert (push.method, push.path) == ("POST", "/api/v1/write")
    assert push.headers["Content-Type"] == "application/x-protobuf"
    assert push.headers["Content-Encoding"] == "snappy"
    assert push.headers["X-Prometheus-Remote-Write-Version"] == "0.1.0"
    at = int(subject.clock.now * 1000)
    labels = {"instance": "i", "job": "cbmon"}
    assert series(push.body) == [
        ({"__name__": "x", **labels}, 7.0, at),
        ({"__name__": "up", **labels}, 1.0, at),
    ]
    assert result.facts == {"requests": 1, "samples": 2, "status": 200, "waiting": 0}
    assert (subject.backlog.samples, subject.backlog.queue) == (2, 0)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_what_may_be_taken_later_is_sent_again_and_first(
    subject: Subject, gateway: Gateway, status: int
) -> None:
    answering(gateway, status)
    first = await subject.run(1)
    assert (first.ok, first.reason) == (False, Reason.STATUS)
    assert subject.backlog.queue == 1
    assert subject.backlog.oldest == subject.clock.now
    assert (await subject.run(2)).ok
    assert arrived(gateway) == [1.0, 1.0, 2.0]
    assert (subject.backlog.queue, subject.backlog.bytes, subject.backlog.oldest) == (0, 0, 0.0)
    assert subject.backlog.dropped == {}


@pytest.mark.parametrize("status", [301, 400, 401, 404, 413])
async def test_what_never_will_be_taken_is_dropped_and_counted(
    subject: Subject, gateway: Gateway, status: int
) -> None:
    answering(gateway, status)
    refused = await subject.run(1)
    assert not refused.ok
    assert "so it is" in (refused.error or "")
    assert (await subject.run(2)).ok
    assert arrived(gateway) == [1.0, 2.0]
    assert subject.backlog.dropped == {DropCause.REFUSED: 2}


async def test_a_wrong_token_costs_one_request_a_run_and_not_the_spool(
    subject: Subject, gateway: Gateway
) -> None:
    for number in range(5):
        await subject.collect(number)
    answering(gateway, 401, 401)
    assert (await subject.run(5)).reason is Reason.AUTH
    assert subject.backlog.queue == 5
    assert len(gateway.pushed) == 1


async def test_one_bad_request_holds_up_no_other(subject: Subject, gateway: Gateway) -> None:
    for number in range(3):
        await subject.collect(number)
    answering(gateway, 204, 400)
    result = await subject.run(3)
    assert (result.ok, result.reason) == (False, Reason.STATUS)
    assert arrived(gateway) == [0.0, 1.0, 2.0, 3.0]
    assert subject.backlog.dropped == {DropCause.REFUSED: 2}


async def test_retry_after_is_waited_for_if_there_is_time_and_else_the_run_fails(
    subject: Subject, gateway: Gateway
) -> None:
    answering(gateway, 429, **{"Retry-After": "60"})
    await subject.run(1)
    early = await subject.run(2)
    assert early.error == "the server asked to be left alone for 60 s more"
    assert len(gateway.pushed) == 1

    export = subject.export
    export._delivery._not_before = asyncio.get_running_loop().time() + 0.05
    assert (await subject.run(3)).ok
    assert arrived(gateway)[1:] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("0", 0.0),
        (" 7 ", 7.0),
        ("99999999999999999999", 3600.0),
        ("Tue, 14 Nov 2023 22:13:30 GMT", 10.0),
        ("Tue, 14 Nov 2023 22:13:00 GMT", 0.0),
        ("Tue, 14 Nov 2033 22:13:30 GMT", 3600.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, 1_700_000_000.0) == seconds


async def test_while_the_breaker_is_open_samples_wait_on_disk_and_survive_a_restart(
    subject: Subject, gateway: Gateway, tmp_path: Path
) -> None:
    for number in range(3):
        await subject.collect(number)
    await subject.export.close()
    assert len(gateway.pushed) == 0, "an open breaker sends nothing, at the end neither"
    subject.export = subject.anew(gateway.url)
    assert (await subject.run(3)).ok
    values = arrived(gateway)
    assert [value for value in values if not math.isnan(value)] == [0.0, 1.0, 2.0, 3.0]
    assert math.isnan(values[3])
    assert list(tmp_path.rglob("*.batch")) == []


async def test_a_failed_run_leaves_its_samples_on_disk_for_whoever_comes_next(
    subject: Subject, gateway: Gateway, tmp_path: Path
) -> None:
    answering(gateway, 503)
    await subject.run(1)
    assert len(list(tmp_path.rglob("*.batch"))) == 1
    after_a_kill = subject.anew(gateway.url)
    subject.clock.now += 15.0
    assert (await after_a_kill.run(attempt(), subject.metrics)).ok
    assert arrived(gateway) == [1.0, 1.0, 1.0]


async def test_what_is_held_in_memory_is_sent_but_not_kept(
    gateway: Gateway, tmp_path: Path
) -> None:
    subject = Subject(gateway.url, tmp_path, when_open="hold")
    for number in range(3):
        await subject.collect(number)
    assert (await subject.run(3)).ok
    assert arrived(gateway) == [0.0, 1.0, 2.0, 3.0]
    assert list(tmp_path.iterdir()) == []
    await subject.environment.close()


async def test_drop_keeps_nothing_of_an_open_breaker(gateway: Gateway, tmp_path: Path) -> None:
    subject = Subject(gateway.url, tmp_path, when_open="drop")
    answering(gateway, 503)
    await subject.run(1)
    assert subject.backlog.queue == 1, "it is tried again, as long as the breaker is closed"
    await subject.collect(2)
    assert subject.backlog.dropped == {DropCause.OPEN: 2}
    assert (await subject.run(3)).ok
    assert arrived(gateway) == [1.0, 3.0]
    await subject.environment.close()


async def test_what_is_too_old_is_dropped(subject: Subject, gateway: Gateway) -> None:
    await subject.collect(1)
    subject.clock.now += 7200.0
    assert (await subject.run(2)).ok
    assert arrived(gateway) == [2.0]
    assert subject.backlog.dropped == {DropCause.OLD: 2}


async def test_more_than_may_wait_pushes_out_the_oldest(gateway: Gateway, tmp_path: Path) -> None:
    subject = Subject(gateway.url, tmp_path, spool={"max_size": "1MiB"})
    filler = b"".join(b'y{check="%032d"} 0.5\n' % number for number in range(5000))
    for number in range(12):
        subject.clock.now += 15.0
        subject.metrics.now = b"x %d\n" % number + filler
        await subject.export.collect(subject.metrics)
    assert subject.backlog.dropped[DropCause.FULL] > 0
    assert subject.backlog.bytes <= 1 << 20
    subject.metrics.now = b"x 12\n" + filler
    assert (await subject.export.run(attempt(), subject.metrics)).ok
    values = [value for value in arrived(gateway) if not math.isnan(value)]
    assert values == sorted(values)
    assert values[-1] == 12.0
    await subject.environment.close()


async def test_a_disk_that_cannot_be_written_costs_only_what_had_to_wait(
    gateway: Gateway, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no directory")
    subject = Subject(gateway.url, blocked)
    await subject.collect(1)
    assert subject.backlog.dropped == {DropCause.DISK: 2}
    assert "samples dropped" in caplog.text
    assert (await subject.run(2)).ok
    assert arrived(gateway) == [2.0]
    await subject.environment.close()


async def test_a_stop_tells_the_end_of_every_series(subject: Subject, gateway: Gateway) -> None:
    await subject.run(1)
    subject.clock.now += 1
    await subject.export.close()
    values = arrived(gateway)
    assert values[0] == 1.0
    assert math.isnan(values[1])
    assert math.isnan(arrived(gateway, "up")[1])


async def test_a_run_that_is_cut_off_loses_nothing(subject: Subject, gateway: Gateway) -> None:
    reached = asyncio.Event()

    async def never(_: web.Request) -> web.Response:
        reached.set()
        await asyncio.sleep(60)
        raise AssertionError

    gateway.answer = never
    run = asyncio.create_task(subject.run(1))
    await reached.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    gateway.answer = None
    assert (await subject.run(2)).ok
    assert arrived(gateway) == [1.0, 1.0, 2.0]


async def test_a_server_that_does_not_answer_is_a_timeout_before_the_deadline(
    subject: Subject, gateway: Gateway
) -> None:
    async def late(_: web.Request) -> web.Response:
        await asyncio.sleep(0.5)
        return web.Response()

    gateway.answer = late
    result = await subject.export.run(attempt(0.2), subject.metrics)
    assert (result.reason, result.duration < 0.2) == (Reason.TIMEOUT, True)
    assert subject.backlog.queue == 1


async def test_a_server_that_is_gone_is_connect(tmp_path: Path) -> None:
    subject = Subject(f"http://127.0.0.1:{unused_port()}", tmp_path)
    assert (await subject.run(1)).reason is Reason.CONNECT
    assert (await subject.run(2)).reason is Reason.CONNECT
    assert subject.backlog.queue == 2
    await subject.environment.close()


@pytest.mark.parametrize(
    ("options", "header"),
    [
        ({"basic_auth": {"username": "ann", "password": "b"}}, "Basic YW5uOmI="),
        ({"bearer_token": "secret"}, "Bearer secret"),
        ({"headers": {"Authorization": "Own x"}}, "Own x"),
    ],
)
async def test_it_logs_in_as_it_is_told(
    gateway: Gateway, tmp_path: Path, options: dict[str, Any], header: str
) -> None:
    subject = Subject(gateway.url, tmp_path, **options)
    await subject.run(1)
    assert gateway.pushed[0].headers["Authorization"] == header
    await subject.environment.close()


async def test_a_token_file_is_read_at_each_run_and_its_absence_keeps_the_samples(
    gateway: Gateway, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    options = {"bearer_token_file": str(token), "headers": {"X-Scope-OrgID": "7"}}
    subject = Subject(gateway.url, tmp_path / "spool", **options)
    assert (await subject.run(1)).reason is Reason.CONFIG
    token.write_text("first\n")
    assert (await subject.run(2)).ok
    assert arrived(gateway) == [1.0, 2.0]
    assert gateway.pushed[0].headers["Authorization"] == "Bearer first"
    assert gateway.pushed[0].headers["X-Scope-OrgID"] == "7"
    await subject.environment.close()


def test_names_lead_to_folders_of_their_own(tmp_path: Path) -> None:
    environment = ExportEnvironment(data=tmp_path)
    names = ["a", "A b", "..", "ü" * 100, "ü" * 101, 'x"{}\\']
    found = [environment.spool_of(name, None) for name in names]
    assert len(set(found)) == len(names)
    assert all(path is not None and path.parent == tmp_path / "spool" for path in found)
    assert all(path is not None and len(path.name.encode()) < 200 for path in found)


def test_without_a_directory_what_waits_is_held_and_it_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    options = RemoteWriteOptions(url="http://127.0.0.1:1/")
    remote_write.build(options, ExportEnvironment(), NAME)
    assert "no directory for the spool" in caplog.text
