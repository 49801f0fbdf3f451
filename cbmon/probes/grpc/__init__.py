"""``grpc``: ask a gRPC server for the health of a service, by the standard health protocol.

Rule: HTTP/2 is spoken by h2, which does no IO, over the connection that the other checks use too;
a whole gRPC runtime would bring its own resolver, its own threads and its own connections.
"""

from __future__ import annotations

from typing import Final

from cbmon.probes.grpc.options import GrpcOptions
from cbmon.probes.grpc.probe import GrpcProbe
from cbmon.probes.kind import ProbeType

TYPE: Final = ProbeType(
    name="grpc",
    options=GrpcOptions,
    target=lambda options: f"{options.address}/{options.service}".rstrip("/"),
    build=GrpcProbe,
)
