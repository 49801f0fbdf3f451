"""Targets that never stop, each on a port of its own; the ports are told as JSON.

Rule: run as a program; it ends when its standard input does.
"""

from __future__ import annotations

import json
import socket
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.integration.sidebyside.targets import Listener

OK = b"HTTP/1.1 200 OK\r\n"
PIECE = b"x" * 65536
Talk = Callable[[socket.socket], None]


def bomb() -> bytes:
    """Some 50 KB that unpack to 50 MiB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(1024 * 1024)
    return b"".join(packer.compress(zeros) for _ in range(50)) + packer.flush()


def endless(piece: bytes, head: bytes = b"") -> Talk:
    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(head)
        while True:
            connection.sendall(piece)

    return talk


def healthy(connection: socket.socket) -> None:
    connection.recv(65536)
    body = b"fine" * 20_000
    connection.sendall(OK + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    connection.shutdown(socket.SHUT_WR)
    connection.recv(1)


TALKS: dict[str, Talk] = {
    "healthy": healthy,
    "bodies": endless(PIECE, OK + b"\r\n"),
    "no text": endless(b"\xff" * 65536, OK + b"\r\n"),
    "chunks": endless(b"1\r\nx\r\n" * 10_000, OK + b"Transfer-Encoding: chunked\r\n\r\n"),
    "bombs": endless(bomb(), OK + b"\r\n"),
    "headers": endless(b"A: b\r\n" * 1000, OK),
    "one header": endless(PIECE, OK + b"A: "),
    "lines": endless(b"x\n" * 32768),
    "a line": endless(PIECE),
    "names": endless(b"\xff\xff" + PIECE),
}

if __name__ == "__main__":
    ports = {name: Listener(talk).port for name, talk in TALKS.items()}
    sys.stdout.write(json.dumps(ports) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
