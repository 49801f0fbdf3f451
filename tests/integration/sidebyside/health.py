"""A gRPC server that knows its health, by grpcio."""

from __future__ import annotations

from concurrent import futures
from pathlib import Path

import pytest

grpc = pytest.importorskip("grpc")
health = pytest.importorskip("grpc_health.v1.health")
messages = pytest.importorskip("grpc_health.v1.health_pb2")
services = pytest.importorskip("grpc_health.v1.health_pb2_grpc")


class HealthServer:
    """Serves "" and "good"; "bad" does not serve."""

    def __init__(self, certificate: Path | None) -> None:
        self._server = grpc.server(futures.ThreadPoolExecutor(4))
        servicer = health.HealthServicer()
        status = messages.HealthCheckResponse
        servicer.set("", status.SERVING)
        servicer.set("good", status.SERVING)
        servicer.set("bad", status.NOT_SERVING)
        services.add_HealthServicer_to_server(servicer, self._server)
        self.port: int = self._bound(certificate)
        self._server.start()

    def close(self) -> None:
        """No more answers."""
        self._server.stop(None).wait(5)

    def _bound(self, certificate: Path | None) -> int:
        if certificate is None:
            return int(self._server.add_insecure_port("127.0.0.1:0"))
        pem = certificate.read_bytes()
        begin = pem.index(b"-----BEGIN PRIVATE KEY")
        pair = [(pem[begin:], pem[:begin])]
        credentials = grpc.ssl_server_credentials(pair)
        return int(self._server.add_secure_port("127.0.0.1:0", credentials))
