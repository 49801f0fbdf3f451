"""Targets that answer byte for byte what a case wants, over TCP, TLS and UDP, from threads.

Rule: a target hears one request, says its piece and hangs up; what it does is a function of the
path, so that two probers that ask the same see the same.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path

Talk = Callable[[socket.socket], None]
Respond = Callable[[str, bytes], "bytes | Talk"]


class Listener:
    """Serves ``talk`` on every connection until it is closed."""

    def __init__(self, talk: Talk, *, host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, 0), family=family, backlog=64)
        self.port: int = self._socket.getsockname()[1]
        self._talk = talk
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """No more connections."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        with connection, contextlib.suppress(OSError, ValueError):
            self._talk(connection)


class Datagrams:
    """Answers each datagram with those that ``answer`` gives."""

    def __init__(self, answer: Callable[[bytes], list[bytes]]) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._answer = answer
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """No more answers."""
        self._socket.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                data, sender = self._socket.recvfrom(4096)
                for reply in self._answer(data):
                    self._socket.sendto(reply, sender)


def http(respond: Respond) -> Talk:
    """A conversation in HTTP: reads a request with its body, says what ``respond`` gives."""

    def talk(connection: socket.socket) -> None:
        head, body = _request(connection)
        said = respond(head, body)
        if callable(said):
            said(connection)
        else:
            connection.sendall(said)
        _end(connection)

    return talk


def over_tls(
    talk: Talk, certificate: Path, *, ca: Path | None = None, newest: ssl.TLSVersion | None = None
) -> Talk:
    """The same over TLS; with ``ca`` a client certificate is wanted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if newest is not None:
        context.maximum_version = newest
    if ca is not None:
        context.load_verify_locations(ca)
        context.verify_mode = ssl.CERT_REQUIRED

    def secured(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as inner:
            talk(inner)

    return secured


def script(*steps: bytes | float, tls: Path | None = None) -> Talk:
    """Says bytes, waits for a line after each, sleeps for numbers; ``b""`` begins TLS."""

    def talk(connection: socket.socket) -> None:
        with contextlib.ExitStack() as opened:
            for step in steps:
                if isinstance(step, float):
                    time.sleep(step)
                elif step:
                    connection.sendall(step)
                    if step.endswith(b"?\n"):
                        _line(connection)
                else:
                    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                    assert tls is not None
                    context.load_cert_chain(tls)
                    wrapped = context.wrap_socket(connection, server_side=True)
                    connection = opened.enter_context(wrapped)
            _end(connection)

    return talk


def parrot(connection: socket.socket) -> None:
    """Says what it is told in hexadecimal; a line that begins with ``=`` it says as it is."""
    while line := _line(connection).rstrip(b"\n"):
        connection.sendall(line[1:] + b"\n" if line[:1] == b"=" else bytes.fromhex(line.decode()))


def polite(connection: socket.socket) -> None:
    """A body until the end of a connection over TLS, which is told to end."""
    _request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
    assert isinstance(connection, ssl.SSLSocket)
    connection.unwrap()


def tunnel(connection: socket.socket) -> None:
    """A proxy that connects to whatever CONNECT says."""
    head, _ = _request(connection)
    host, _, port = head.split(" ")[1].rpartition(":")
    with socket.create_connection((host, int(port)), 5) as there:
        connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        back = threading.Thread(target=_copy, args=(there, connection), daemon=True)
        back.start()
        _copy(connection, there)
        back.join(5)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def _end(connection: socket.socket) -> None:
    """Say no more, and wait until the other side has gone."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass


def _request(connection: socket.socket) -> tuple[str, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            raise ValueError("no request")
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    text = head.decode("latin-1")
    lower = text.lower()
    if "content-length: " in lower:
        wanted = int(lower.partition("content-length: ")[2].partition("\r\n")[0])
        while len(body) < wanted:
            body += connection.recv(65536)
    return text, body


def _line(connection: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"\n"):
        piece = connection.recv(1)
        if not piece:
            raise ValueError("no line")
        data += piece
    return data
