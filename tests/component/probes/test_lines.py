"""Rule: a line behaves like asyncio's transport in all that probes see of it, and leaves no
descriptor behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cbmon.model import Reason
from cbmon.probes.line import Line
from cbmon.probes.poll import WRITE, Watcher
from cbmon.probes.tcp import TcpOptions, TcpProbe
from tests.component.probes.conftest import Bench, stepped_run


class Heard(asyncio.Protocol):
    """Keeps what it is told."""

    def __init__(self, *, halves: bool = False) -> None:
        self.data = b""
        self.ends: list[BaseException | None] = []
        self.news = asyncio.Event()
        self.line: Any = None
        self._halves = halves

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.line = transport

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.news.set()

    def eof_received(self) -> bool:
        self.news.set()
        return self._halves

    def connection_lost(self, exc: BaseException | None) -> None:
        self.ends.append(exc)
        self.news.set()

    async def more(self) -> None:
        async with asyncio.timeout(5):
            await self.news.wait()
        self.news.clear()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def connect(line: Line, place: Any) -> None:
    if not line.connect(place):
        await line.connected(place)


@pytest.fixture
async def ends() -> Any:
    """A line that is connected, the protocol on it, and the other end."""
    server = socket.create_server(("127.0.0.1", 0))
    watcher = Watcher()
    line = Line(watcher, socket.AF_INET)
    await connect(line, server.getsockname())
    other, _ = server.accept()
    heard = Heard()
    line.begin(heard)
    with server, other:
        yield line, heard, other
    line.abort()
    await watcher.close()


@pytest.fixture
def full() -> Iterator[tuple[str, int]]:
    """Where nobody takes new connections: its queue has no place."""
    with socket.socket() as server, contextlib.ExitStack() as kept:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        place = server.getsockname()
        for _ in range(4):
            one = kept.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(place)
        yield place


async def test_what_does_not_fit_is_sent_when_there_is_room(ends: Any) -> None:
    line, _, other = ends
    sent = os.urandom(8 << 20)
    line.write(sent[:5])
    line.write(sent[5:])
    line.write(b"end")
    got = b""
    while not got.endswith(b"end") or len(got) < len(sent) + 3:
        got += await asyncio.get_running_loop().run_in_executor(None, other.recv, 1 << 20)
    assert got == sent + b"end"


async def test_a_farewell_ends_it_once(ends: Any) -> None:
    line, heard, other = ends
    other.sendall(b"bye")
    other.close()
    while not heard.ends:
        await heard.more()
    assert (heard.data, heard.ends, line.is_closing()) == (b"bye", [None], True)


async def test_a_reset_is_told_with_its_error(ends: Any) -> None:
    _, heard, other = ends
    other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    other.close()
    while not heard.ends:
        await heard.more()
    assert isinstance(heard.ends[0], ConnectionResetError)


async def test_what_was_said_before_a_reset_kept_us_from_sending_is_heard(ends: Any) -> None:
    line, heard, other = ends
    line.pause_reading()
    other.sendall(b"too busy")
    line.write(b"x")
    await asyncio.sleep(0)
    other.shutdown(socket.SHUT_RDWR)
    other.close()
    for _ in range(3):
        line.write(b"more")
        await asyncio.sleep(0.01)
    line.resume_reading()
    while not heard.ends:
        await heard.more()
    assert len(heard.ends) == 1


async def test_a_paused_line_leaves_what_comes_to_the_kernel(ends: Any) -> None:
    line, heard, other = ends
    line.pause_reading()
    other.sendall(b"later")
    await asyncio.sleep(0.05)
    assert heard.data == b""
    line.resume_reading()
    await heard.more()
    assert heard.data == b"later"


async def test_half_a_line_is_kept_for_who_wants_it() -> None:
    watcher, server = Watcher(), socket.create_server(("127.0.0.1", 0))
    line, heard = Line(watcher, socket.AF_INET), Heard(halves=True)
    await connect(line, server.getsockname())
    other, _ = server.accept()
    line.begin(heard)
    with server, other:
        other.shutdown(socket.SHUT_WR)
        await heard.more()
        line.write(b"still here")
        assert other.recv(100) == b"still here"
        assert not heard.ends
    line.abort()
    await watcher.close()


async def test_who_aborts_is_told_nothing(ends: Any) -> None:
    line, heard, other = ends
    line.abort()
    line.abort()
    line.write(b"nobody")
    line.resume_reading()
    assert other.recv(10) == b""
    await asyncio.sleep(0.01)
    assert heard.ends == []


async def test_a_refusal_is_raised_and_leaves_nothing_open() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    place = server.getsockname()
    server.close()
    watcher = Watcher()
    before = descriptors()
    for _ in range(20):
        with pytest.raises(ConnectionRefusedError):
            await connect(Line(watcher, socket.AF_INET), place)
    assert descriptors() <= before + 1  # the watcher's own
    await watcher.close()


async def test_news_of_another_socket_is_not_taken_for_a_connection(full: Any) -> None:
    watcher = Watcher()
    line = Line(watcher, socket.AF_INET)
    assert not line.connect(full)
    waiting = asyncio.ensure_future(line.connected(full))
    await asyncio.sleep(0)
    line.ready(WRITE)  # of a socket that had the same number before
    await asyncio.sleep(0.01)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert line.is_closing()
    await watcher.close()


async def test_a_protocol_that_fails_loses_its_line_and_no_other(
    ends: Any, caplog: pytest.LogCaptureFixture
) -> None:
    line, heard, other = ends

    def fail(data: bytes) -> None:
        heard.news.set()
        raise ZeroDivisionError

    heard.data_received = fail
    other.sendall(b"x")
    await heard.more()
    assert line.is_closing()
    assert "ZeroDivisionError" in caplog.text


async def test_failed_and_cut_off_runs_leave_no_descriptor(bench: Bench) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    port = await bench.raw(silent)
    await bench.look("tcp", address=f"127.0.0.1:{port}")
    before = descriptors()
    for _ in range(10):
        look = asyncio.ensure_future(bench.look("http", url=f"http://127.0.0.1:{port}/"))
        await asyncio.sleep(0.01)
        look.cancel()
        await asyncio.wait([look])
    await asyncio.sleep(0.1)  # the server's ends
    assert descriptors() <= before


async def test_a_connection_that_never_comes_about_is_cut_off(bench: Bench) -> None:
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # nobody accepts them: there is no room for another one
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        place = "{}:{}".format(*full.getsockname())
        options = TcpOptions.model_validate({"address": place})
        probe = TcpProbe(options, bench.environment)
        result = await stepped_run(probe, 0.1, bench.clock)
    assert result.reason is Reason.TIMEOUT
    assert result.error == f"no answer within 100ms, connecting to {place}"


async def test_a_missing_socket_file_is_named(bench: Bench, tmp_path: Path) -> None:
    result = await bench.look("tcp", address=f"unix:{tmp_path}/none")
    assert result.reason is Reason.CONNECT
    assert "no such file" in (result.error or "")
