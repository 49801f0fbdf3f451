"""What /probe does around the probers: modules, policy, breakers, history, newer keys."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from cbmon.blackbox.service import Inquiry, RefusedError
from cbmon.model import Reason

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HTTP = {"prober": "http", "timeout": "2s"}


def sample(outcome: Any, name: str) -> float | None:
    lines = [line.split() for line in outcome.metrics.splitlines() if not line.startswith("#")]
    return next((float(line[-1]) for line in lines if line[0] == name), None)


async def test_a_good_target(bench: Any) -> None:
    port = await bench.answering(OK)
    outcome = await bench.probe(f"http://127.0.0.1:{port}/", HTTP)
    assert outcome.ok
    assert sample(outcome, "probe_success") == 1
    assert "cbmon_probe_failure_info" not in outcome.metrics
    assert bench.heard == [
        f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: ".encode()
        + bench.heard[0].partition(b"User-Agent: ")[2]
    ]
    assert b"Accept" not in bench.heard[0]


async def test_an_unknown_module_is_refused_and_counted(bench: Any) -> None:
    bench.use({"m": HTTP})
    with pytest.raises(RefusedError, match='Unknown module "http_2xx"') as caught:
        await bench.probing.probe(Inquiry(target="x"))
    assert caught.value.status == 400
    assert len(bench.unknown) == 1


@pytest.mark.parametrize(
    ("section", "target"),
    [
        ({"deny_cidrs": ["127.0.0.0/8"]}, "http://127.0.0.1:1/"),
        ({"deny_cidrs": ["127.0.0.0/8"]}, "http://[::ffff:127.0.0.1]:1/"),
        ({"allow_cidrs": ["192.0.2.0/24"]}, "http://127.0.0.1:1/"),
        ({}, "http://169.254.169.254/"),
        ({"deny_cidrs": []}, "http://169.254.169.254/"),
        ({}, "http://[fd00:ec2::254]/"),
    ],
)
async def test_a_denied_target_is_a_failed_probe_with_a_reason(
    bench: Any, section: dict[str, Any], target: str
) -> None:
    networks = {key: tuple(map(ip_network, value)) for key, value in section.items()}
    bench.use({"m": HTTP}, **networks)
    outcome = await bench.probe(target)
    assert (outcome.ok, outcome.reason) == (False, Reason.POLICY)
    assert 'cbmon_probe_failure_info{reason="policy"} 1' in outcome.metrics


async def test_a_redirect_does_not_get_around_the_policy(bench: Any) -> None:
    port = await bench.answering(
        b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"
    )
    outcome = await bench.probe(f"http://127.0.0.1:{port}/", HTTP)
    assert (outcome.ok, outcome.reason) == (False, Reason.POLICY)
    assert sample(outcome, "probe_http_redirects") == 1


@pytest.mark.parametrize("prober", ["icmp", "tcp", "grpc", "dns"])
async def test_every_prober_asks_the_policy(bench: Any, prober: str) -> None:
    target = "127.0.0.1" if prober == "icmp" else "127.0.0.1:1"
    module = {"prober": prober, "timeout": "2s", "dns": {"query_name": "a"}}
    bench.use({"m": module}, deny_cidrs=(ip_network("127.0.0.0/8"),))
    assert (await bench.probe(target)).reason is Reason.POLICY


async def test_a_unix_socket_has_to_be_allowed(bench: Any, tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()

    path = tmp_path / "s"
    bench.servers.append(await asyncio.start_unix_server(talk, path))
    module = {"prober": "unix", "unix": {"query_response": [{"send": "PING"}, {"expect": "PING"}]}}
    refused = await bench.probe(str(path), module)
    assert refused.reason is Reason.POLICY
    bench.use({"m": module}, allow_unix=True)
    assert (await bench.probe(str(path))).ok
    assert (await bench.probe(f"unix://{path}")).ok


async def test_a_breaker_spares_a_target_that_fails(bench: Any) -> None:
    bench.use({"m": HTTP}, breaker={"failure_threshold": 2})
    for _ in range(2):
        assert (await bench.probe("http://127.0.0.1:1/")).reason is Reason.CONNECT
    spared = await bench.probe("http://127.0.0.1:1/")
    assert (spared.ok, spared.reason) == (False, Reason.DEPENDENCY)
    assert "the breaker of this target is open" in spared.debug
    assert sample(spared, "probe_duration_seconds") == 0
    other = await bench.probe("http://127.0.0.1:2/")
    assert other.reason is Reason.CONNECT


async def test_debug_has_three_headings_and_no_secret(bench: Any) -> None:
    port = await bench.answering(OK)
    module = {**HTTP, "http": {"basic_auth": {"username": "u", "password": "hunter2"}}}
    outcome = await bench.probe(f"http://127.0.0.1:{port}/", module)
    first = outcome.debug.index("Logs for the probe:\n")
    second = outcome.debug.index("\n\n\nMetrics that would have been returned:\n")
    third = outcome.debug.index("\n\n\nModule configuration:\n")
    assert first == 0 < second < third
    assert "hunter2" not in outcome.debug
    assert "password: <secret>" in outcome.debug
    assert "hunter2" not in bench.probing.configuration()
    found = bench.probing.history.by_target(f"http://127.0.0.1:{port}/", "m")
    assert found is not None
    assert found.text == outcome.debug


async def test_a_target_cannot_forge_a_line_of_the_log(bench: Any) -> None:
    outcome = await bench.probe('http://a\nts=1 msg="forged"/', HTTP)
    assert not outcome.ok
    assert "\nts=1 msg" not in outcome.debug


async def test_what_was_expected_becomes_labels(bench: Any) -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2 Debian\r\n")
        await writer.drain()

    port = await bench.raw(talk)
    labels = [{"name": "name", "value": "${1}"}, {"name": "comment", "value": "$2"}]
    step = {"expect": "^SSH-2.0-([^ -]+)(?: (.*))?$", "labels": labels}
    outcome = await bench.probe(
        f"127.0.0.1:{port}", {"prober": "tcp", "tcp": {"query_response": [step]}}
    )
    assert outcome.ok
    assert 'probe_expect_info{comment="Debian",name="OpenSSH_9.2"} 1' in outcome.metrics


@pytest.mark.parametrize(("said", "ok"), [(b"S", True), (b"N", False), (b"", False)])
async def test_expected_bytes_are_compared(bench: Any, said: bytes, ok: bool) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(9) == b"\0\0\0\x08\x04\xd2\x16/\n"
        writer.write(said)
        await writer.drain()

    port = await bench.raw(talk)
    bench.use({"m": {"prober": "tcp"}})
    text = (
        b"modules:\n  m:\n    prober: tcp\n    tcp:\n      query_response:\n"
        b"      - send: !!binary AAAACATSFi8=\n      - expect_bytes: S\n"
    )
    from cbmon.blackbox.file import ModuleFile, parse_modules
    from cbmon.config.problems import Problems
    from cbmon.config.sections import ProbeSection

    file = ModuleFile(Path("x"), parse_modules(text, "x", Problems()))
    bench.probing.configure(ProbeSection(), file, enable=True)
    outcome = await bench.probe(f"127.0.0.1:{port}")
    assert outcome.ok is ok
    assert sample(outcome, "probe_failed_due_to_bytes") == (said == b"N")


async def test_a_body_from_a_file_comes_in_chunks(bench: Any, tmp_path: Path) -> None:
    (tmp_path / "body").write_text("x=1")
    port = await bench.answering(OK)
    options = {"method": "POST", "body_file": str(tmp_path / "body")}
    assert (await bench.probe(f"127.0.0.1:{port}", {**HTTP, "http": options})).ok
    assert b"Transfer-Encoding: chunked\r\n" in bench.heard[0]
    assert bench.heard[0].endswith(b"\r\n\r\n3\r\nx=1\r\n0\r\n\r\n")


async def test_headers_from_files_are_read_at_each_probe(bench: Any, tmp_path: Path) -> None:
    port = await bench.answering(OK)
    file = tmp_path / "key"
    bench.use({"m": {**HTTP, "http": {"http_headers": {"X-Key": {"files": [str(file)]}}}}})
    missing = await bench.probe(f"127.0.0.1:{port}")
    assert missing.reason is Reason.CONFIG
    for key in ("one", "two"):
        file.write_text(f"{key}\n")
        assert (await bench.probe(f"127.0.0.1:{port}")).ok
    assert b"X-Key: one\r\n" in bench.heard[0]
    assert b"X-Key: two\r\n" in bench.heard[1]


async def test_a_token_is_fetched_first(bench: Any) -> None:
    token = b'{"access_token": "t0ken", "token_type": "bearer"}'
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(token)
    issuer = await bench.answering(head + token)
    port = await bench.answering(OK)
    grant = {
        "client_id": "me",
        "client_secret": "s",
        "token_url": f"http://127.0.0.1:{issuer}/t",
        "scopes": ["a", "b"],
    }
    outcome = await bench.probe(f"127.0.0.1:{port}", {**HTTP, "http": {"oauth2": grant}})
    assert outcome.ok
    assert b"Authorization: Basic bWU6cw==" in bench.heard[0]
    assert bench.heard[0].endswith(b"grant_type=client_credentials&scope=a+b")
    assert b"Authorization: Bearer t0ken" in bench.heard[1]


async def test_no_token_is_a_failed_probe(bench: Any) -> None:
    issuer = await bench.answering(b"HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\n{}")
    grant = {"client_id": "me", "token_url": f"http://127.0.0.1:{issuer}/t"}
    outcome = await bench.probe("127.0.0.1:1", {**HTTP, "http": {"oauth2": grant}})
    assert outcome.reason is Reason.AUTH


async def test_a_proxy_is_asked_for_the_whole_url(bench: Any) -> None:
    port = await bench.answering(OK)
    options = {"proxy_url": f"http://u:p@127.0.0.1:{port}"}
    outcome = await bench.probe("http://127.0.0.1:9/x", {**HTTP, "http": options})
    assert outcome.ok
    assert bench.heard[0].startswith(b"GET http://127.0.0.1:9/x HTTP/1.1\r\n")


async def test_a_proxy_that_refuses_the_tunnel_is_told(bench: Any) -> None:
    port = await bench.answering(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
    options = {
        "proxy_url": f"http://127.0.0.1:{port}",
        "proxy_connect_header": {"Proxy-Authorization": ["Bearer t"]},
        "skip_resolve_phase_with_proxy": True,
    }
    outcome = await bench.probe("https://secret.invalid/x", {**HTTP, "http": options})
    assert outcome.reason is Reason.CONNECT
    assert bench.heard[0].startswith(b"CONNECT secret.invalid:443 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Bearer t\r\n" in bench.heard[0]
    assert sample(outcome, "probe_ip_protocol") is None


async def test_what_is_not_supported_fails_with_a_reason(bench: Any) -> None:
    options = {"enable_http3": True, "enable_http2": False}
    outcome = await bench.probe("https://127.0.0.1:1/", {**HTTP, "http": options})
    assert outcome.reason is Reason.CONFIG
    assert "HTTP/3" in outcome.error or "HTTP/3" in outcome.debug


async def test_targets_that_never_end_are_cut_off_in_time(bench: Any) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X-A: 1\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    port = await bench.raw(drip)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    outcome = await bench.probe(f"http://127.0.0.1:{port}/", {**HTTP, "timeout": "300ms"})
    assert loop.time() - begun < 0.8
    assert outcome.reason is Reason.TIMEOUT


async def test_an_endless_head_is_cut_off_by_its_size(bench: Any) -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X-A: " + b"a" * 60_000 + b"\r\n")
            await writer.drain()

    port = await bench.raw(flood)
    outcome = await bench.probe(f"http://127.0.0.1:{port}/", {**HTTP, "timeout": "20s"})
    assert outcome.reason is Reason.SIZE


async def test_an_endless_line_is_cut_off_by_its_size(bench: Any) -> None:
    async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"a" * 60_000)
            await writer.drain()

    port = await bench.raw(flood)
    steps = [{"expect": "x"}]
    module = {"prober": "tcp", "timeout": "20s", "tcp": {"query_response": steps}}
    outcome = await bench.probe(f"127.0.0.1:{port}", module)
    assert outcome.reason is Reason.SIZE
    assert sample(outcome, "probe_failed_due_to_regex") == 0


async def test_no_connection_stays_open(bench: Any) -> None:
    open_ = asyncio.Event()

    async def watch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await writer.drain()
        while await reader.read(4096):
            pass
        open_.set()

    port = await bench.raw(watch)
    await bench.probe(f"http://127.0.0.1:{port}/", HTTP)
    async with asyncio.timeout(2):
        await open_.wait()


async def test_a_refused_port_is_told_apart_from_a_name(bench: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        outcome = await bench.probe(f"127.0.0.1:{port}", {"prober": "tcp"})
    assert outcome.reason is Reason.CONNECT
    named = await bench.probe("nowhere.invalid:1", {"prober": "tcp", "timeout": "3s"})
    assert named.reason is Reason.DNS


@pytest.mark.parametrize(
    ("key", "expression", "ok"),
    [
        ("fail_if_body_json_not_matches_cel", "body.foo == 'bar' && body.n > 2", True),
        ("fail_if_body_json_not_matches_cel", "body.foo == 'baz'", False),
        ("fail_if_body_json_matches_cel", "body.list.exists(x, x == 2)", False),
        ("fail_if_body_json_matches_cel", "body.none == 1", False),
        ("fail_if_body_json_matches_cel", "body.n", False),
        ("fail_if_body_json_matches_cel", "body.n ==", False),
    ],
)
async def test_cel_looks_at_a_json_body(bench: Any, key: str, expression: str, ok: bool) -> None:
    pytest.importorskip("celpy")
    body = b'{"foo": "bar", "n": 3, "list": [1, 2]}'
    port = await bench.answering(
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    )
    outcome = await bench.probe(f"127.0.0.1:{port}", {**HTTP, "http": {key: expression}})
    assert outcome.ok is ok
    assert sample(outcome, "probe_failed_due_to_cel") == (not ok)


async def test_brotli_is_unpacked(bench: Any) -> None:
    brotli = pytest.importorskip("brotli")
    body = brotli.compress(b"hello " * 100_000)
    port = await bench.answering(
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    )
    options = {"compression": "br", "fail_if_body_not_matches_regexp": ["^(hello )+$"]}
    outcome = await bench.probe(f"127.0.0.1:{port}", {**HTTP, "http": options})
    assert outcome.ok
    assert sample(outcome, "probe_http_uncompressed_body_length") == 600_000
    cut = await bench.answering(b"HTTP/1.1 200 OK\r\n\r\n" + body[:-3])
    assert not (await bench.probe(f"127.0.0.1:{cut}")).ok
