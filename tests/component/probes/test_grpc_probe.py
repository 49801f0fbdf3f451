"""Rule: whatever answers in the place of a gRPC server, the run ends with the right reason."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import StreamEnded
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cbmon.model import Reason
from cbmon.probes import AddressPolicy
from cbmon.probes.failure import ProbeError
from cbmon.probes.grpc import health
from cbmon.probes.grpc.options import GrpcOptions

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
GRPC = [(":status", "200"), ("content-type", "application/grpc")]
SERVING = b"\0\0\0\0\2\x08\1"


def server(answer: Callable[[H2Connection], None]) -> Callable[[Reader, Writer], Awaitable[None]]:
    """Takes the request and answers in one way."""

    async def converse(reader: Reader, writer: Writer) -> None:
        http = H2Connection(H2Configuration(client_side=False))
        http.initiate_connection()
        while data := await reader.read(65_536):
            for event in http.receive_data(data):
                if isinstance(event, StreamEnded):
                    answer(http)
            writer.write(http.data_to_send())
        writer.close()

    return converse


def saying(
    head: list[tuple[str, str]], data: bytes = b"", trailers: list[tuple[str, str]] | None = None
) -> Callable[[H2Connection], None]:
    def answer(http: H2Connection) -> None:
        http.send_headers(1, head, end_stream=not data and trailers is None)
        if data:
            http.send_data(1, data, end_stream=trailers is None)
        if trailers is not None:
            http.send_headers(1, trailers, end_stream=True)

    return answer


OK = [("grpc-status", "0")]


async def look(bench: Any, handler: Any, **options: Any) -> Any:
    port = await bench.raw(handler)
    return await bench.look("grpc", address=f"127.0.0.1:{port}", **options)


async def test_an_answer_by_hand_is_understood(bench: Any) -> None:
    result = await look(bench, server(saying(GRPC, SERVING, OK)))

    assert result.ok, result.error


@pytest.mark.parametrize(
    ("reason", "message", "answer"),
    [
        (Reason.STATUS, "HTTP status 404, expected 200", saying([(":status", "404")])),
        (Reason.PROTOCOL, "it is not gRPC's", saying([(":status", "200")], b"hello")),
        (Reason.PROTOCOL, "it is not gRPC's", saying(GRPC, b"", [("grpc-status", "x")])),
        (Reason.STATUS, "got 99, expected OK", saying([*GRPC, ("grpc-status", "99")])),
        (Reason.TIMEOUT, "got DEADLINE_EXCEEDED", saying([*GRPC, ("grpc-status", "4")])),
        (Reason.AUTH, "got UNAUTHENTICATED", saying([*GRPC, ("grpc-status", "16")])),
        (Reason.PROTOCOL, "not one whole message", saying(GRPC, b"\0\0\0\0\2\x08", OK)),
        (Reason.PROTOCOL, "is compressed", saying(GRPC, b"\1\0\0\0\0", OK)),
        (Reason.PROTOCOL, "not a HealthCheck", saying(GRPC, b"\0\0\0\0\1\x08", OK)),
        (Reason.STATUS, "the server is UNKNOWN", saying(GRPC, b"\0\0\0\0\0", OK)),
        (Reason.STATUS, "the server is 77", saying(GRPC, b"\0\0\0\0\2\x08\x4d", OK)),
        (Reason.PROTOCOL, "broke the call off: cancel", lambda http: http.reset_stream(1, 8)),
        (Reason.PROTOCOL, "off: enhance your calm", lambda http: http.close_connection(11)),
    ],
)
async def test_every_way_to_fail_has_its_reason(
    bench: Any, reason: Reason, message: str, answer: Callable[[H2Connection], None]
) -> None:
    result = await look(bench, server(answer))

    assert result.reason is reason, result.error
    assert message in result.error


@pytest.mark.parametrize(
    ("reason", "message", "data"),
    [
        (Reason.PROTOCOL, "does not speak HTTP/2", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        (Reason.CONNECT, "gave no answer", b""),
        (Reason.PROTOCOL, "gave no answer", b"\0\0\0\4\0\0\0\0\0"),
    ],
)
async def test_a_stranger_is_told_apart(
    bench: Any, reason: Reason, message: str, data: bytes
) -> None:
    async def stranger(reader: Reader, writer: Writer) -> None:
        await reader.read(100)
        writer.write(data)
        writer.close()

    result = await look(bench, stranger)

    assert result.reason is reason, result.error
    assert message in result.error


async def test_a_server_that_does_not_stop_is_cut_off(bench: Any) -> None:
    async def flood(reader: Reader, writer: Writer) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"\0\0\0\4\0\0\0\0\0" * 1000)
                await writer.drain()

    result = await look(bench, flood)

    assert result.reason is Reason.SIZE, result.error


async def test_a_cancelled_run_leaves_no_connection(bench: Any) -> None:
    gone = asyncio.Event()

    async def silent(reader: Reader, writer: Writer) -> None:
        while True:
            try:
                data = await reader.read(1000)
            except ConnectionError:
                data = b""
            if not data:
                break
        gone.set()
        writer.close()

    task = asyncio.ensure_future(look(bench, silent))
    await asyncio.sleep(0.05)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(gone.wait(), 2)


async def test_the_address_policy_holds(bench: Any) -> None:
    closed = bench.environment.under(AddressPolicy(deny=["127.0.0.0/8"]))

    result = await bench.look("grpc", closed, address="127.0.0.1:1")

    assert result.reason is Reason.POLICY


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("not a possible key", {"metadata": {"X-Tenant": "a"}}),
        ("not a possible key", {"metadata": {"grpc-timeout": "1S"}}),
        ("not a possible key", {"metadata": {":path": "/"}}),
        ("binary metadata", {"metadata": {"trace-bin": "a"}}),
        ("printable ASCII", {"metadata": {"a": "b\n"}}),
        ("exclude each other", {"bearer_token": "a", "bearer_token_file": "b"}),
    ],
)
def test_what_cannot_be_sent_is_refused(message: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=message):
        GrpcOptions.model_validate({"address": "a.test:1", **options})


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h2.connection", None)

    with pytest.raises(ValidationError, match=r"pip install 'cbmon\[grpc\]'"):
        GrpcOptions.model_validate({"address": "a.test:1"})


@pytest.mark.parametrize("service", ["", "a", "x" * 127, "x" * 128, "x" * 999])
def test_a_request_is_what_protobuf_writes(service: str) -> None:
    health_pb2 = pytest.importorskip("grpc_health.v1.health_pb2")
    written = health_pb2.HealthCheckRequest(service=service).SerializeToString()

    assert health.request(service) == b"\0" + len(written).to_bytes(4, "big") + written


@given(st.binary(max_size=40))
def test_no_answer_does_anything_but_be_read_or_refused(data: bytes) -> None:
    for candidate in (data, b"\0" + len(data).to_bytes(4, "big") + data):
        try:
            found = health.status(candidate)
        except ProbeError as error:
            assert error.reason is Reason.PROTOCOL  # noqa: PT017
        else:
            assert found >= 0
