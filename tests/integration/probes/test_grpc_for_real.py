"""Rule: a service of a real gRPC server is good exactly when it says that it is serving."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from cbmon.model import Reason


@dataclass
class Server:
    plain: str
    secure: str
    asked: list[dict[str, str]]


class Guard(grpc.ServerInterceptor):  # type: ignore[misc]
    """Keeps the metadata of calls, and refuses those of ``mallory``."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []

    def intercept_service(self, go_on: Any, details: Any) -> Any:
        metadata = dict(details.invocation_metadata)
        self.asked.append(metadata)
        if metadata.get("x-user") == "mallory":
            return grpc.unary_unary_rpc_method_handler(
                lambda _, context: context.abort(grpc.StatusCode.PERMISSION_DENIED, "go é")
            )
        return go_on(details)


@pytest.fixture(scope="session")
def server(authority: Any) -> Iterator[Server]:
    """The health service of grpcio, in clear and over TLS."""
    guard = Guard()
    made = grpc.server(ThreadPoolExecutor(2), interceptors=[guard])
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, made)
    servicer.set("good", health_pb2.HealthCheckResponse.SERVING)
    servicer.set("bad", health_pb2.HealthCheckResponse.NOT_SERVING)
    issued = authority.ca.issue_cert("grpc.test")
    pair = (issued.private_key_pem.bytes(), b"".join(c.bytes() for c in issued.cert_chain_pems))
    plain = made.add_insecure_port("127.0.0.1:0")
    secure = made.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    made.start()
    yield Server(f"127.0.0.1:{plain}", f"127.0.0.1:{secure}", guard.asked)
    made.stop(None).wait()


@pytest.mark.parametrize("service", ["", "good"])
async def test_a_service_that_serves_is_good(look: Any, server: Server, service: str) -> None:
    result = await look("grpc", address=server.plain, service=service)

    assert result.ok, result.error
    assert result.facts["health"] == "SERVING"
    assert result.facts["grpc_status"] == "OK"
    assert result.phases.connect > 0
    assert result.phases.transfer >= 0


@pytest.mark.parametrize(
    ("reason", "message", "options"),
    [
        (Reason.STATUS, "service bad is NOT_SERVING, expected SERVING", {"service": "bad"}),
        (Reason.STATUS, "got NOT_FOUND, expected OK", {"service": "nobody"}),
        (Reason.AUTH, 'DENIED, expected OK: "go é"', {"metadata": {"x-user": "mallory"}}),
        (Reason.TLS, "TLS", {"tls": {}}),
        (Reason.LATENCY, "expected at most 0.1ms", {"expect": {"max_duration": 0.0001}}),
        (Reason.TLS, "no TLS was spoken", {"expect": {"certificate_days": 1}}),
    ],
)  # fmt: skip
async def test_every_way_to_fail_has_its_reason(
    look: Any, server: Server, reason: Reason, message: str, options: dict[str, Any]
) -> None:
    result = await look("grpc", address=server.plain, **options)

    assert result.reason is reason, result.error
    assert message in result.error


async def test_over_tls_the_certificate_is_verified(
    look: Any, server: Server, authority: Any
) -> None:
    tls = {"ca_file": str(authority.file), "server_name": "grpc.test"}

    good = await look("grpc", address=server.secure, tls=tls, expect={"certificate_days": 1})
    bad = await look("grpc", address=server.secure, tls={**tls, "server_name": "other.test"})
    clear = await look("grpc", address=server.secure)

    assert good.ok, good.error
    assert good.certificate_expiry
    assert bad.reason is Reason.TLS
    assert clear.reason in {Reason.CONNECT, Reason.PROTOCOL}


async def test_metadata_and_the_token_are_sent(look: Any, server: Server, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hunter2\n")

    result = await look(
        "grpc",
        address=server.plain,
        metadata={"x-tenant": "shop"},
        bearer_token_file=str(tmp_path / "token"),
    )

    assert result.ok, result.error
    assert server.asked[-1]["x-tenant"] == "shop"
    assert server.asked[-1]["authorization"] == "Bearer hunter2"


async def test_a_server_without_the_health_service_says_so(look: Any) -> None:
    made = grpc.server(ThreadPoolExecutor(1))
    port = made.add_insecure_port("127.0.0.1:0")
    made.start()
    try:
        result = await look("grpc", address=f"127.0.0.1:{port}")
    finally:
        made.stop(None).wait()

    assert result.reason is Reason.STATUS
    assert "got UNIMPLEMENTED" in result.error
