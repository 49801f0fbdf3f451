"""OpenTelemetry's own decoder reads what is exposed, with its types, labels and buckets."""

from __future__ import annotations

import gzip
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK,
    Metric,
)

from cbmon import __version__
from cbmon.exports import protobuf
from cbmon.exports.delivery import Reading, Verdict
from cbmon.exports.otlp import OtlpEncoder, OtlpOptions, judge
from cbmon.exports.posting import Answer
from cbmon.metrics.text import escape

AT = 1_700_000_000_123
STARTED = 1_600_000_000.5
TEXT = b"""\
# HELP cbmon_check_up 1 if the last run succeeded.
# TYPE cbmon_check_up gauge
cbmon_check_up{check="a"} 1
cbmon_check_up{check="b"} 0
# HELP cbmon_check_runs_total Runs that ended.
# TYPE cbmon_check_runs_total counter
cbmon_check_runs_total{check="a"} 41
# HELP x_duration_seconds How long.
# TYPE x_duration_seconds histogram
x_duration_seconds_bucket{check="a",le="0.1"} 2
x_duration_seconds_bucket{check="a",le="1.0"} 5
x_duration_seconds_bucket{check="a",le="+Inf"} 6
x_duration_seconds_sum{check="a"} 7.5
x_duration_seconds_count{check="a"} 6
"""


def encoder(**options: Any) -> OtlpEncoder:
    given = {"url": "http://127.0.0.1:1/v1/metrics", "instance": "host", **options}
    return OtlpEncoder(OtlpOptions.model_validate(given), STARTED)


def request(body: bytes, *, packed: bool = True) -> ExportMetricsServiceRequest:
    made = ExportMetricsServiceRequest()
    made.ParseFromString(gzip.decompress(body) if packed else body)
    return made


def metrics(maker: OtlpEncoder, text: bytes, at: int = AT) -> dict[str, Metric]:
    found: dict[str, Metric] = {}
    for batch in maker.batches(text, at):
        (resource,) = request(batch.body).resource_metrics
        (scope,) = resource.scope_metrics
        found |= {metric.name: metric for metric in scope.metrics}
    return found


def attributes(point: Any) -> dict[str, str]:
    return {one.key: one.value.string_value for one in point.attributes}


def test_the_resource_says_who_it_is() -> None:
    (batch,) = encoder(resource={"deployment.environment.name": "live"}).batches(TEXT, AT)
    (resource,) = request(batch.body).resource_metrics
    assert attributes(resource.resource) == {
        "service.name": "cbmon",
        "service.instance.id": "host",
        "service.version": __version__,
        "deployment.environment.name": "live",
    }
    (scope,) = resource.scope_metrics
    assert (scope.scope.name, scope.scope.version) == ("cbmon", __version__)
    assert batch.samples == 4


def test_a_gauge_is_a_gauge() -> None:
    metric = metrics(encoder(), TEXT)["cbmon_check_up"]
    assert metric.description == "1 if the last run succeeded."
    found = [
        (attributes(one), one.as_double, one.time_unix_nano) for one in metric.gauge.data_points
    ]
    at = AT * 1_000_000
    assert found == [({"check": "a"}, 1.0, at), ({"check": "b"}, 0.0, at)]


def test_a_counter_is_a_cumulative_sum_since_the_start() -> None:
    total = metrics(encoder(), TEXT)["cbmon_check_runs_total"].sum
    assert total.is_monotonic
    assert total.aggregation_temporality == AGGREGATION_TEMPORALITY_CUMULATIVE
    (point,) = total.data_points
    assert (point.as_double, point.start_time_unix_nano) == (41.0, int(STARTED * 1e9))


def test_a_histogram_keeps_its_buckets() -> None:
    metric = metrics(encoder(), TEXT)["x_duration_seconds"]
    assert metric.unit == "s"
    assert metric.histogram.aggregation_temporality == AGGREGATION_TEMPORALITY_CUMULATIVE
    (point,) = metric.histogram.data_points
    assert attributes(point) == {"check": "a"}
    assert list(point.explicit_bounds) == [0.1, 1.0]
    assert list(point.bucket_counts) == [2, 3, 1]
    assert (point.count, point.sum) == (6, 7.5)
    assert point.start_time_unix_nano == int(STARTED * 1e9)


def test_a_series_that_goes_is_told_once_by_its_flag() -> None:
    maker = encoder()
    metrics(maker, TEXT)
    later = metrics(maker, b'# TYPE cbmon_check_up gauge\ncbmon_check_up{check="a"} 1\n', AT + 1)
    ended = {
        name: [
            point
            for point in (*metric.gauge.data_points, *metric.sum.data_points)
            if point.flags == DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK
        ]
        for name, metric in later.items()
    }
    assert attributes(ended["cbmon_check_runs_total"][0]) == {"check": "a"}
    (histogram,) = later["x_duration_seconds"].histogram.data_points
    assert histogram.flags == DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK
    assert maker.batches(b"x 1\n", AT + 2)[0].samples == 2, "x and the end of what is left"
    assert [batch.samples for batch in maker.farewell(AT + 3)] == [1]
    assert maker.farewell(AT + 4) == []


def test_a_request_holds_no_more_points_than_it_may_and_may_be_plain() -> None:
    batches = encoder(max_samples_per_send=3, compression="none").batches(TEXT, AT)
    assert [(batch.part, batch.samples) for batch in batches] == [(0, 3), (3, 1)]
    assert request(batches[1].body, packed=False).resource_metrics[0].resource.attributes


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "1e-300"])
def test_values_arrive_exactly(value: str) -> None:
    text = f"# TYPE x gauge\nx {value}\n".encode()
    (point,) = metrics(encoder(), text)["x"].gauge.data_points
    same = point.as_double == float(value) or math.isnan(point.as_double)
    assert same
    assert math.isnan(point.as_double) == (value == "NaN")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_label_value_arrives_as_it_was(value: str) -> None:
    text = f'# TYPE x gauge\nx{{check="{escape(value)}"}} 1\n'.encode()
    (point,) = metrics(encoder(), text)["x"].gauge.data_points
    assert attributes(point) == {"check": value}


def answer(status: int, said: bytes = b"", kind: str = "application/x-protobuf") -> Answer:
    return Answer(status, said, None, kind)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_the_specification_calls_retryable_is_tried_later(status: int) -> None:
    assert judge(answer(status)).verdict is Verdict.LATER


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 413, 500, 501, 505])
def test_everything_else_is_not(status: int) -> None:
    assert judge(answer(status)).verdict is Verdict.NEVER


def test_points_that_the_server_did_not_want_are_counted_with_its_words() -> None:
    partial = ExportMetricsPartialSuccess(rejected_data_points=7, error_message="too old")
    said = ExportMetricsServiceResponse(partial_success=partial).SerializeToString()
    assert judge(answer(200, said)) == Reading(Verdict.TAKEN, b"too old", 7)
    assert judge(answer(200)) == Reading(Verdict.TAKEN, b"", 0)


def test_a_refusal_is_told_in_the_servers_words() -> None:
    status = protobuf.number(1, 3) + protobuf.text(2, "bad label")
    assert judge(answer(400, status)).said == b"bad label"
    assert judge(answer(400, b"plain", "text/plain")).said == b"plain"


@given(st.binary(max_size=60), st.sampled_from([200, 400]))
def test_no_answer_is_too_odd(said: bytes, status: int) -> None:
    assert isinstance(judge(answer(status, said)).said, bytes)
