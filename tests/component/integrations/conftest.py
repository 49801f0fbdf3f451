"""A small HTTP origin on the loopback whose paths say how it behaves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from cbmon import BreakerRegistry, CircuitBreaker


class Origin(ThreadingHTTPServer):
    """``/ok /status/N /busy/N/SECONDS /stream/N /cut /stall /hang /away``."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, handler: type[Handler] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), handler or Handler)
        self.released = threading.Event()
        self.arrived = threading.Event()
        self.seen: list[str] = []

    def handle_error(self, *_args: Any) -> None:
        """A client that hangs up is part of the tests."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Origin

    def log_message(self, *_args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.server.seen.append(self.path)
        self.server.arrived.set()
        word, *more = self.path.strip("/").split("/")
        getattr(self, f"on_{word}")(*more)

    do_POST = do_GET  # noqa: N815 - likewise

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def on_ok(self) -> None:
        self.answer(200, b"ok")

    def on_status(self, status: str) -> None:
        self.answer(int(status), b"said")

    def on_busy(self, status: str, seconds: str) -> None:
        self.answer(int(status), b"slow down", Retry_After=seconds)

    def on_away(self) -> None:
        self.answer(302, b"", Location="/status/503")

    def begin(self, kind: str = "text/plain") -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Content-Type", kind)
        self.end_headers()

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def on_stream(self, count: str) -> None:
        self.begin()
        for _ in range(int(count)):
            self.chunk(b"x" * 1000)
        self.chunk(b"")

    def on_cut(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5000")
        self.end_headers()
        self.wfile.write(b"x" * 1000)
        self.close_connection = True

    def on_stall(self) -> None:
        self.begin()
        self.chunk(b"x" * 1000)
        self.server.released.wait(20)

    def on_hang(self) -> None:
        self.server.released.wait(20)
        with suppress(OSError):
            self.answer(200, b"late")


@contextmanager
def serving(server: Origin) -> Iterator[Origin]:
    """The server, in a thread of its own."""
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.fixture
def origin() -> Iterator[Origin]:
    with serving(Origin()) as server:
        yield server


class Story:
    """Hears what a breaker counts, with the reasons."""

    def __init__(self) -> None:
        self.reasons: list[str | None] = []

    def __call__(self, event: Any) -> None:
        if event.kind == "failure":
            self.reasons.append(event.reason)


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture
def breaker(story: Story) -> CircuitBreaker:
    return CircuitBreaker("origin", failure_threshold=3, recovery_timeout=60, listeners=[story])


@pytest.fixture
def registry() -> BreakerRegistry:
    return BreakerRegistry(failure_threshold=2, max_keys=10)
