"""OTLP goes the way of all samples: in order, kept while the server is away."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from cbmon.backlog import DropCause
from cbmon.exports import otlp
from cbmon.exports.base import ExportEnvironment
from cbmon.exports.otlp import OtlpOptions
from tests.component.exports.gateway import Gateway, Metrics, Pushed, attempt

PROTOBUF = "application/x-protobuf"


def values(push: Pushed) -> list[float]:
    made = ExportMetricsServiceRequest()
    made.ParseFromString(push.body)  # aiohttp has unpacked it
    scope = made.resource_metrics[0].scope_metrics[0]
    return [point.as_double for metric in scope.metrics for point in metric.gauge.data_points]


async def test_requests_are_as_the_specification_wants_them_and_in_order(
    gateway: Gateway, tmp_path: Path
) -> None:
    environment = ExportEnvironment(data=tmp_path)
    options = OtlpOptions(url=f"{gateway.url}/v1/metrics")
    export = otlp.build(options, environment, "otel")
    gateway.status = 503
    for number in range(3):
        result = await export.run(attempt(), Metrics(b"x %d\n" % number))
        assert not result.ok
    assert environment.backlog("otel").queue == 3
    gateway.status = 200
    assert (await export.run(attempt(), Metrics(b"x 3\n"))).ok
    push = gateway.pushed[-1]
    assert (push.method, push.path) == ("POST", "/v1/metrics")
    assert push.headers["Content-Type"] == PROTOBUF
    assert push.headers["Content-Encoding"] == "gzip"
    assert [values(each) for each in gateway.pushed[-4:]] == [[0.0], [1.0], [2.0], [3.0]]
    assert environment.backlog("otel").samples == 4
    await environment.close()


async def test_a_partial_success_is_no_failure_but_counted_and_not_sent_again(
    gateway: Gateway, tmp_path: Path
) -> None:
    partial = ExportMetricsPartialSuccess(rejected_data_points=1, error_message="no")
    said = ExportMetricsServiceResponse(partial_success=partial).SerializeToString()

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=said, content_type=PROTOBUF)

    gateway.answer = answer
    environment = ExportEnvironment(data=tmp_path)
    export = otlp.build(OtlpOptions(url=gateway.url), environment, "otel")
    result = await export.run(attempt(), Metrics(b"x 1\ny 2\n"))
    assert result.ok
    backlog = environment.backlog("otel")
    assert (backlog.samples, backlog.dropped, backlog.queue) == (1, {DropCause.REFUSED: 1}, 0)
    assert len(gateway.pushed) == 1
    await environment.close()
