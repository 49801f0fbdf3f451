"""Rule: an answer in HTTP/2 is read like one in HTTP/1, and whatever else comes is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived
from hypothesis import given
from hypothesis import strategies as st

from cbmon.blackbox import hops
from cbmon.blackbox.asking import Ask
from cbmon.blackbox.http2 import MOST_BESIDES, Http2
from cbmon.blackbox.modules import HttpModule
from cbmon.blackbox.places import parse

PING = b"\0\0\x08\x06\0\0\0\0\0" + b"p" * 8


class Server:
    """The other end, by h2 as well."""

    def __init__(self, method: str = "GET", body: bytes | None = None) -> None:
        self.heard = bytearray()
        self.client = Http2(method, self.heard.extend)
        self.http = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.http.initiate_connection()
        self.asked: dict[str, str] = {}
        self.body = bytearray()
        place = parse("https://a.test/x?y")
        headers = {"User-Agent": "t", "Connection": "close"}
        self.client.request(
            Ask(method=method, place=place, host="a.test", headers=headers, body=body)
        )
        self.exchange()

    def exchange(self) -> None:
        """Carry bytes to and fro until nobody has any."""
        for _ in range(50):
            to_server = self.client.outgoing()
            for event in self.http.receive_data(to_server) if to_server else ():
                if isinstance(event, RequestReceived):
                    self.asked = dict(event.headers or ())  # type: ignore[arg-type]
                elif isinstance(event, DataReceived):
                    self.body += event.data or b""
                    self.http.acknowledge_received_data(event.flow_controlled_length or 0, 1)
            to_client = self.http.data_to_send()
            if not (to_client or to_server):
                return
            self.client.feed(to_client)

    def say(self, *headers: tuple[str, str], end: bool = False) -> None:
        self.http.send_headers(1, [(":status", "200"), *headers], end_stream=end)


def test_the_request_says_what_is_asked_and_nothing_of_the_connection() -> None:
    assert Server().asked == {
        ":method": "GET", ":scheme": "https", ":authority": "a.test", ":path": "/x?y",
        "user-agent": "t",
    }  # fmt: skip


def test_a_body_goes_as_the_target_has_room_for_it() -> None:
    server = Server("POST", b"x" * 300_000)

    assert server.asked["content-length"] == "300000"
    assert bytes(server.body) == b"x" * 300_000


def test_an_answer_is_a_head_and_a_body() -> None:
    server = Server()
    server.http.send_headers(1, [(":status", "103"), ("link", "x")])
    server.say(("content-length", "5"), ("x-test", "a"), ("x-test", "b"))
    server.http.send_data(1, b"hello", end_stream=True)
    server.exchange()

    head = server.client.head
    assert (head.version, head.status, head.length) == ("HTTP/2.0", 200, 5)
    assert head.values("X-Test") == ["a", "b"]
    assert bytes(server.heard) == b"hello"
    assert server.client.complete
    assert server.client.end()


@pytest.mark.parametrize(
    ("length", "method", "headers", "end"),
    [(-1, "GET", [], False), (0, "GET", [], True), (7, "HEAD", [("content-length", "7")], True)],
)
def test_the_length_is_told_as_go_tells_it(
    length: int, method: str, headers: list[tuple[str, str]], end: bool
) -> None:
    server = Server(method)
    server.say(*headers, end=end)
    server.exchange()

    assert (server.client.head.length, server.client.complete) == (length, end)


def interim(server: Server) -> None:
    for _ in range(6):
        server.http.send_headers(1, [(":status", "103"), ("link", "x")])


def short(server: Server) -> None:
    server.say(("content-length", "5"))
    server.http.send_data(1, b"no", end_stream=True)


@pytest.mark.parametrize(
    "say",
    [
        lambda server: server.http.reset_stream(1, 8),
        lambda server: server.http.close_connection(2),
        interim,
        short,
    ],
)
def test_an_answer_that_is_broken_off_is_refused(say: Callable[[Server], None]) -> None:
    server = Server()
    say(server)

    with pytest.raises(ValueError, match=r"\w"):
        server.exchange()


def test_a_flood_of_what_is_no_answer_ends() -> None:
    client = Server().client
    for _ in range(MOST_BESIDES // 100 - 1):
        client.feed(PING * 100)
        client.outgoing()

    with pytest.raises(ValueError, match="too many frames"):
        client.feed(PING * 100)


def test_it_is_offered_where_it_may_be_and_h2_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hops.offered(HttpModule()) == ("h2", "http/1.1")
    assert hops.offered(HttpModule(enable_http2=False)) == ("http/1.1",)
    monkeypatch.setattr(hops, "HAS_HTTP2", False)
    assert hops.offered(HttpModule()) == ("http/1.1",)


@given(st.lists(st.binary(max_size=60), max_size=4), st.booleans())
def test_whatever_comes_is_read_or_refused(pieces: list[bytes], spoilt: bool) -> None:
    server = Server()
    server.say(("a", "b"))
    whole = server.http.data_to_send()
    try:
        for piece in pieces:
            server.client.feed(whole[: len(piece)] + piece if spoilt else piece)
            server.client.outgoing()
    except ValueError:
        return
    assert not server.client.complete
