"""A push is one request; every way it can fail has its reason; the next run is the retry."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port

from cbmon.exports.base import USER_AGENT, ExportEnvironment
from cbmon.exports.failures import classified
from cbmon.model import Reason
from tests.component.exports.gateway import OWN, UP, Gateway, Metrics, attempt, export

# --- a push ------------------------------------------------------------------------------


async def test_a_push_replaces_the_group_with_the_present_metrics(
    gateway: Gateway, environment: ExportEnvironment
) -> None:
    subject = export(environment, gateway.url, grouping={"instance": "web-1"})
    result = await subject.run(attempt(), Metrics())
    assert result.ok
    (push,) = gateway.pushed
    assert (push.method, push.path) == ("PUT", "/metrics/job/cbmon/instance/web-1")
    assert push.body == OWN + UP
    assert push.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert push.headers["User-Agent"] == USER_AGENT
    assert result.facts == {"bytes": len(OWN + UP), "status": 200}


async def test_base64_reaches_the_server_unquoted(
    gateway: Gateway, environment: ExportEnvironment
) -> None:
    await export(environment, gateway.url, grouping={"dir": ""}).run(attempt(), Metrics())
    assert gateway.pushed[0].path == "/metrics/job/cbmon/dir@base64/="


async def test_post_and_exclude_do_what_they_say(
    gateway: Gateway, environment: ExportEnvironment
) -> None:
    subject = export(environment, gateway.url, method="post", exclude=["process_"])
    assert (await subject.run(attempt(), Metrics())).ok
    (push,) = gateway.pushed
    assert (push.method, push.body) == ("POST", UP)


async def test_two_exports_share_one_session(
    gateway: Gateway, environment: ExportEnvironment
) -> None:
    await export(environment, gateway.url).run(attempt(), Metrics())
    session = environment.session
    await export(environment, gateway.url).run(attempt(), Metrics())
    assert environment.session is session
    await environment.close()
    assert session.closed


async def test_no_connection_is_kept_from_one_push_to_the_next(
    gateway: Gateway, environment: ExportEnvironment
) -> None:
    subject = export(environment, gateway.url)
    for _ in range(2):
        await subject.run(attempt(), Metrics())
    first, second = (push.peer for push in gateway.pushed)
    assert first != second


async def test_the_password_file_is_read_at_each_push(
    gateway: Gateway, environment: ExportEnvironment, tmp_path: Path
) -> None:
    secret = tmp_path / "password"
    secret.write_text("first\n")
    auth = {"username": "ann", "password_file": str(secret)}
    subject = export(environment, gateway.url, basic_auth=auth)
    await subject.run(attempt(), Metrics())
    secret.write_text("sécond\n")
    await subject.run(attempt(), Metrics())
    sent = [push.headers["Authorization"] for push in gateway.pushed]
    assert sent == [
        aiohttp.encode_basic_auth("ann", "first", "utf-8"),
        aiohttp.encode_basic_auth("ann", "sécond", "utf-8"),
    ]


async def test_the_phases_say_where_the_time_went(
    gateway: Gateway, environment: ExportEnvironment
) -> None:
    async def slowly(_: web.Request) -> web.Response:
        await asyncio.sleep(0.05)
        return web.Response()

    gateway.answer = slowly
    result = await export(environment, gateway.url).run(attempt(), Metrics())
    assert result.phases.connect > 0
    assert 0.05 <= result.phases.processing <= result.duration
    assert sum(result.phases) <= result.duration


async def test_megabytes_are_streamed(gateway: Gateway, environment: ExportEnvironment) -> None:
    text = UP + b'cbmon_check_up{check="b"} 1\n' * 400_000
    result = await export(environment, gateway.url).run(attempt(20.0), Metrics(text))
    assert result.ok, result.error
    assert len(gateway.pushed[0].body) == len(text) > 10_000_000


# --- failures ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, Reason.STATUS),
        (401, Reason.AUTH),
        (403, Reason.AUTH),
        (404, Reason.STATUS),
        (500, Reason.STATUS),
        (302, Reason.REDIRECT),
    ],
)
async def test_a_refusal_has_its_reason_and_what_the_gateway_said(
    gateway: Gateway, environment: ExportEnvironment, status: int, reason: Reason
) -> None:
    gateway.status = status
    gateway.said = "pushed metrics are invalid\x1b[31m\nsecond line"
    gateway.headers = {"Location": "/elsewhere"} if status == 302 else {}
    result = await export(environment, gateway.url).run(attempt(), Metrics())
    assert result.reason is reason
    assert result.error is not None
    assert f"the server answered {status}: pushed metrics are invalid [31m" in result.error
    assert "second line" not in result.error
    assert result.facts["status"] == status
    assert len(gateway.pushed) == 1


async def test_a_long_complaint_is_cut_short(
    gateway: Gateway, environment: ExportEnvironment
) -> None:
    gateway.status, gateway.said = 400, "x" * 100_000
    result = await export(environment, gateway.url).run(attempt(), Metrics())
    assert result.error is not None
    assert 300 < len(result.error) < 350


async def test_nobody_listening_is_connect(environment: ExportEnvironment) -> None:
    port = unused_port()
    result = await export(environment, f"http://127.0.0.1:{port}").run(attempt(), Metrics())
    assert result.reason is Reason.CONNECT
    assert result.error == f"cannot connect to 127.0.0.1:{port}: Connection refused"
    assert "status" not in result.facts


async def test_a_connection_closed_before_the_answer_is_connect(
    gateway: Gateway, environment: ExportEnvironment
) -> None:
    async def hang_up(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    gateway.answer = hang_up
    result = await export(environment, gateway.url).run(attempt(), Metrics())
    assert result.reason is Reason.CONNECT
    assert result.error == "the server closed the connection before it answered"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(b"SSH-2.0-OpenSSH\r\n", Reason.PROTOCOL), (b"", Reason.CONNECT)],
)
async def test_what_is_not_http_is_told_apart(
    environment: ExportEnvironment, answer: bytes, reason: Reason
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        result = await export(environment, f"http://127.0.0.1:{port}").run(attempt(), Metrics())
    assert result.reason is reason


async def test_a_silent_gateway_is_a_timeout(
    gateway: Gateway, environment: ExportEnvironment
) -> None:
    release = asyncio.Event()

    async def silent(_: web.Request) -> web.Response:
        await release.wait()
        return web.Response()

    gateway.answer = silent
    result = await export(environment, gateway.url).run(attempt(0.1), Metrics())
    release.set()
    assert result.reason is Reason.TIMEOUT
    assert result.error == "no answer within the timeout"


async def test_a_cancelled_push_is_cancelled(
    gateway: Gateway, environment: ExportEnvironment
) -> None:
    asked, release = asyncio.Event(), asyncio.Event()

    async def silent(_: web.Request) -> web.Response:
        asked.set()
        await release.wait()
        return web.Response()

    gateway.answer = silent
    run = asyncio.create_task(export(environment, gateway.url).run(attempt(), Metrics()))
    await asked.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    release.set()


@pytest.mark.parametrize(
    "options",
    [
        {"basic_auth": {"username": "a", "password_file": "/nowhere/password"}},
        {"tls": {"ca_file": "/nowhere/ca.pem"}},
        {"tls": {"ca_file": __file__}},
    ],
    ids=["secret", "missing authority", "not an authority"],
)
async def test_a_file_that_cannot_be_used_is_config(
    environment: ExportEnvironment, options: dict[str, Any]
) -> None:
    subject = export(environment, "https://127.0.0.1:1", **options)
    result = await subject.run(attempt(), Metrics())
    assert result.reason is Reason.CONFIG
    assert result.error is not None
    assert ("/nowhere/" in result.error) or (__file__ in result.error)


def test_a_name_that_does_not_resolve_is_dns() -> None:
    key = aiohttp.client_reqrep.ConnectionKey("gw.invalid", 80, False, True, None, None, None)
    error = aiohttp.ClientConnectorDNSError(key, OSError(4, "Domain name not found"))
    assert classified(error) == (
        Reason.DNS,
        "cannot connect to gw.invalid:80: Domain name not found",
    )


# --- the end -----------------------------------------------------------------------------


async def test_the_group_stays_unless_it_is_to_be_deleted(
    gateway: Gateway, environment: ExportEnvironment
) -> None:
    kept = export(environment, gateway.url)
    await kept.run(attempt(), Metrics())
    await kept.close()
    fleeting = export(environment, gateway.url, delete_on_close=True)
    await fleeting.close()
    await fleeting.run(attempt(), Metrics())
    await fleeting.close()
    assert [push.method for push in gateway.pushed] == ["PUT", "PUT", "DELETE"]
    assert gateway.pushed[-1].path == "/metrics/job/cbmon"


@pytest.mark.parametrize("dead", [True, False])
async def test_a_delete_that_fails_is_logged_and_fails_nothing(
    gateway: Gateway, environment: ExportEnvironment, caplog: pytest.LogCaptureFixture, dead: bool
) -> None:
    subject = export(environment, gateway.url, delete_on_close=True)
    await subject.run(attempt(), Metrics())
    if dead:

        async def hang_up(request: web.Request) -> web.Response:
            assert request.transport is not None
            request.transport.close()
            return web.Response()

        gateway.answer = hang_up
    gateway.status = 500
    await subject.close()
    assert "pushed group not deleted" in caplog.text


async def test_while_the_breaker_is_open_the_group_stays_or_goes_as_it_is_told(
    gateway: Gateway, environment: ExportEnvironment
) -> None:
    kept = export(environment, gateway.url)
    await kept.run(attempt(), Metrics())
    await kept.collect(Metrics())
    dropped = export(environment, gateway.url, when_open="drop")
    await dropped.collect(Metrics())
    await dropped.run(attempt(), Metrics())
    gateway.status = 500
    await dropped.collect(Metrics())
    gateway.status = 202
    for _ in range(2):
        await dropped.collect(Metrics())
    methods = [push.method for push in gateway.pushed]
    assert methods == ["PUT", "PUT", "DELETE", "DELETE"], "until the gateway lets it, once"
